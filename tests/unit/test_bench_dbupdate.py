"""The benchmark of database updates: always the same content, and a table of what was seen."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import cast

import pytest

from tests.bench.dbupdate import Update, faults_of, rows
from tests.bench.dbupdate_content import CHANGED, CHANGED_EVERY, LAYERS, Image, database, images
from tests.bench.dbupdate_world import World

UPDATE = Update(
    wall_s=20.0,
    matched_s=18.0,
    bare_s={1: 12.0, 4: 10.0},
    matches=100,
    changed=10,
    writes=10,
    registry_requests=0,
    etcd_bytes=300_000,
    product_cpu_s=30.0,
    others_cpus=0.1,
)


@pytest.fixture(scope="module")
def known() -> list[Image]:
    return list(images(100))


class _World:
    """What faults are looked for against."""

    def __init__(self, known: list[Image]) -> None:
        self.images = tuple(known)


def test_images_are_always_the_same_and_of_realistic_sizes(known: list[Image]) -> None:
    """Two runs of the benchmark must measure the same work."""
    assert known == list(images(100))
    sizes = sorted(image.packages for image in known)
    assert sizes[0] < 40
    assert 100 < statistics.median(sizes) < 400
    assert sizes[-1] > 1000
    assert {len(image.blobs) for image in known} == {LAYERS}
    assert len({image.digest for image in known}) == len({i.artifact_id for i in known}) == 100


def test_each_database_changes_exactly_the_images_that_say_so(known: list[Image]) -> None:
    """The number of reports to be rewritten is known before the product is asked."""
    having = [image for image in known if CHANGED in str(image.blobs)]
    assert having == [image for image in known if image.changes]
    assert len(having) == 100 // CHANGED_EVERY
    first, second = database(0), database(1)
    for bucket in first:
        same = first[bucket] == second[bucket]
        assert same == (bucket not in ("vulnerability", "debian 12", _pip()))
    packages = cast("dict[str, dict[str, bytes]]", second["debian 12"])
    assert len(packages[CHANGED]) == 2


def _pip() -> str:
    return "pip::GitHub Security Advisory pip"


def test_the_ratio_is_against_the_faster_loop() -> None:
    """A slow baseline would flatter."""
    (wall, *_) = rows([UPDATE])
    assert (wall["case"], wall["ours"], wall["baseline"]) == ("wall-vs-match", 20.0, 10.0)
    assert (wall["ratio"], wall["goal"]) == (0.5, 0.33)
    cases = {str(row["case"]): row for row in rows([UPDATE, replace(UPDATE, wall_s=40.0)])}
    assert cases["wall-vs-match"]["ratio"] == 0.375
    assert cases["registry-requests"]["ours"] == cases["needless-writes"]["ours"] == 0


@pytest.mark.parametrize(
    ("update", "word"),
    [
        (replace(UPDATE, registry_requests=1), "1 requests to image repositories"),
        (replace(UPDATE, changed=9), "9 reports changed, 10 images"),
        (replace(UPDATE, writes=12), "12 reports were written, 10 changed"),
        (replace(UPDATE, matches=90), "90 matches for 100 images"),
    ],
)
def test_a_wrong_result_is_told(known: list[Image], update: Update, word: str) -> None:
    """However fast it was."""
    world = cast("World", _World(known))
    assert faults_of(UPDATE, world) == []
    assert any(word in fault for fault in faults_of(update, world))
