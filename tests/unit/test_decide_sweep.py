"""The sweep contradicts every memory: what it accepts, and what it brings back."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from common.model.key import RowKey
from common.reports import labels as names
from common.reports.stamp import CONTENT_HASH_ANNOTATION
from common.state.settled import SettledRow
from tests import builders as b
from tests.folding import folded
from watcher.decide.sweep import Disagreement, Instant, Verdict, gone, judge, not_waiting
from watcher.fold.cluster import Cluster
from watcher.stream.change import Change, Op

KIND = "VulnerabilityReport"
NAME = "replicaset-web-app"
SHOWN = f"{KIND}/{b.NAMESPACE}/{NAME}"
HASH = "ab" * 16
EPOCH = 4
WEB: RowKey = b.key("ReplicaSet", "web")
NOW_S = 1_000.0
INSTANT = Instant(epoch=EPOCH, settled_before_s=NOW_S)


def _cluster(*report: b.Modifier, stored: bool = True) -> Cluster:
    changes: list[Change] = [b.upsert(b.replica_set("web"), kind="ReplicaSet")]
    if stored:
        about = (b.about("ReplicaSet", "web"), b.stamped(HASH, epoch=EPOCH), *report)
        changes.append(b.upsert(b.report(KIND, NAME, *about), kind=KIND))
    return folded(*changes)


def _settled(
    cluster: Cluster,
    *,
    outcome: str = "Converged",
    epoch: int = EPOCH,
    at_s: float = NOW_S - 1,
    fingerprint: str | None = None,
    reports: Mapping[str, str] | None = None,
) -> dict[RowKey, SettledRow]:
    row = SettledRow(
        fingerprint=cluster.prints[WEB] if fingerprint is None else fingerprint,
        epoch=epoch,
        outcome=outcome,
        at=at_s,
        reports={SHOWN: HASH} if reports is None else reports,
    )
    return {WEB: row}


def _judge(cluster: Cluster, settled: Mapping[RowKey, SettledRow]) -> Verdict:
    return judge(
        [WEB], cluster, settled=settled, stored={WEB: cluster.prints[WEB]}, instant=INSTANT
    )


def _cause(verdict: Verdict) -> str:
    return verdict.add[0].cause if verdict.add else ""


def test_what_agrees_is_left_alone() -> None:
    """Law 1: unchanged input, no enqueue and no table write."""
    cluster = _cluster()
    assert _judge(cluster, _settled(cluster)) == Verdict(add=(), store=())


@pytest.mark.parametrize("stored", [True, False], ids=["died before the add", "and before the row"])
def test_only_completion_settles_and_the_sweep_derives_the_rest_again(*, stored: bool) -> None:
    """Trap 1. The watcher stored its fingerprint and died before the enqueue."""
    cluster = _cluster()
    known = {WEB: cluster.prints[WEB]} if stored else {}
    verdict = judge([WEB], cluster, settled={}, stored=known, instant=INSTANT)
    assert verdict.add == (Disagreement(key=WEB, cause="NeverSettled"),)


def test_a_key_that_the_queue_lost_is_added_again() -> None:
    """Trap 1. The other order: it was enqueued, and a failover took the entry."""
    cluster = _cluster()
    stored = {WEB: cluster.prints[WEB]}
    verdict = judge(
        [WEB], cluster, settled=_settled(cluster, fingerprint="old"), stored=stored, instant=INSTANT
    )
    assert not_waiting(verdict, cluster, stored=stored, waiting=()) == (
        Disagreement(key=WEB, cause="RowChanged"),
    )


def test_a_key_that_waits_with_its_row_is_accepted() -> None:
    """It is queued, runs, or is parked with a probe: adding it again says nothing new."""
    cluster = _cluster()
    stored = {WEB: cluster.prints[WEB]}
    verdict = judge([WEB], cluster, settled={}, stored=stored, instant=INSTANT)
    assert not_waiting(verdict, cluster, stored=stored, waiting=[WEB]) == ()


@pytest.mark.parametrize("stored", [{WEB: "old"}, {}])
def test_a_key_that_waits_with_another_row_is_added_again(stored: dict[RowKey, str]) -> None:
    """A running one must be marked dirty: it read the old row."""
    cluster = _cluster()
    verdict = judge([WEB], cluster, settled={}, stored=stored, instant=INSTANT)
    assert len(not_waiting(verdict, cluster, stored=stored, waiting=[WEB])) == 1


def test_an_older_epoch_brings_the_workload_back_and_a_newer_one_does_not() -> None:
    """Settings changed: everything is looked at again. A rollback publishes a higher number."""
    cluster = _cluster()
    assert _cause(_judge(cluster, _settled(cluster, epoch=EPOCH - 1))) == "EpochChanged"
    assert _cause(_judge(cluster, _settled(cluster, epoch=EPOCH + 1))) == ""


@pytest.mark.parametrize(
    ("modifiers", "cause"),
    [
        ([b.generation(2)], "ReportEdited"),
        ([b.annotated({"kube-sluice/stamp": "{"})], "ReportNoStamp"),
        ([b.controlled_by("ReplicaSet", "web", uid="dead")], "ReportForeignOwner"),
        ([b.stamped("cd" * 16, epoch=EPOCH)], "ReportChanged"),
        ([b.stamped(HASH, epoch=EPOCH + 1)], ""),  # a newer stamp is never overwritten
        ([b.labelled({"team": "x"}), b.versioned(9)], ""),
        ([b.labelled({names.RESOURCE_NAME: "zz"})], "ReportMislabelled"),
        ([b.labelled({names.CONTAINER_NAME: "yy"})], "ReportMislabelled"),
        ([b.labelled({names.CONTAINER_NAME: "yy"}), b.stamped(HASH, epoch=EPOCH + 1)], ""),
        ([b.annotated({CONTENT_HASH_ANNOTATION: "garbage"})], "ReportNoStamp"),
        ([b.stamped(epoch=EPOCH + 1), b.annotated({CONTENT_HASH_ANNOTATION: "v2:x"})], ""),
    ],
    ids=[
        "edited",
        "stamp removed",
        "dead owner",
        "other content",
        "newer epoch",
        "foreign label",
        "names another owner",
        "names another container",
        "other labels of a newer epoch",
        "unreadable hash",
        "a newer version's hash",
    ],
)
def test_a_report_that_is_not_as_the_run_made_it_brings_its_workload_back(
    modifiers: list[b.Modifier], cause: str
) -> None:
    """Trap 12. Whatever happened while nobody watched is found by metadata alone."""
    cluster = _cluster(*modifiers)
    assert _cause(_judge(cluster, _settled(cluster))) == cause


def test_a_report_that_is_missing_brings_its_workload_back() -> None:
    """Trap 11. The garbage collector took it while nobody watched."""
    cluster = _cluster(stored=False)
    assert _cause(_judge(cluster, _settled(cluster))) == "ReportMissing"


@pytest.mark.parametrize("outcome", ["Partial:ImageNotFound", "Rest:SkipLabel", "Rest:OldRevision"])
def test_an_outcome_that_promises_no_reports_is_accepted_without_them(outcome: str) -> None:
    """The broken image's own probe revives it; a run a sweep later would find the same."""
    cluster = _cluster(stored=False)
    assert _judge(cluster, _settled(cluster, outcome=outcome)) == Verdict(add=(), store=())
    assert _cause(_judge(cluster, _settled(cluster, outcome=outcome, fingerprint="old"))) != ""
    assert _cause(_judge(cluster, _settled(cluster, outcome=outcome, epoch=1))) != ""


def test_a_run_that_ended_a_moment_ago_is_not_judged_by_its_reports() -> None:
    """Trap 13. The completion may be seen before the event of its own write."""
    cluster = _cluster(stored=False)
    young = _settled(cluster, at_s=NOW_S + 1)
    assert _judge(cluster, young) == Verdict(add=(), store=())


def test_a_row_that_redis_lost_is_stored_without_a_run() -> None:
    """The settled run answers for it; workers need the row only when something happens."""
    cluster = _cluster()
    verdict = judge([WEB], cluster, settled=_settled(cluster), stored={}, instant=INSTANT)
    assert verdict == Verdict(add=(), store=(WEB,))


def test_after_a_flush_everything_is_added() -> None:
    """Trap 32. Workers compare stamps and write nothing; the images' users must be known again."""
    cluster = folded(*(b.upsert(b.replica_set(f"web-{n}"), kind="ReplicaSet") for n in range(5)))
    verdict = judge(list(cluster.prints), cluster, settled={}, stored={}, instant=INSTANT)
    assert len(verdict.add) == 5


def test_a_key_that_went_between_two_chunks_is_passed_over() -> None:
    """The live loop has forgotten it already."""
    assert judge([WEB], folded(), settled={}, stored={}, instant=INSTANT) == Verdict(
        add=(), store=()
    )


def test_what_redis_knows_and_the_cluster_does_not_is_gone() -> None:
    """A namespace was deleted while no watcher ran."""
    assert gone([WEB, b.key("Pod", "x")], _cluster()) == (b.key("Pod", "x"),)


def test_a_workload_that_cannot_be_decoded_is_not_gone() -> None:
    """Trap 23. A newer API server must not make a watcher forget what it cannot read."""
    cluster = folded(Change(resource="replicasets", op=Op.UNDECODABLE, key="shop/web"))
    assert gone([WEB], cluster) == ()


def test_a_clean_up_that_waits_already_is_not_asked_for_twice() -> None:
    """Its row is deleted; the settled run goes with the worker's run."""
    assert gone([WEB], folded(), waiting=[WEB]) == ()
