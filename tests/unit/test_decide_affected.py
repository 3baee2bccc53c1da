"""Which keys a change concerns: reports that others wrote, rows that changed, nothing else."""

from __future__ import annotations

import pytest

from common.model.key import WorkloadKey
from common.queue.contract import Lane
from tests import builders as b
from tests.folding import folded
from watcher.decide.affected import Forget, Want, Wish, affected
from watcher.fold.cluster import Cluster
from watcher.stream.change import Change, Op

KIND = "VulnerabilityReport"
EPOCH = 4
WEB = b.key("ReplicaSet", "web")
OURS = (b.about("ReplicaSet", "web"), b.stamped(epoch=EPOCH, generation=1))


def _report(*modifiers: b.Modifier) -> Change:
    return b.upsert(b.report(KIND, "r", *modifiers), kind=KIND)


def _web(*modifiers: b.Modifier) -> Change:
    return b.upsert(b.replica_set("web", *modifiers), kind="ReplicaSet")


def _after(cluster: Cluster, *changes: Change) -> list[Wish]:
    return affected(cluster.apply(changes), cluster, epoch=EPOCH)


def test_a_changed_row_is_fresh_work() -> None:
    """Somebody just deployed: that is what users wait for."""
    cluster = folded()
    assert _after(cluster, _web()) == [Want(key=WEB, lane=Lane.FRESH, cause="RowChanged")]


def test_a_row_that_a_node_changed_is_bulk_work() -> None:
    """One node may carry hundreds of Pods."""
    cluster = folded(b.upsert(b.node("n1")), b.upsert(b.cron_job("c"), kind="CronJob"))
    wishes = _after(cluster, b.upsert(b.node("n2", "arm64")), b.upsert(b.node("n3", "arm64")))
    assert wishes == [Want(key=b.key("CronJob", "c"), lane=Lane.BULK, cause="RowChanged")]


def test_a_workload_that_is_gone_is_forgotten() -> None:
    """A worker releases its images; its reports are collected with it."""
    cluster = folded(_web())
    wishes = _after(cluster, b.delete(b.replica_set("web"), kind="ReplicaSet"))
    assert wishes == [Forget(key=WEB)]


def test_our_own_write_brings_nothing_back() -> None:
    """Trap 13. Its event comes before or after the completion: the stamp tells it, not the time."""
    cluster = folded(_web())
    assert _after(cluster, _report(*OURS)) == []
    restamped = _report(*OURS, b.versioned(2), b.noise(3))
    assert _after(cluster, restamped) == []


def test_a_generation_that_differs_from_the_stamp_brings_the_workload_back() -> None:
    """Trap 12. Somebody edits `.report` and leaves the annotations: the generation tells."""
    cluster = folded(_web(), _report(*OURS))
    wishes = _after(cluster, _report(*OURS, b.versioned(2), b.generation(2)))
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause="ReportEdited")]


def test_an_edit_that_comes_with_our_own_event_is_not_hidden() -> None:
    """Trap 13. Both events in one batch: the later state decides."""
    cluster = folded(_web())
    wishes = _after(cluster, _report(*OURS), _report(*OURS, b.versioned(2), b.generation(2)))
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause="ReportEdited")]


def test_a_deleted_report_brings_its_workload_back() -> None:
    """trivy-operator's users delete reports to ask for a rescan."""
    cluster = folded(_web(), _report(*OURS))
    wishes = _after(cluster, b.delete(b.report(KIND, "r"), kind=KIND))
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause="ReportDeleted")]


def test_the_deletion_of_a_zombies_report_brings_the_living_workload_back() -> None:
    """Trap 11. A zombie wrote for a dead uid, the garbage collector deletes: nothing else tells."""
    cluster = folded(_web(), _report(b.about("ReplicaSet", "web", uid="dead"), b.stamped()))
    wishes = _after(cluster, b.delete(b.report(KIND, "r"), kind=KIND))
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause="ReportDeleted")]


@pytest.mark.parametrize(
    ("report", "cause"),
    [
        (_report(b.about("ReplicaSet", "web")), "ReportNoStamp"),
        (
            _report(b.about("ReplicaSet", "web", uid="dead"), b.stamped(epoch=EPOCH)),
            "ReportForeignOwner",
        ),
        (_report(b.about("ReplicaSet", "web"), b.stamped(epoch=EPOCH + 1)), "ReportNewerEpoch"),
    ],
    ids=["trivy-operator's", "dead owner", "newer version's"],
)
def test_a_report_that_somebody_else_wrote_brings_its_workload_back(
    report: Change, cause: str
) -> None:
    """The worker decides what to do about it; the watcher must not overlook it."""
    assert _after(folded(_web()), report) == [Want(key=WEB, lane=Lane.FRESH, cause=cause)]


@pytest.mark.parametrize("uid", ["dead", None])
def test_a_report_whose_workload_does_not_exist_is_left_to_the_garbage_collector(
    uid: str | None,
) -> None:
    """Nothing that a worker could do about it is worth a run."""
    report = b.report(KIND, "r", b.about("ReplicaSet", "gone", uid=uid), b.stamped())
    cluster = folded(_web())
    assert _after(cluster, b.upsert(report, kind=KIND)) == []
    assert _after(cluster, b.delete(report, kind=KIND)) == []


def test_a_foreign_report_wakes_a_workload_that_was_refused() -> None:
    """It has a row again as long as a report names it; the worker lets it rest."""
    cluster = folded(_web(b.labelled({"no-scan": ""})), SLUICE_SKIP_RESOURCE_BY_LABELS="no-scan")
    wishes = _after(cluster, _report(b.about("ReplicaSet", "web")))
    assert Want(key=WEB, lane=Lane.FRESH, cause="RowChanged") in wishes


def _undecodable(resource: str, key: str) -> Change:
    return Change(resource=resource, op=Op.UNDECODABLE, key=key)


@pytest.mark.parametrize(
    ("resource", "key", "expected"),
    [
        ("replicasets", "shop/web", WEB),
        ("pods", "shop/web-1", WEB),  # its owner is known from before
        ("pods", "shop/tool", b.key("Pod", "tool")),
        ("vulnerabilityreports", "shop/r", WEB),
    ],
)
def test_an_object_that_cannot_be_decoded_has_its_key_enqueued(
    resource: str, key: str, expected: WorkloadKey
) -> None:
    """Trap 23. The stream goes on; the worker sees what the last readable state asked for."""
    pod = b.upsert(b.pod("web-1", b.controlled_by("ReplicaSet", "web")))
    cluster = folded(_web(), pod, _report(*OURS))
    before = dict(cluster.prints)
    wishes = _after(cluster, _undecodable(resource, key))
    assert wishes == [Want(key=expected, lane=Lane.FRESH, cause="Undecodable")]
    assert dict(cluster.prints) == before, "what was known stays"


@pytest.mark.parametrize(
    ("resource", "key"), [("nodes", "n1"), ("deployments", "shop/web"), ("pods", "")]
)
def test_an_object_that_cannot_be_decoded_and_names_no_workload_is_only_counted(
    resource: str, key: str
) -> None:
    """Trap 23. A node or a nameless object gives no key; the sweep finds what it may have meant."""
    assert _after(folded(_web()), _undecodable(resource, key)) == []


def test_an_object_that_can_be_decoded_again_is_not_unreadable_any_more() -> None:
    """Trap 23. Its workload may be forgotten again when it goes."""
    cluster = folded(_undecodable("replicasets", "shop/web"))
    assert cluster.unreadable == {WEB}
    cluster.apply([_web()])
    assert cluster.unreadable == frozenset()
