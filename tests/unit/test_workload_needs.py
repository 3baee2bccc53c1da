"""What a workload's reports need, before any image is looked up."""

from __future__ import annotations

import msgspec
import pytest

from common.model.key import ImageKey
from common.model.workload import Container, Running, WorkloadRow
from worker.subject.workload.needs import (
    ImageNeed,
    Ran,
    Resolve,
    Retired,
    Scan,
    Skip,
    Verify,
    WaitForKubelet,
    needs,
)

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
ROW = WorkloadRow(
    kind="ReplicaSet",
    namespace="shop",
    name="web-1",
    uid="u1",
    api_version="apps/v1",
    created_at=1000,
    containers=(Container(name="app", role="container", image="web:1"),),
    has_pods=True,
)
RUNNING = Container(
    name="app",
    role="container",
    image="web:1",
    running=(Running(digest=DIGEST, platform="linux-amd64"),),
)


def look(row: WorkloadRow, now_s: float = 1010.0) -> Skip | Retired | Scan:
    return needs(row, options="o1", image_wait_s=60, now_s=now_s)


def only_image(row: WorkloadRow, now_s: float = 1010.0) -> ImageNeed:
    scan = look(row, now_s)
    assert isinstance(scan, Scan)
    return scan.containers[0].image


def test_what_a_kubelet_runs_is_what_is_scanned() -> None:
    """The running digest, not the tag, is the truth about a container."""
    row = msgspec.structs.replace(ROW, containers=(RUNNING,))
    key = ImageKey(digest=DIGEST, platform="linux-amd64", options="o1")
    assert only_image(row) == Ran(images=(key,))


def test_several_running_digests_keep_the_newest_pods_order() -> None:
    """A rolling tag runs two contents at once; the report's primary is the newest pod's."""
    both = msgspec.structs.replace(
        RUNNING,
        running=(
            Running(digest=OTHER, platform="linux-arm64"),
            Running(digest=DIGEST, platform="linux-amd64"),
        ),
    )
    need = only_image(msgspec.structs.replace(ROW, containers=(both,)))
    assert isinstance(need, Ran)
    assert [key.digest for key in need.images] == [OTHER, DIGEST]


def test_a_young_workload_waits_for_its_kubelet() -> None:
    """Trap 3. Resting before the first imageID must not be for ever: a look is due by itself."""
    assert only_image(ROW) == WaitForKubelet(delay_s=50.0)


def test_after_the_wait_the_registry_is_asked() -> None:
    """A Pending pod (no node fits) still gets a report of what it would run."""
    assert only_image(ROW, now_s=1060.0) == Resolve(platform="linux-amd64", options="o1")


def test_a_pull_error_ends_the_wait_at_once() -> None:
    """The kubelet has told all it can: waiting longer helps nobody."""
    failing = msgspec.structs.replace(ROW.containers[0], pull_error="ErrImagePull")
    row = msgspec.structs.replace(ROW, containers=(failing,), default_platform="linux-arm64")
    assert only_image(row) == Resolve(platform="linux-arm64", options="o1")


def test_a_cron_job_that_never_ran_is_resolved_without_waiting() -> None:
    """Trap 33. No kubelet will report it before its first tick, which may be a year away."""
    row = msgspec.structs.replace(ROW, kind="CronJob", expects_pods=False, has_pods=False)
    assert only_image(row) == Resolve(platform="linux-amd64", options="o1")


def test_a_workload_without_pods_rests() -> None:
    """Trap 40. Its first pod changes the fingerprint, so resting is safe."""
    assert look(msgspec.structs.replace(ROW, has_pods=False)) == Skip(why="NoPods")


def test_an_old_revision_that_still_runs_is_scanned() -> None:
    """Trap 37. What serves traffic keeps its report, also while the new revision cannot start."""
    row = msgspec.structs.replace(ROW, containers=(RUNNING,), current=False, successor="web-2")
    assert isinstance(look(row), Scan)


def test_an_old_revision_without_pods_retires_behind_its_successor() -> None:
    """Trap 6. Its reports may go only when the successor's are stored."""
    row = msgspec.structs.replace(ROW, current=False, has_pods=False, successor="web-2")
    assert look(row) == Retired(successor="web-2")


@pytest.mark.parametrize(
    "change", [{"has_pods": True}, {"has_pods": False, "successor": ""}], ids=["starting", "alone"]
)
def test_an_old_revision_keeps_its_reports_while_anything_is_unclear(
    change: dict[str, object],
) -> None:
    """Deleting is the one step that cannot be taken back, so doubt means rest."""
    row = msgspec.structs.replace(ROW, current=False, successor="web-2")
    assert look(msgspec.structs.replace(row, **change)) == Skip(why="OldRevision")


def test_a_skipped_workload_is_not_looked_at_further() -> None:
    """The user's filter wins over everything that runs."""
    row = msgspec.structs.replace(ROW, containers=(RUNNING,), skip="LabelSkipped")
    assert look(row) == Skip(why="LabelSkipped")


def test_a_configuration_is_verified_at_once() -> None:
    """The kubelet has told all that it ever will."""
    seen = Running(digest=DIGEST, platform="linux-arm64")
    loaded = msgspec.structs.replace(ROW.containers[0], loaded=(seen,))
    row = msgspec.structs.replace(ROW, containers=(loaded,))
    assert only_image(row) == Verify(configs=(seen,), options="o1")
    both = msgspec.structs.replace(RUNNING, loaded=(seen,))
    assert isinstance(only_image(msgspec.structs.replace(ROW, containers=(both,))), Ran)
