"""The end of a reading: what it has not seen is gone, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests import builders as b
from tests.folding import empty, folded
from watcher.fold.cluster import Cluster
from watcher.fold.delta import FoldFact, ReportGone, RowGone, Unreadable
from watcher.stream.change import Change, Op

KIND = "VulnerabilityReport"
A = b.digest("a")


def end(resource: str, *seen: str, namespace: str = "", op: Op = Op.RELISTED) -> Change:
    """Return the end of a reading that has seen the objects of these keys."""
    return Change(resource=resource, op=op, key=namespace, seen=frozenset(seen))


def about_web() -> Change:
    """Return a report about ReplicaSet `web`."""
    return b.upsert(b.report(KIND, "replicaset-web-app", b.about("ReplicaSet", "web")), kind=KIND)


def everything() -> list[Change]:
    """Return one object of every sort."""
    owner = b.controlled_by("ReplicaSet", "web")
    return [
        b.upsert(b.node("n1", "arm64")),
        b.upsert(b.deployment("web", b.revision(1)), kind="Deployment"),
        b.upsert(b.replica_set("web", b.controlled_by("Deployment", "web")), kind="ReplicaSet"),
        b.upsert(b.cron_job("night")),
        b.upsert(b.pod("web-1", owner, b.on_node("n1"), b.runs("app", A))),
        b.upsert(b.pod("tool")),
        about_web(),
    ]


def gone(facts: Iterable[FoldFact]) -> set[str]:
    """Return the keys of the rows that are gone."""
    return {fact.key.shown for fact in facts if isinstance(fact, RowGone)}


@pytest.mark.parametrize("op", [Op.SYNCED, Op.RELISTED])
def test_a_workload_that_was_not_seen_is_gone(op: Op) -> None:
    """Deletions that happened while the version was lost come in no event."""
    cluster = folded(*everything())
    facts = cluster.apply([end("cronjobs", op=op), end("pods", "shop/web-1", op=op)])
    assert gone(facts) == {"CronJob/shop/night", "Pod/shop/tool"}


def test_what_was_seen_stays() -> None:
    """The usual end: nothing happened meanwhile."""
    cluster = folded(*everything())
    seen = {
        "nodes": ["n1"],
        "deployments": ["shop/web"],
        "replicasets": ["shop/web"],
        "cronjobs": ["shop/night"],
        "pods": ["shop/web-1", "shop/tool"],
        "vulnerabilityreports": ["shop/replicaset-web-app"],
    }
    assert cluster.apply([end(resource, *keys) for resource, keys in seen.items()]) == []


def test_a_pod_that_was_not_seen_runs_nothing_any_more() -> None:
    """Its owner's row changes."""
    cluster = folded(*everything())
    cluster.apply([end("pods", "shop/tool")])
    row = cluster.row(b.key("ReplicaSet", "web"))
    assert row is not None
    assert not row.runs


def test_a_report_that_was_not_seen_is_told_as_deleted() -> None:
    """Its workload must write it again."""
    cluster = folded(*everything())
    (fact,) = cluster.apply([end("vulnerabilityreports")])
    assert isinstance(fact, ReportGone)
    assert fact.report.workload == b.key("ReplicaSet", "web")
    assert cluster.apply([end("sbomreports")]) == [], "another kind of the same name"


def test_a_deployment_that_was_not_seen_judges_no_revision_any_more() -> None:
    """Unknown counts as current."""
    older = b.replica_set("web", b.controlled_by("Deployment", "web"), b.revision(1))
    cluster = folded(
        b.upsert(b.deployment("web", b.revision(2)), kind="Deployment"),
        b.upsert(older, kind="ReplicaSet"),
    )
    assert not cluster.prints
    cluster.apply([end("deployments")])
    assert set(cluster.prints) == {b.key("ReplicaSet", "web")}


def test_a_node_that_was_not_seen_is_no_commonest_platform() -> None:
    """A workload that never ran is resolved for a platform that the cluster has."""
    cluster = folded(*everything(), b.upsert(b.replica_set("new"), kind="ReplicaSet"))
    row = cluster.row(b.key("ReplicaSet", "new"))
    assert row is not None
    assert row.default_platform == "linux-arm64"
    cluster.apply([end("nodes")])
    row = cluster.row(b.key("ReplicaSet", "new"))
    assert row is not None
    assert row.default_platform == "linux-amd64"


def test_a_reading_of_one_namespace_says_nothing_about_another() -> None:
    """With one informer a namespace, each knows its own."""
    other = b.upsert(b.pod("tool", b.in_namespace("other")))
    cluster = folded(*everything(), other)
    assert gone(cluster.apply([end("pods", namespace="shop")])) == {"Pod/shop/tool"}
    assert b.key("Pod", "tool", "other") in cluster.prints


def test_a_reading_that_is_blind_proves_nothing() -> None:
    """A name could not be read: it may be any of those that seem to be missing."""
    cluster = folded(*everything())
    assert cluster.apply([Change(resource="pods", op=Op.RELISTED)]) == []
    assert b.key("Pod", "tool") in cluster.prints


class TestUnreadable:
    """Trap 23, over time."""

    def strange(self, version: int) -> Change:
        return Change(resource="cronjobs", op=Op.UNDECODABLE, key="shop/odd", version=version)

    def test_it_is_told_once_for_each_version(self) -> None:
        """Every re-list says it again; its key must not be queued each time."""
        cluster = empty()
        assert len(cluster.apply([self.strange(1), self.strange(1)])) == 1
        assert len(cluster.apply([self.strange(2)])) == 1
        assert len(cluster.apply([self.strange(0), self.strange(0)])) == 2, "no number, no order"

    def test_one_that_was_not_seen_is_no_workload_any_more(self) -> None:
        """Until then its key may live, and is not forgotten by a sweep."""
        cluster = folded(self.strange(1))
        assert set(cluster.unreadable) == {b.key("CronJob", "odd")}
        cluster.apply([end("cronjobs", "shop/odd")])
        assert cluster.unreadable
        cluster.apply([end("cronjobs")])
        assert not cluster.unreadable

    def test_it_stands_for_itself_alone(self) -> None:
        """The same name of another resource is another object."""
        cluster = folded(self.strange(1))
        (fact,) = cluster.apply(
            [Change(resource="jobs", op=Op.UNDECODABLE, key="shop/odd", version=1)]
        )
        assert isinstance(fact, Unreadable)


def test_a_first_reading_that_broke_leaves_nothing_behind() -> None:
    """What it had said may be gone before the second one begins."""
    cluster: Cluster = empty()
    cluster.load([b.upsert(b.pod("old")), b.upsert(b.pod("new"))])
    cluster.load([b.upsert(b.pod("new")), end("pods", "shop/new", op=Op.SYNCED)])
    cluster.settle()
    assert set(cluster.prints) == {b.key("Pod", "new")}
