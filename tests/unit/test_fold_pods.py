"""What Pods tell their owners: digests, pull errors, and nothing else."""

from __future__ import annotations

import pytest

from common.model.workload import MOST_PULL_SECRETS, Container, Running, WorkloadRow
from tests import builders as b
from tests.folding import folded, only_row
from watcher.fold.delta import RowChanged
from watcher.stream.change import Change

A, B = b.digest("a"), b.digest("b")
WEB = b.key("ReplicaSet", "web")


def _app(row: WorkloadRow | None) -> Container:
    assert row is not None
    return next(one for one in row.containers if one.name == "app")


def _web() -> list[Change]:
    return [b.upsert(b.replica_set("web"), kind="ReplicaSet")]


def _pod(name: str, *modifiers: b.Modifier) -> Change:
    return b.upsert(b.pod(name, b.controlled_by("ReplicaSet", "web"), *modifiers))


def test_the_first_image_id_changes_the_fingerprint() -> None:
    """Trap 3. A ReplicaSet reconciled before any kubelet reports would rest for ever otherwise."""
    cluster = folded(*_web(), _pod("web-1"))
    assert not _app(cluster.row(WEB)).running
    facts = cluster.apply([_pod("web-1", b.runs("app", A))])
    assert facts == [RowChanged(key=WEB)]
    assert _app(cluster.row(WEB)).running == (Running(digest=A, platform="linux-amd64"),)


def test_running_digests_are_part_of_the_fingerprint() -> None:
    """Trap 4. `:latest` moves: the new Pod runs another digest, the ReplicaSet is the same."""
    cluster = folded(*_web(), _pod("web-1", b.runs("app", A)))
    before = cluster.prints[WEB]
    facts = cluster.apply(
        [
            b.delete(b.pod("web-1", b.controlled_by("ReplicaSet", "web"))),
            _pod("web-2", b.runs("app", B)),
        ]
    )
    assert facts == [RowChanged(key=WEB)]
    assert cluster.prints[WEB] != before
    assert [one.digest for one in _app(cluster.row(WEB)).running] == [B]


def test_the_pods_arrival_changes_the_fingerprint() -> None:
    """Trap 40. A workload that is reconciled before its Pod is in any cache must run again."""
    cluster = folded(*_web())
    row = cluster.row(WEB)
    assert row is not None
    assert not row.has_pods
    facts = cluster.apply([_pod("web-1", b.phase("Pending"))])
    assert facts == [RowChanged(key=WEB)]
    row = cluster.row(WEB)
    assert row is not None
    assert row.has_pods


def test_what_runs_keeps_its_row_when_a_rollout_names_a_tag_that_does_not_exist() -> None:
    """Trap 37. The old Pods serve on, one restarts: the row must go on telling what runs."""
    old, new = b.key("ReplicaSet", "web-old"), b.key("ReplicaSet", "web-new")
    owner = b.controlled_by("Deployment", "web")
    cluster = folded(
        b.upsert(b.deployment("web", b.revision(2)), kind="Deployment"),
        b.upsert(b.replica_set("web-old", owner, b.revision(1)), kind="ReplicaSet"),
        b.upsert(
            b.replica_set("web-new", owner, b.revision(2), b.container("app", "app:typo")),
            kind="ReplicaSet",
        ),
        b.upsert(b.pod("old-1", b.controlled_by("ReplicaSet", "web-old"), b.runs("app", A))),
        b.upsert(
            b.pod("new-1", b.controlled_by("ReplicaSet", "web-new"), b.waits("app", "ErrImagePull"))
        ),
    )
    restarted = b.pod(
        "old-2", b.controlled_by("ReplicaSet", "web-old"), b.runs("app", A), b.noise(7)
    )
    cluster.apply([b.delete(b.pod("old-1")), b.upsert(restarted)])
    row = cluster.row(old)
    assert row is not None
    assert (row.current, row.successor, row.has_pods) == (False, "web-new", True)
    assert [one.digest for one in _app(row).running] == [A]
    assert _app(cluster.row(new)).pull_error == "ErrImagePull"


def test_a_stateful_set_that_rolls_to_a_missing_tag_still_tells_what_its_other_pods_run() -> None:
    """Trap 37. One owner for old and new Pods: the error of one must not hide the other."""
    owner = b.controlled_by("StatefulSet", "db")
    cluster = folded(
        b.upsert(
            b.workload("StatefulSet", "db", b.container("app", "app:typo")), kind="StatefulSet"
        ),
        b.upsert(b.pod("db-0", owner, b.runs("app", A))),
        b.upsert(b.pod("db-1", owner, b.waits("app", "ImagePullBackOff"))),
    )
    app = _app(cluster.row(b.key("StatefulSet", "db")))
    assert [one.digest for one in app.running] == [A]
    assert app.pull_error == ""


def test_a_failing_pull_that_alternates_with_its_back_off_is_one_error() -> None:
    """The kubelet flips between the two every few seconds; each flip would make a run."""
    cluster = folded(*_web(), _pod("web-1", b.waits("app", "ErrImagePull")))
    assert _app(cluster.row(WEB)).pull_error == "ErrImagePull"
    assert cluster.apply([_pod("web-1", b.waits("app", "ImagePullBackOff"))]) == []


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull", "ImageInspectError"])
def test_an_error_that_no_retry_cures_keeps_its_name(reason: str) -> None:
    """The user reads it in the Event on the workload."""
    cluster = folded(*_web(), _pod("web-1", b.waits("app", reason)))
    assert _app(cluster.row(WEB)).pull_error == reason


@pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ContainerCreating", "PodInitializing"])
def test_a_wait_that_is_not_about_pulling_is_no_pull_error(reason: str) -> None:
    """A crash loop says nothing about the image in the registry."""
    cluster = folded(*_web(), _pod("web-1", b.waits("app", reason)))
    assert _app(cluster.row(WEB)).pull_error == ""


def test_status_noise_never_leaves_the_fold() -> None:
    """86 % of Pod events change nothing that a report depends on."""
    cluster = folded(*_web(), _pod("web-1", b.runs("app", A)))
    for number in range(2, 50):
        assert cluster.apply([_pod("web-1", b.runs("app", A), b.noise(number))]) == []


@pytest.mark.parametrize(
    ("image_id", "expected"),
    [
        (f"registry.example/team/app@{A}", A),
        (f"docker-pullable://app@{A}", A),
        (A, None),  # the configuration's digest: no registry serves it as an image
        (f"docker://{A}", None),
        ("", None),
        ("registry.example/app:1", None),
    ],
)
def test_only_a_digest_that_a_registry_serves_counts_as_told(
    image_id: str, expected: str | None
) -> None:
    """A configuration's digest taken for a manifest's would be asked of the registry in vain."""
    cluster = folded(*_web(), _pod("web-1", b.runs("app", A, image_id=image_id)))
    running = _app(cluster.row(WEB)).running
    assert [one.digest for one in running] == ([expected] if expected else [])


def test_the_newest_pods_digest_comes_first() -> None:
    """It is the report's primary image while a tag rolls within one ReplicaSet."""
    cluster = folded(
        *_web(),
        _pod("web-1", b.runs("app", A), b.created_at("2026-11-25T10:00:00Z")),
        _pod("web-2", b.runs("app", B), b.created_at("2026-11-25T10:05:00Z")),
    )
    assert [one.digest for one in _app(cluster.row(WEB)).running] == [B, A]


def test_pods_that_come_and_go_on_two_platforms_do_not_reorder_the_row() -> None:
    """An autoscaler that mixes architectures would otherwise rewrite the report all day."""
    nodes = [b.upsert(b.node("n1", "amd64")), b.upsert(b.node("n2", "arm64"))]
    first = _pod("web-1", b.on_node("n1"), b.runs("app", A), b.created_at("2026-11-25T10:00:00Z"))
    second = _pod("web-2", b.on_node("n2"), b.runs("app", A), b.created_at("2026-11-25T10:01:00Z"))
    third = _pod("web-3", b.on_node("n1"), b.runs("app", A), b.created_at("2026-11-25T10:02:00Z"))
    cluster = folded(*nodes, *_web(), first, second)
    platforms = [one.platform for one in _app(cluster.row(WEB)).running]
    assert platforms == ["linux-amd64", "linux-arm64"]
    assert cluster.apply([third]) == []


def test_a_finished_pod_of_a_replica_set_does_not_run() -> None:
    """Evicted Pods stay for days; what they ran is not what runs."""
    cluster = folded(*_web(), _pod("web-1", b.runs("app", A), b.phase("Failed")))
    row = cluster.row(WEB)
    assert row is not None
    assert not row.has_pods
    assert not row.runs


def test_a_pod_that_is_being_deleted_still_runs() -> None:
    """Its replacement reports the same digest seconds later: no change, no run."""
    cluster = folded(*_web(), _pod("web-1", b.runs("app", A)))
    gone_soon = _pod("web-1", b.runs("app", A), b.terminating())
    replacement = _pod("web-2", b.runs("app", A))
    assert cluster.apply([gone_soon]) == []
    assert cluster.apply([replacement]) == []
    assert cluster.apply([b.delete(b.pod("web-1"))]) == []


def test_pods_of_a_dead_owner_of_the_same_name_tell_the_new_one_nothing() -> None:
    """A StatefulSet deleted with orphans and made again has another uid."""
    cluster = folded(
        b.upsert(b.workload("StatefulSet", "db"), kind="StatefulSet"),
        b.upsert(b.pod("db-0", b.controlled_by("StatefulSet", "db", uid="dead"), b.runs("app", A))),
    )
    row = cluster.row(b.key("StatefulSet", "db"))
    assert row is not None
    assert not row.has_pods
    assert not row.runs


def test_a_containers_row_holds_only_its_own_digests() -> None:
    """Containers of one Pod are told apart by name, init containers included."""
    cluster = folded(
        b.upsert(
            b.replica_set(
                "web", b.container("app", "app:1"), b.container("setup", "setup:1", role="init")
            ),
            kind="ReplicaSet",
        ),
        _pod("web-1", b.runs("app", A), b.runs("setup", B), b.runs("injected", b.digest("c"))),
    )
    row = cluster.row(WEB)
    assert row is not None
    told = {one.name: (one.role, [seen.digest for seen in one.running]) for one in row.containers}
    assert told == {"app": ("container", [A]), "setup": ("init", [B])}


def test_a_bare_pod_is_a_workload_of_its_own_with_its_ephemeral_containers() -> None:
    """A debug container is scanned too, as trivy-operator does."""
    cluster = folded(
        b.upsert(
            b.pod(
                "tool",
                b.container("app", "app:1"),
                b.container("debug", "busybox:1", role="ephemeral"),
                b.runs("app", A),
                b.service_account("robot"),
                b.pull_secret("registry"),
            )
        )
    )
    row = only_row(cluster)
    assert row.key == b.key("Pod", "tool")
    assert (row.service_account, row.pull_secrets) == ("robot", ("registry",))
    assert [one.role for one in row.containers] == ["container", "ephemeral"]
    assert (row.top_kind, row.top_name) == ("Pod", "tool")


def test_pull_secrets_without_end_are_not_kept() -> None:
    """The list stands in each of the workload's uses of images: workers died of it."""
    names = [f"s{number}" for number in range(MOST_PULL_SECRETS + 1)]
    more = (b.pull_secret(name) for name in names)
    cluster = folded(b.upsert(b.pod("tool", b.container("app", "app:1"), *more)))
    assert only_row(cluster).pull_secrets == tuple(names[:MOST_PULL_SECRETS])


@pytest.mark.parametrize(
    "kind", ["ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job"]
)
def test_a_pod_of_a_workload_is_none_itself(kind: str) -> None:
    """Its digests belong to its owner's row, also before the owner is seen."""
    cluster = folded(b.upsert(b.pod("p", b.controlled_by(kind, "owner"), b.runs("app", A))))
    assert not cluster.prints


def test_an_adopted_pod_stops_being_a_workload() -> None:
    """A ReplicaSet adopts bare Pods that match its selector."""
    cluster = folded(b.upsert(b.pod("web-1", b.runs("app", A))), *_web())
    facts = cluster.apply([_pod("web-1", b.runs("app", A))])
    assert cluster.row(b.key("Pod", "web-1")) is None
    assert {fact.key for fact in facts if hasattr(fact, "key")} == {b.key("Pod", "web-1"), WEB}


def test_openshifts_deployer_pods_are_no_workloads() -> None:
    """They are the machinery of a rollout; trivy-operator skips them too."""
    deployer = b.pod("web-1-deploy", b.annotated({"openshift.io/deployment-config.name": "web"}))
    assert not folded(b.upsert(deployer)).prints


def test_a_configurations_digest_is_told_where_nothing_better_is() -> None:
    """Images that a node did not pull: a worker proves what they are."""
    bare = b.runs("app", A, image_id=B)
    app = _app(folded(*_web(), _pod("web-1", bare)).row(WEB))
    assert (app.running, app.pull_error) == ((), "")
    assert [one.digest for one in app.loaded] == [B]
    app = _app(folded(*_web(), _pod("web-1", bare), _pod("web-2", b.runs("app", A))).row(WEB))
    assert (len(app.running), app.loaded) == (1, ())
