"""The measurement of encodings, small: that it measures what it says."""

from __future__ import annotations

import pytest

from sandbox.controlplane import ControlPlane
from tests.bench.watch_encodings import measure, populated

pytestmark = pytest.mark.integration


def test_every_encoding_sees_every_pod_and_the_promised_rows_are_there(
    controlplane: ControlPlane,
) -> None:
    """How fast it is, nobody asserts; what came over the wire is the same on every machine."""
    with populated(controlplane, pods=20) as bench:
        rows, right = measure(bench, runs=1)
    assert right
    found = {row["case"]: row for row in rows}
    assert found["apiserver-sync-protobuf-vs-json"]["goal"] == 3
    assert found["apiserver-sync-metadata-vs-json"]["goal"] == 4
    for what in ("sync", "events"):
        assert found[f"wire-{what}-protobuf-vs-json"]["ratio"] > 1.2
        assert found[f"wire-{what}-metadata-vs-json"]["ratio"] > 1.5
