"""What the benchmark of pulls says of its numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.images import Pulls, Size, faults_of, rows
from tests.bench.images_content import BASES, RUNTIMES, Minimum, images, minimum

GOOD = Pulls(
    size=Size(),
    minimum=Minimum(requests=100, bytes=1_000),
    requests=104,
    bytes=1_080,
    killed=1,
    inventories=50,
    waits=9,
    images=50,
    reports=1_000,
    seconds=60.0,
)


def test_a_good_run_has_no_fault() -> None:
    """A tenth more is allowed: a killed worker's pull was in vain."""
    assert faults_of(GOOD) == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (replace(GOOD, images=49), "1 images were lost"),
        (replace(GOOD, reports=998), "2 workloads have no report"),
        (replace(GOOD, killed=0), "nothing to do"),
        (replace(GOOD, requests=111), "111 requests"),
        (replace(GOOD, bytes=1_101), "1101 bytes"),
    ],
)
def test_a_wrong_result_is_told(bad: Pulls, words: str) -> None:
    """Nothing that the benchmark is there to show goes by in silence."""
    (fault,) = faults_of(bad)
    assert words in fault


def test_the_ratio_is_the_minimum_over_ours() -> None:
    """As docs/benchmarks.md has it: more is better."""
    table = {str(row["case"]): row for row in rows([GOOD], replace(GOOD, requests=400))}
    assert table["registry-requests"]["ratio"] == pytest.approx(100 / 104)
    assert table["registry-bytes"]["ratio"] == pytest.approx(1_000 / 1_080)
    assert "400" in str(table["registry-requests"]["beside"])


def test_the_minimum_counts_common_layers_once() -> None:
    """Manifest and configuration of each image, its own layer, and what they share."""
    samples = images(RUNTIMES)
    assert minimum(samples).requests == 3 * RUNTIMES + BASES + RUNTIMES
    assert minimum(samples) == minimum(samples * 2)
