"""Which keys a change concerns: reports that others wrote, rows that changed, nothing else."""

from __future__ import annotations

import pytest

from common.model.key import WorkloadKey
from common.queue.contract import Lane
from common.reports import labels as names
from common.reports.stamp import CONTENT_HASH_ANNOTATION
from tests import builders as b
from tests.folding import folded
from watcher.decide.affected import Forget, Want, Wish, affected
from watcher.fold.cluster import Cluster
from watcher.stream.change import Change, Op

KIND = "VulnerabilityReport"
NAME = "replicaset-web-app"
EPOCH = 4
WEB = b.key("ReplicaSet", "web")
OURS = (b.about("ReplicaSet", "web"), b.stamped(epoch=EPOCH, generation=1))


def _report(*modifiers: b.Modifier) -> Change:
    return b.upsert(b.report(KIND, NAME, *modifiers), kind=KIND)


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
    wishes = _after(cluster, b.delete(b.report(KIND, NAME), kind=KIND))
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause="ReportDeleted")]


def test_the_deletion_of_a_zombies_report_brings_the_living_workload_back() -> None:
    """Trap 11. A zombie wrote for a dead uid, the garbage collector deletes: nothing else tells."""
    cluster = folded(_web(), _report(b.about("ReplicaSet", "web", uid="dead"), b.stamped()))
    wishes = _after(cluster, b.delete(b.report(KIND, NAME), kind=KIND))
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
        (_report(b.about("ReplicaSet", "web"), b.stamped(epoch=2**40 + 1)), "ReportNoStamp"),
        (_report(b.about("ReplicaSet", "web"), b.stamped(epoch=2**63)), "ReportNoStamp"),
    ],
    ids=["trivy-operator's", "dead owner", "newer version's", "out of reach", "no epoch"],
)
def test_a_report_that_somebody_else_wrote_brings_its_workload_back(
    report: Change, cause: str
) -> None:
    """The worker decides what to do about it; the watcher must not overlook it."""
    assert _after(folded(_web()), report) == [Want(key=WEB, lane=Lane.FRESH, cause=cause)]


@pytest.mark.parametrize(
    "labels",
    [
        {names.RESOURCE_NAME: "zz", names.CONTAINER_NAME: "yy"},
        {names.RESOURCE_NAME: "zz"},
        {names.RESOURCE_KIND: "Pod"},
        {names.RESOURCE_NAMESPACE: "other"},
        {names.CONTAINER_NAME: "yy"},
        {names.MANAGED_BY: "somebody"},
    ],
    ids=["owner and container", "owner", "kind", "namespace", "container", "manager"],
)
def test_a_label_of_ours_that_somebody_changed_brings_the_workload_back(
    labels: dict[str, str],
) -> None:
    """Dashboards find reports by these labels, and no generation tells of a change."""
    cluster = folded(_web(), _report(*OURS))
    changed = _report(*OURS, b.versioned(2), b.labelled(labels))
    expected = [Want(key=WEB, lane=Lane.FRESH, cause="ReportMislabelled")]
    assert _after(cluster, changed) == expected
    assert _after(cluster, _report(*OURS, b.versioned(3))) == [], "the repair is our own write"


def test_labels_that_are_not_ours_bring_nothing_back() -> None:
    """Teams label reports for their own purposes."""
    cluster = folded(_web(), _report(*OURS))
    foreign = b.labelled({"team": "x", "trivy-operator.resource.other": "y"})
    assert _after(cluster, _report(*OURS, b.versioned(2), foreign)) == []


def test_labels_that_name_another_living_workload_bring_both_back() -> None:
    """Its owner's run puts them right; the other one looks whether a report of it is missing."""
    api = b.upsert(b.replica_set("api"), kind="ReplicaSet")
    cluster = folded(_web(), api, _report(*OURS))
    claims = b.labelled({names.RESOURCE_NAME: "api"})
    assert _after(cluster, _report(*OURS, b.versioned(2), claims)) == [
        Want(key=WEB, lane=Lane.FRESH, cause="ReportMislabelled"),
        Want(key=b.key("ReplicaSet", "api"), lane=Lane.FRESH, cause="ReportForeignOwner"),
    ]


STOLEN = b.controlled_by("ConfigMap", "other")
RENAMED = b.labelled({names.RESOURCE_NAME: "zz"})


@pytest.mark.parametrize("labels", [(), (RENAMED,)], ids=["labels left", "labels changed too"])
def test_a_report_that_somebody_gives_to_another_owner_brings_its_workload_back(
    labels: tuple[b.Modifier, ...],
) -> None:
    """What the report says now leads nowhere: what it said before does."""
    cluster = folded(_web(), _report(*OURS))
    wishes = _after(cluster, _report(*OURS, b.versioned(2), STOLEN, *labels))
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause="ReportForeignOwner")]


def test_a_report_given_away_and_deleted_brings_its_workload_back() -> None:
    """Its labels still name the workload, also after a restart that saw nothing of it before."""
    cluster = folded(_web(), _report(*OURS, STOLEN))
    wishes = _after(cluster, b.delete(b.report(KIND, NAME), kind=KIND))
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause="ReportDeleted")]


def test_a_report_given_away_and_renamed_and_deleted_in_one_batch_is_missed_by_its_workload() -> (
    None
):
    """The events of a second come together."""
    cluster = folded(_web(), _report(*OURS))
    gone = b.delete(b.report(KIND, NAME), kind=KIND)
    wishes = _after(cluster, _report(*OURS, b.versioned(2), STOLEN, RENAMED), gone)
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause="ReportForeignOwner")]


def test_a_report_given_to_another_workload_brings_both_back() -> None:
    """The old owner has lost it, the new one did not write it."""
    api = b.upsert(b.replica_set("api"), kind="ReplicaSet")
    cluster = folded(_web(), api, _report(*OURS))
    given = _report(*OURS, b.versioned(2), b.controlled_by("ReplicaSet", "api"))
    assert _after(cluster, given) == [
        Want(key=b.key("ReplicaSet", "api"), lane=Lane.FRESH, cause="ReportMislabelled"),
        Want(key=WEB, lane=Lane.FRESH, cause="ReportForeignOwner"),
    ]


def test_a_refused_workload_that_loses_its_last_report_has_no_row_any_more() -> None:
    """Its row existed for that report alone: nothing else would ever take it away."""
    refused = _web(b.labelled({"no-scan": ""}))
    cluster = folded(refused, _report(*OURS), SLUICE_SKIP_RESOURCE_BY_LABELS="no-scan")
    assert WEB in cluster.prints
    assert _after(cluster, _report(*OURS, b.versioned(2), STOLEN)) == [Forget(key=WEB)]


def test_a_report_given_away_that_cannot_be_decoded_leads_to_the_workload_that_lives() -> None:
    """Trap 23. Its owner is nothing that has a row; the workload that its labels name has one."""
    cluster = folded(_web(), _report(*OURS, STOLEN))
    wishes = _after(cluster, _undecodable("vulnerabilityreports", f"shop/{NAME}"))
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause="Undecodable")]


def test_a_report_that_is_taken_back_is_our_own_write() -> None:
    """The worker's repair of a foreign owner must not bring its key again."""
    cluster = folded(_web(), _report(*OURS, STOLEN))
    assert _after(cluster, _report(*OURS, b.versioned(2))) == []


@pytest.mark.parametrize(
    ("content_hash", "cause"),
    [("garbage", "ReportNoStamp"), ("", "ReportNoStamp"), (f"v1:{'ab' * 16}", "ReportChanged")],
    ids=["unreadable", "empty", "another body's"],
)
def test_a_stamped_hash_that_somebody_changed_brings_the_workload_back(
    content_hash: str, cause: str
) -> None:
    """A write of ours that changes the hash changes the body, and so the generation."""
    cluster = folded(_web(), _report(*OURS))
    changed = b.annotated({CONTENT_HASH_ANNOTATION: content_hash})
    wishes = _after(cluster, _report(*OURS, b.versioned(2), changed))
    assert wishes == [Want(key=WEB, lane=Lane.FRESH, cause=cause)]
    rewritten = b.stamped("cd" * 16, epoch=EPOCH, generation=2)
    ours = _report(b.about("ReplicaSet", "web"), rewritten, b.generation(2), b.versioned(3))
    assert _after(cluster, ours) == [], "the next body is our own write"


@pytest.mark.parametrize("uid", ["dead", None])
def test_a_report_whose_workload_does_not_exist_is_left_to_the_garbage_collector(
    uid: str | None,
) -> None:
    """Nothing that a worker could do about it is worth a run."""
    report = b.report(KIND, NAME, b.about("ReplicaSet", "gone", uid=uid), b.stamped())
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
        ("vulnerabilityreports", f"shop/{NAME}", WEB),
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
