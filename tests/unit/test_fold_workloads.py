"""Revisions, relatives and the rows that need not exist."""

from __future__ import annotations

from typing import Any

import pytest

from common.model.workload import WorkloadRow
from tests import builders as b
from tests.folding import empty, folded, only_row
from watcher.fold.cluster import Cluster
from watcher.fold.delta import FoldFact, RowChanged, RowGone
from watcher.fold.nodes import REMEMBERED_DELETED, Nodes
from watcher.stream.change import Change

A, B = b.digest("a"), b.digest("b")
WEB = b.controlled_by("Deployment", "web")


def _deployment(*modifiers: b.Modifier) -> Change:
    return b.upsert(b.deployment("web", *modifiers), kind="Deployment")


def _replica_set(name: str, *modifiers: b.Modifier) -> Change:
    return b.upsert(b.replica_set(name, WEB, *modifiers), kind="ReplicaSet")


def _pod(name: str, replica_set: str, *modifiers: b.Modifier) -> Change:
    return b.upsert(b.pod(name, b.controlled_by("ReplicaSet", replica_set), *modifiers))


def _row(cluster: Cluster, name: str, kind: str = "ReplicaSet") -> WorkloadRow:
    row = cluster.row(b.key(kind, name))
    assert row is not None
    return row


def _changed(facts: list[FoldFact]) -> set[str]:
    return {fact.key.name for fact in facts if isinstance(fact, RowChanged)}


def test_a_revision_at_or_above_its_deployments_is_current() -> None:
    """Trap 5. The ReplicaSet is created before its Deployment's revision is raised."""
    cluster = folded(
        _deployment(b.revision(1)), _replica_set("web-1", b.revision(1)), _pod("p1", "web-1")
    )
    facts = cluster.apply([_replica_set("web-2", b.revision(2))])
    assert _changed(facts) == {"web-2"}
    assert _row(cluster, "web-2").current
    facts = cluster.apply([_deployment(b.revision(2))])
    assert _changed(facts) == {"web-1"}, "the new one was current already: nothing to do for it"
    assert (_row(cluster, "web-1").current, _row(cluster, "web-1").successor) == (False, "web-2")


@pytest.mark.parametrize("text", ["9" * 5000, "9" * 20, "\u0663", "-1", "1e3", "\u00b2", ""])
def test_a_revision_that_is_no_number_counts_as_none(text: str) -> None:
    """One annotation of 5,000 digits ended the watcher, again at each of its starts."""
    odd = b.annotated({"deployment.kubernetes.io/revision": text})
    cluster = folded(_deployment(odd), _replica_set("web-1", odd), _pod("p1", "web-1"))
    assert _row(cluster, "web-1").current


def test_a_replica_set_is_current_while_its_deployment_is_not_known() -> None:
    """Trap 5. Streams of two resources come in any order."""
    cluster = folded(_replica_set("web-1", b.revision(1)))
    assert _row(cluster, "web-1").current


@pytest.mark.parametrize(
    "changes",
    [
        [_deployment(), _replica_set("web-1", b.revision(1))],
        [_deployment(b.revision(3)), _replica_set("web-1")],
        [
            _deployment(b.revision(3), b.with_uid("another")),
            _replica_set("web-1", b.revision(1)),
        ],
    ],
    ids=["deployment without revision", "replica set without revision", "another deployment"],
)
def test_what_is_unknown_counts_as_current(changes: list[Change]) -> None:
    """To scan an old revision costs a scan; to skip the current one costs the truth."""
    assert _row(folded(*changes), "web-1").current


def test_a_row_that_is_not_current_names_its_successor_and_keeps_its_pods() -> None:
    """Trap 6. Its reports may go only when the successor's exist, so it must know the successor."""
    cluster = folded(
        _deployment(b.revision(2)),
        _replica_set("web-1", b.revision(1)),
        _pod("p1", "web-1", b.runs("app", A)),
    )
    assert _row(cluster, "web-1").successor == "", "no successor is seen yet: nothing may go"
    facts = cluster.apply([_replica_set("web-2", b.revision(2))])
    assert _changed(facts) == {"web-1", "web-2"}
    row = _row(cluster, "web-1")
    assert (row.current, row.successor, row.has_pods, row.runs) == (False, "web-2", True, True)


def test_an_old_revision_whose_pods_are_gone_keeps_its_row_while_reports_name_it() -> None:
    """Trap 6. The old ReplicaSet is at 0 while the new one's scan fails: a good report is left."""
    report = b.report("VulnerabilityReport", "r1", b.about("ReplicaSet", "web-1"), b.stamped())
    pod = b.pod("p1", b.controlled_by("ReplicaSet", "web-1"), b.runs("app", A))
    cluster = folded(
        _deployment(b.revision(2)),
        _replica_set("web-1", b.revision(1)),
        _replica_set("web-2", b.revision(2)),
        b.upsert(pod),
        b.upsert(report, kind="VulnerabilityReport"),
    )
    assert _changed(cluster.apply([b.delete(pod)])) == {"web-1"}
    row = _row(cluster, "web-1")
    assert (row.current, row.has_pods, row.successor) == (False, False, "web-2")
    facts = cluster.apply([b.delete(report, kind="VulnerabilityReport")])
    assert RowGone(key=b.key("ReplicaSet", "web-1")) in facts


def test_a_rollout_does_not_touch_revisions_that_have_nothing_left() -> None:
    """A Deployment keeps ten old ReplicaSets; each rollout would change ten rows for nothing."""
    old = [_replica_set(f"web-{number}", b.revision(number)) for number in range(1, 11)]
    cluster = folded(_deployment(b.revision(10)), *old, _pod("p", "web-10", b.runs("app", A)))
    assert [key.name for key in cluster.prints] == ["web-10"]
    facts = cluster.apply([_replica_set("web-11", b.revision(11)), _deployment(b.revision(11))])
    assert _changed(facts) == {"web-10", "web-11"}


def test_a_rollback_makes_the_old_replica_set_current_again() -> None:
    """`kubectl rollout undo` raises the revision of an old ReplicaSet."""
    cluster = folded(
        _deployment(b.revision(2)),
        _replica_set("web-1", b.revision(1)),
        _replica_set("web-2", b.revision(2)),
        _pod("p2", "web-2", b.runs("app", A)),
    )
    cluster.apply([_replica_set("web-1", b.revision(3)), _deployment(b.revision(3))])
    assert _row(cluster, "web-1").current
    assert _row(cluster, "web-2").successor == "web-1"


def test_old_revisions_are_scanned_where_the_setting_asks_for_them() -> None:
    """trivy-operator's ..._SCAN_ONLY_CURRENT_REVISIONS=false."""
    cluster = empty(OPERATOR_VULNERABILITY_SCANNER_SCAN_ONLY_CURRENT_REVISIONS="false")
    cluster.apply([_deployment(b.revision(2)), _replica_set("web-1", b.revision(1))])
    assert _row(cluster, "web-1").current


def test_a_replica_set_of_another_controller_has_no_old_revisions() -> None:
    """Argo's Rollout controls ReplicaSets too; whoever has Pods is scanned, as upstream does."""
    rollout = b.controlled_by("Rollout", "web", api_version="argoproj.io/v1alpha1")
    cluster = folded(
        b.upsert(b.replica_set("web-1", rollout, b.revision(1)), kind="ReplicaSet"),
        b.upsert(b.replica_set("web-2", rollout, b.revision(2)), kind="ReplicaSet"),
    )
    row = _row(cluster, "web-1")
    assert row.current
    assert (row.top_kind, row.top_name) == ("ReplicaSet", "web-1")


def test_the_top_controller_of_a_replica_set_is_its_deployment() -> None:
    """Users watch Events of what they made."""
    row = _row(folded(_replica_set("web-1")), "web-1")
    assert (row.top_kind, row.top_name) == ("Deployment", "web")
    assert row.top_uid == b.uid_of("Deployment", "web")


def test_scaling_and_status_of_a_replica_set_are_noise() -> None:
    """Only Pods tell what runs; `replicas` raises the generation and nothing else."""
    cluster = folded(_replica_set("web-1", b.revision(1)))
    assert cluster.apply([_replica_set("web-1", b.revision(1), b.noise(9))]) == []


def test_a_new_image_changes_the_row() -> None:
    """A StatefulSet or DaemonSet keeps its name across revisions."""
    cluster = folded(b.upsert(b.workload("DaemonSet", "agent"), kind="DaemonSet"))
    changed = b.workload("DaemonSet", "agent", b.container("app", "app:2"))
    assert _changed(cluster.apply([b.upsert(changed, kind="DaemonSet")])) == {"agent"}


def test_a_workload_that_is_being_deleted_is_gone() -> None:
    """Reports about it would be collected as soon as they are written."""
    cluster = folded(_replica_set("web-1"))
    facts = cluster.apply([_replica_set("web-1", b.terminating())])
    assert facts == [RowGone(key=b.key("ReplicaSet", "web-1"))]


def test_a_workload_made_again_under_its_name_is_another_row() -> None:
    """The uid is part of the fingerprint: its reports belong to the dead one."""
    cluster = folded(_replica_set("web-1"))
    before = cluster.prints[b.key("ReplicaSet", "web-1")]
    again = b.replica_set("web-1", WEB, b.with_uid("second"))
    facts = cluster.apply(
        [b.delete(b.replica_set("web-1"), kind="ReplicaSet"), b.upsert(again, kind="ReplicaSet")]
    )
    assert facts == [RowChanged(key=b.key("ReplicaSet", "web-1"))], "no RowGone in between"
    assert cluster.prints[b.key("ReplicaSet", "web-1")] != before


# --- Jobs and CronJobs ----------------------------------------------------------------------------


def _job(name: str, *modifiers: b.Modifier) -> Change:
    return b.upsert(b.workload("Job", name, *modifiers), kind="Job")


def test_a_job_of_a_cron_job_is_none_itself_and_tells_the_cron_job_what_ran() -> None:
    """Trap 33. Thousands of Jobs would be thousands of reports; the CronJob is their subject."""
    owner = b.controlled_by("CronJob", "backup")
    cluster = folded(
        b.upsert(b.cron_job("backup"), kind="CronJob"),
        _job("backup-1", owner),
        b.upsert(
            b.pod(
                "backup-1-x",
                b.controlled_by("Job", "backup-1"),
                b.runs("app", A),
                b.phase("Succeeded"),
            )
        ),
    )
    row = only_row(cluster)
    assert row.key == b.key("CronJob", "backup")
    assert [one.digest for one in row.containers[0].running] == [A]
    assert (row.top_kind, row.top_name) == ("CronJob", "backup")


@pytest.mark.parametrize("job_first", [True, False])
def test_the_order_of_job_and_pod_does_not_matter_to_the_cron_job(*, job_first: bool) -> None:
    """Two streams: the Pod may be seen before its Job."""
    job = _job("backup-1", b.controlled_by("CronJob", "backup"))
    pod = b.upsert(b.pod("x", b.controlled_by("Job", "backup-1"), b.runs("app", A)))
    cluster = folded(b.upsert(b.cron_job("backup"), kind="CronJob"))
    for change in [job, pod] if job_first else [pod, job]:
        facts = cluster.apply([change])
    assert _changed(facts) == {"backup"}
    assert only_row(cluster).runs


def test_a_cron_job_that_never_ran_expects_no_pods() -> None:
    """Trap 33. It is resolved by a worker instead of being missed."""
    row = only_row(folded(b.upsert(b.cron_job("backup"), kind="CronJob")))
    assert (row.expects_pods, row.has_pods, row.runs) == (False, False, False)


def test_a_run_of_a_cron_job_that_changes_no_digest_changes_nothing() -> None:
    """A CronJob of every minute would otherwise make two runs a minute."""
    owner = b.controlled_by("CronJob", "backup")
    done = b.pod("x", b.controlled_by("Job", "j1"), b.runs("app", A), b.phase("Succeeded"))
    cluster = folded(
        b.upsert(b.cron_job("backup"), kind="CronJob"), _job("j1", owner), b.upsert(done)
    )
    started = b.pod("y", b.controlled_by("Job", "j2"), b.created_at("2026-11-25T11:00:00Z"))
    running = b.pod(
        "y", b.controlled_by("Job", "j2"), b.runs("app", A), b.created_at("2026-11-25T11:00:00Z")
    )
    for change in [_job("j2", owner), b.upsert(started), b.upsert(running)]:
        assert cluster.apply([change]) == []


def test_a_finished_job_keeps_telling_what_it_ran() -> None:
    """Its Pod is Succeeded; the digest is still the best answer to "which image was that"."""
    running = b.pod("x", b.controlled_by("Job", "once"), b.runs("app", A))
    cluster = folded(_job("once"), b.upsert(running))
    done = b.pod("x", b.controlled_by("Job", "once"), b.runs("app", A), b.phase("Succeeded"))
    cluster.apply([b.upsert(done)])
    row = only_row(cluster)
    assert not row.has_pods
    assert [one.digest for one in row.containers[0].running] == [A]


def test_of_finished_pods_only_the_newest_tells() -> None:
    """A Job's first try may have run an older `:latest`; a union of all would never shrink."""
    owner = b.controlled_by("Job", "once")
    first = b.pod("x", owner, b.runs("app", A), b.phase("Failed"))
    second = b.pod(
        "y", owner, b.runs("app", B), b.phase("Failed"), b.created_at("2026-11-25T11:00:00Z")
    )
    row = only_row(folded(_job("once"), b.upsert(first), b.upsert(second)))
    assert [one.digest for one in row.containers[0].running] == [B]


def test_a_job_of_an_unknown_controller_is_a_workload() -> None:
    """trivy-operator skips only those of CronJobs."""
    owner = b.controlled_by("JobSet", "train", api_version="jobset.x-k8s.io/v1alpha2")
    assert only_row(folded(_job("train-0", owner))).key == b.key("Job", "train-0")


# --- Pods of unknown controllers ------------------------------------------------------------------

_STEP = b.controlled_by("Workflow", "etl", api_version="argoproj.io/v1alpha1")


def _step(number: int, *modifiers: b.Modifier, done: bool = True) -> Change:
    made = b.created_at(f"2026-11-25T10:{number:02}:00Z")
    state = b.phase("Succeeded" if done else "Running")
    return b.upsert(b.pod(f"etl-{number}", _STEP, b.runs("app", A), made, state, *modifiers))


def test_completed_pods_of_a_workflow_engine_are_one_row_per_owner() -> None:
    """Trap 33. A workflow leaves thousands of completed Pods of one image."""
    cluster = folded(*(_step(number) for number in range(30)))
    assert [key.name for key in cluster.prints] == ["etl-0"]
    row = only_row(cluster)
    assert not row.has_pods
    assert [one.digest for one in row.containers[0].running] == [A]


def test_the_next_step_of_a_workflow_makes_no_work() -> None:
    """Trap 33. The oldest Pod stays the head, so reports do not move with every step."""
    cluster = folded(_step(0), _step(1, done=False))
    assert cluster.apply([_step(1), _step(2, done=False)]) == []


def test_the_row_moves_on_when_the_oldest_pod_is_deleted() -> None:
    """Its reports are collected with it, so the next one must have its own."""
    cluster = folded(_step(0), _step(1), _step(2))
    facts = cluster.apply([b.delete(b.pod("etl-0"))])
    assert facts == [
        RowGone(key=b.key("Pod", "etl-0")),
        RowChanged(key=b.key("Pod", "etl-1")),
    ]


def test_a_head_that_is_seen_late_takes_the_row_over() -> None:
    """The order of arrival must not decide what a restart would decide otherwise."""
    cluster = folded(_step(1))
    facts = cluster.apply([_step(0)])
    assert set(facts) == {
        RowChanged(key=b.key("Pod", "etl-0")),
        RowGone(key=b.key("Pod", "etl-1")),
    }


def test_pods_of_one_owner_with_other_images_are_rows_of_their_own() -> None:
    """The static Pods of a node are all owned by the Node: each is its own subject."""
    owner = b.controlled_by("Node", "n1")
    cluster = folded(
        b.upsert(b.pod("etcd-n1", owner, b.container("etcd", "etcd:3.6"))),
        b.upsert(b.pod("kube-apiserver-n1", owner, b.container("apiserver", "apiserver:1.36"))),
    )
    assert {key.name for key in cluster.prints} == {"etcd-n1", "kube-apiserver-n1"}


def test_a_gang_tells_everything_that_its_pods_run() -> None:
    """Three brokers of one custom resource: one row, and it knows the newest digest first."""
    owner = b.controlled_by("KafkaNodePool", "kafka", api_version="kafka.strimzi.io/v1beta2")
    cluster = folded(
        b.upsert(b.pod("kafka-0", owner, b.runs("app", A))),
        b.upsert(b.pod("kafka-1", owner, b.runs("app", B), b.created_at("2026-11-25T11:00:00Z"))),
    )
    row = only_row(cluster)
    assert row.name == "kafka-0"
    assert row.has_pods
    assert [one.digest for one in row.containers[0].running] == [B, A]


def test_what_a_kubelet_tells_of_any_pod_of_a_gang_reaches_the_row() -> None:
    """The Pod itself is as it was, and its own key tells nothing: the head's does."""
    cluster = folded(_step(0), b.upsert(b.pod("etl-1", _STEP, b.waits("app", "PodInitializing"))))
    facts = cluster.apply([b.upsert(b.pod("etl-1", _STEP, b.runs("app", B)))])
    assert facts == [RowChanged(key=b.key("Pod", "etl-0"))]


def test_a_foreign_kind_that_borrows_a_name_is_unknown() -> None:
    """Volcano has a kind `Job` of its own; no row of ours would ever tell of its Pods."""
    owner = b.controlled_by("Job", "train", api_version="batch.volcano.sh/v1alpha1")
    assert only_row(folded(b.upsert(b.pod("train-0", owner)))).key == b.key("Pod", "train-0")


@pytest.mark.parametrize(
    ("kind", "api_version"),
    [("ReplicaSet", "v1"), ("ReplicaSet", "apps/v2"), ("Job", "apps/v1"), ("CronJob", "v1")],
)
def test_a_kind_in_a_group_or_version_that_does_not_have_it_is_unknown(
    kind: str, api_version: str
) -> None:
    """The garbage collector cannot look for such an owner: its Pods live on, unseen otherwise."""
    owner = b.controlled_by(kind, "none", api_version=api_version)
    assert only_row(folded(b.upsert(b.pod("evil-0", owner)))).key == b.key("Pod", "evil-0")


def test_a_job_of_a_cron_job_that_cannot_exist_is_a_workload() -> None:
    """A Job that a CronJob made has no row of its own; this one was made by nobody."""
    owner = b.controlled_by("CronJob", "none", api_version="v1")
    job = b.upsert(b.workload("Job", "evil", owner), kind="Job")
    assert only_row(folded(job)).key == b.key("Job", "evil")


# --- Selection ------------------------------------------------------------------------------------


def test_a_refused_workload_without_reports_has_no_row() -> None:
    """Nothing can be done for it; ten thousand of them must not stand in Redis."""
    cluster = folded(
        b.upsert(b.replica_set("web", b.labelled({"no-scan": ""})), kind="ReplicaSet"),
        SLUICE_SKIP_RESOURCE_BY_LABELS="no-scan",
    )
    assert not cluster.prints


def test_a_refused_workload_that_has_reports_tells_why_it_is_refused() -> None:
    """The worker must know that it may not scan, and the user why."""
    report = b.report("VulnerabilityReport", "r", b.about("ReplicaSet", "web"), b.stamped())
    cluster = folded(
        b.upsert(b.replica_set("web"), kind="ReplicaSet"),
        b.upsert(report, kind="VulnerabilityReport"),
        SLUICE_SKIP_RESOURCE_BY_LABELS="no-scan",
    )
    facts = cluster.apply(
        [b.upsert(b.replica_set("web", b.labelled({"no-scan": ""})), kind="ReplicaSet")]
    )
    assert _changed(facts) == {"web"}
    assert only_row(cluster).skip == "SkipLabel"
    pod = b.pod("web-1", b.controlled_by("ReplicaSet", "web"), b.runs("app", A))
    assert cluster.apply([b.upsert(pod)]) == [], "what its Pods do is nobody's business"


def test_kube_system_is_scanned_like_any_other_namespace() -> None:
    """trivy-operator does; leaving it out is a setting."""
    pod = b.pod("etcd", b.in_namespace("kube-system"))
    assert only_row(folded(b.upsert(pod))).skip == ""
    assert not folded(b.upsert(pod), OPERATOR_EXCLUDE_NAMESPACES="kube-*").prints


def test_configured_labels_are_copied_and_only_those() -> None:
    """`report.resourceLabels`: reports and metrics carry them."""
    pod = b.pod("web", b.labelled({"team": "shop", "pod-template-hash": "x"}))
    row = only_row(folded(b.upsert(pod), SLUICE_RESOURCE_LABELS="team,tier"))
    assert row.labels == {"team": "shop"}


# --- Nodes ----------------------------------------------------------------------------------------


def test_the_platform_of_a_digest_is_its_nodes() -> None:
    """An index has an image for each; the wrong one would be scanned."""
    cluster = folded(
        b.upsert(b.node("n1", "arm64")), b.upsert(b.pod("p", b.on_node("n1"), b.runs("app", A)))
    )
    assert [one.platform for one in only_row(cluster).containers[0].running] == ["linux-arm64"]


def test_a_node_that_is_seen_after_its_pods_corrects_their_platform() -> None:
    """Two streams; the correction is spread work, not fresh: a node may carry hundreds of Pods."""
    cluster = folded(
        b.upsert(b.node("n0")),
        b.upsert(b.node("n00")),
        b.upsert(b.pod("p", b.on_node("n1"), b.runs("app", A))),
    )
    facts = cluster.apply([b.upsert(b.node("n1", "arm64"))])
    assert facts == [RowChanged(key=b.key("Pod", "p"), spread=True)]


def test_a_node_that_vanishes_leaves_its_pods_platform_alone() -> None:
    """Its Pods are collected later; until then they must not seem to have moved."""
    cluster = folded(
        b.upsert(b.node("n0")),
        b.upsert(b.node("n00")),
        b.upsert(b.node("n1", "arm64")),
        b.upsert(b.pod("p", b.on_node("n1"), b.runs("app", A))),
    )
    assert cluster.apply([b.delete(b.node("n1"))]) == []


def test_the_commonest_platform_is_assumed_for_what_never_ran() -> None:
    """A CronJob that never ran in an arm64 cluster is an arm64 image."""
    cluster = folded(
        b.upsert(b.node("n1", "arm64")),
        b.upsert(b.node("n2", "arm64")),
        b.upsert(b.node("n3", "amd64")),
        b.upsert(b.cron_job("backup"), kind="CronJob"),
    )
    assert only_row(cluster).default_platform == "linux-arm64"


def test_a_new_commonest_platform_touches_only_rows_that_assume_it() -> None:
    """No thundering herd when an autoscaler tips the balance."""
    cluster = folded(
        b.upsert(b.node("n1", "amd64")),
        b.upsert(b.cron_job("backup"), kind="CronJob"),
        b.upsert(b.pod("p", b.on_node("n1"), b.runs("app", A))),
    )
    facts = cluster.apply([b.upsert(b.node("n2", "arm64")), b.upsert(b.node("n3", "arm64"))])
    assert facts == [RowChanged(key=b.key("CronJob", "backup"), spread=True)]


def test_a_node_that_has_not_reported_counts_as_the_usual_platform() -> None:
    """A node registers before its kubelet fills nodeInfo."""
    cluster = folded(
        b.upsert(b.node("n1", "", "")), b.upsert(b.pod("p", b.on_node("n1"), b.runs("app", A)))
    )
    assert [one.platform for one in only_row(cluster).containers[0].running] == ["linux-amd64"]


def test_a_node_whose_platform_changes_moves_its_pods() -> None:
    """A node is rebuilt under its old name, with another processor."""
    cluster = folded(
        *(b.upsert(b.node(name)) for name in ("n1", "n2", "n3")),
        b.upsert(b.pod("p", b.on_node("n1"), b.runs("app", A))),
    )
    facts = cluster.apply([b.upsert(b.node("n1", "arm64"))])
    assert facts == [RowChanged(key=b.key("Pod", "p"), spread=True)]
    assert cluster.apply([b.upsert(b.node("n1", "arm64"))]) == []


def test_only_so_many_deleted_nodes_are_remembered() -> None:
    """Names of autoscaled nodes never return: without a bound they would fill the memory."""
    nodes = Nodes()
    nodes.put("n0", "linux-arm64")
    nodes.remove("n0")
    nodes.remove("never seen")
    assert nodes.platform_of("n0") == "linux-arm64"
    for number in range(REMEMBERED_DELETED):
        nodes.put(f"m{number}", "linux-arm64")
        nodes.remove(f"m{number}")
    assert nodes.platform_of("n0") == "linux-amd64"
    assert nodes.platform_of(f"m{REMEMBERED_DELETED - 1}") == "linux-arm64"


def test_a_deployment_that_is_deleted_leaves_its_replica_sets_current() -> None:
    """`kubectl delete --cascade=orphan`: nobody says any more which one is wanted."""
    cluster = folded(
        _deployment(b.revision(2)),
        _replica_set("web-1", b.revision(1)),
        _pod("p1", "web-1", b.runs("app", A)),
    )
    assert not _row(cluster, "web-1").current
    gone = b.delete(b.deployment("web"), kind="Deployment")
    assert _changed(cluster.apply([gone])) == {"web-1"}
    assert _row(cluster, "web-1").current
    assert cluster.apply([gone]) == []


def test_a_replica_set_that_is_adopted_counts_for_its_new_deployment() -> None:
    """The old siblings have no successor any more, the new ones have one."""
    cluster = folded(
        _deployment(b.revision(2)),
        _replica_set("web-1", b.revision(1)),
        _replica_set("web-2", b.revision(2)),
        _pod("p1", "web-1", b.runs("app", A)),
    )
    assert _row(cluster, "web-1").successor == "web-2"
    adopted = b.replica_set("web-2", b.controlled_by("Deployment", "api"), b.revision(2))
    assert _changed(cluster.apply([b.upsert(adopted, kind="ReplicaSet")])) == {"web-1", "web-2"}
    assert _row(cluster, "web-1").successor == ""
    assert _row(cluster, "web-2").top_name == "api"


def test_pods_in_a_namespace_that_is_left_out_are_not_even_kept() -> None:
    """kube-system's noise costs nothing where it is excluded."""
    cluster = folded(
        b.upsert(b.pod("etcd", b.in_namespace("kube-system"), b.runs("app", A))),
        OPERATOR_EXCLUDE_NAMESPACES="kube-*",
    )
    assert not cluster.prints
    assert cluster.uid_of(b.key("Pod", "etcd", "kube-system")) == ""


def test_what_never_ran_is_looked_for_on_the_platform_that_its_template_demands() -> None:
    """A CronJob for arm64 has no image for the nodes that are most."""

    def demand(body: dict[str, Any]) -> None:
        template = body["spec"]["jobTemplate"]["spec"]["template"]
        template["spec"]["nodeSelector"] = {"kubernetes.io/arch": "arm64"}

    cluster = folded(b.upsert(b.cron_job("nightly", demand)))
    assert only_row(cluster).default_platform == "linux-arm64"
