"""The benchmark of pulls, small: real workers with common layers, one killed while it pulls."""

from __future__ import annotations

import pytest

from common.model.errors import PreconditionError
from common.ops.trivy_program import Trivy
from sandbox import oci
from tests.bench.images import Size, play
from tests.bench.images_content import images
from tests.fixtures_sandbox import lacking

pytestmark = pytest.mark.integration

SIZE = Size(images=12, workloads=60, workers=3)


def test_a_killed_worker_costs_its_own_pull_and_nothing_else(trivy: Trivy) -> None:
    """Each manifest, configuration and layer once; what the dead one had begun, once more."""
    assert trivy.path
    try:
        found = play(SIZE)
    except PreconditionError as error:
        lacking(error)
    largest = max(
        sum(len(blob.body) for blob in content.blobs)
        for content in (sample.build() for sample in images(SIZE.images))
        if isinstance(content, oci.Image)
    )
    assert 1 <= found.killed <= 2  # the scanner's slots
    assert (found.images, found.reports) == (SIZE.images, SIZE.workloads)
    assert found.waits > 0  # they did meet
    # Of each pull: its manifest, its configuration and three layers.
    assert found.requests <= found.minimum.requests + 5 * found.killed
    assert found.bytes <= found.minimum.bytes + largest * found.killed
