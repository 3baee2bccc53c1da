"""Reports about the cluster in the fold, and which of them the sweep lets a worker delete."""

from __future__ import annotations

import pytest

from common.model.clusterrow import SbomRow
from common.model.key import cluster_sbom_key
from common.model.workload import Running
from common.queue.contract import Lane
from common.reports.labels import IMAGE_ID, MANAGED_BY
from common.reports.naming import image_sbom_name
from common.state.settled import SettledRow
from tests import builders as b
from tests.fakes.watch_tables import FakeTables
from tests.folding import empty, folded
from watcher.decide.affected import Forget, Want, affected
from watcher.fold.cluster import Cluster
from watcher.stream.change import Change, Op
from watcher.sweeper import Ports, Sweep

KIND = "ClusterSbomReport"
IMAGE, A, B = "registry.example/app:1", b.digest("a"), b.digest("b")
NAME = image_sbom_name(IMAGE)
KEY = cluster_sbom_key(NAME)
HASH = "ab" * 16
ON = {"OPERATOR_CLUSTER_SBOM_CACHE_ENABLED": "true"}


def _pod(name: str = "web", image: str = IMAGE, ran: str = A) -> Change:
    return b.upsert(b.pod(name, b.container("app", image), b.runs("app", ran)))


def _report(name: str = NAME, *modifiers: b.Modifier, labelled: bool = True) -> Change:
    labels = b.labelled({IMAGE_ID: name} if labelled else {})
    made = b.report(KIND, name, b.in_namespace(""), labels, *modifiers)
    return b.upsert(made, kind=KIND)


def _wishes(cluster: Cluster, *changes: Change) -> list[Want | Forget]:
    return affected(cluster.apply(changes), cluster, epoch=1)


def _sweep(tables: FakeTables, cluster: Cluster) -> Sweep:
    ports = Ports(
        queue=tables,
        rows=tables,
        settled=tables,
        known=cluster,
        references=tables,
        images=tables.images,
    )
    sweep = Sweep(ports, fence=0, epoch=1, now_s=tables.now)
    while sweep.step(1_000):
        pass
    return sweep


@pytest.fixture
def running() -> Cluster:
    """Give a Pod that runs, and its entry as we wrote it."""
    return folded(_pod(), _report(NAME, b.stamped(HASH)), **ON)


def test_a_name_that_runs_has_a_row_and_workloads_add_nothing_but_contents() -> None:
    """A second workload of the same content is no change to it."""
    cluster = folded(_pod(), **ON)
    seen = Running(digest=A, platform="linux-amd64")
    assert cluster.row(KEY) == SbomRow(name=NAME, reference=IMAGE, images=(seen,))
    asked = _wishes(cluster, _pod("db"))
    assert [one.key for one in asked] == [b.key("Pod", "db")]
    (_, more) = _wishes(cluster, _pod("rolled", ran=B))
    assert isinstance(more, Want)
    assert (more.key, more.lane) == (KEY, Lane.BULK)


def test_the_row_goes_with_the_last_that_runs() -> None:
    """Then its key is forgotten, and a worker cleans up."""
    cluster = folded(_pod(), _pod("db"), **ON)
    gone = [b.delete(b.pod(name)) for name in ("web", "db")]
    assert [one.key for one in _wishes(cluster, gone[0])] == [b.key("Pod", "web")]
    assert Forget(key=KEY) in _wishes(cluster, gone[1])
    assert cluster.row(KEY) is None


def test_a_workload_that_is_not_scanned_tells_nothing_and_an_old_revision_does() -> None:
    """What a rollout still runs has its reports, and so its entry."""
    skipped = folded(_pod(), OPERATOR_TARGET_WORKLOADS="job", **ON)
    assert KEY not in skipped.prints
    template = (b.controlled_by("Deployment", "web"), b.container("app", IMAGE))
    old = b.replica_set("web-1", b.revision(1), *template)
    runs = (b.controlled_by("ReplicaSet", "web-1"), b.container("app", IMAGE), b.runs("app", A))
    rolling = folded(
        b.upsert(b.deployment("web", b.revision(2)), kind="Deployment"),
        b.upsert(old, kind="ReplicaSet"),
        b.upsert(b.pod("p", *runs)),
        **ON,
    )
    assert KEY in rolling.prints


@pytest.mark.parametrize(
    "environ", [{}, {**ON, "OPERATOR_TARGET_NAMESPACES": "shop"}], ids=["off", "in namespaces"]
)
def test_where_it_is_not_wanted_there_is_no_row(environ: dict[str, str]) -> None:
    """Whoever may work in namespaces alone could not write it."""
    cluster = folded(_pod(), **environ)
    assert list(cluster.prints) == [b.key("Pod", "web")]


def test_our_own_write_brings_nothing_back(running: Cluster) -> None:
    """It comes back as an event while the run may not have ended yet."""
    cluster = folded(_pod(), **ON)
    assert _wishes(cluster, _report(NAME, b.stamped(HASH))) == []


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (_report(NAME, b.stamped(HASH), b.generation(2)), "ReportEdited"),
        (_report(NAME), "ReportNoStamp"),
        (_report(NAME, b.stamped(HASH), labelled=False), "ReportMislabelled"),
        (_report(NAME, b.stamped(HASH), b.labelled({MANAGED_BY: "me"})), "ReportMislabelled"),
        (_report(NAME, b.stamped(HASH, epoch=2)), "ReportNewerEpoch"),
        (_report(NAME, b.stamped("cd" * 16)), "ReportChanged"),
        (b.delete(b.report(KIND, NAME, b.in_namespace("")), kind=KIND), "ReportDeleted"),
    ],
    ids=["body", "unstamped", "unlabelled", "manager", "newer", "hash", "deleted"],
)
def test_what_somebody_did_to_it_brings_its_key(
    running: Cluster, change: Change, cause: str
) -> None:
    """Traps 11 and 12."""
    (wish,) = _wishes(running, change)
    assert wish == Want(key=KEY, lane=Lane.FRESH, cause=cause)


def test_it_touches_no_workload(running: Cluster) -> None:
    """It has no owner, so nobody's row depends on it."""
    assert _wishes(running, _report("other")) == []


def test_what_agrees_is_left_alone_and_what_is_missing_comes_back(running: Cluster) -> None:
    """The sweep joins the cluster's rows as it joins workloads'."""
    tables = FakeTables(epoch=1)
    _sweep(tables, running)
    assert set(tables.waiting) == {KEY, b.key("Pod", "web")}
    tables.work({KEY: {f"{KIND}//{NAME}": HASH}})
    tables.now += 60
    assert _sweep(tables, running).tally.enqueued == 0
    running.apply([b.delete(b.report(KIND, NAME, b.in_namespace("")), kind=KIND)])
    assert _sweep(tables, running).tally.causes == {"ReportMissing": 1}


def _left(cluster: Cluster) -> set[str]:
    return {key.name for key in cluster.left_over()}


def test_a_report_that_nothing_needs_is_given_to_a_worker_once() -> None:
    """Trap 35. Its workload went while nobody watched, and Redis was flushed."""
    cluster = folded(_report(NAME, b.stamped(HASH)), **ON)
    tables = FakeTables(epoch=1)
    assert _sweep(tables, cluster).tally.forgotten == 1
    assert tables.waiting[KEY].cause == "gone"
    assert _sweep(tables, cluster).tally.forgotten == 0  # it waits
    tables.waiting.clear()
    cluster.apply([b.delete(b.report(KIND, NAME, b.in_namespace("")), kind=KIND)])
    assert _sweep(tables, cluster).tally.forgotten == 0


def test_a_settled_key_without_a_row_is_cleaned_up() -> None:
    """Its report may be gone while images are still said to be used by it."""
    tables = FakeTables(epoch=1)
    tables.settled_rows[KEY] = SettledRow(fingerprint="x", epoch=1, outcome="Converged")
    _sweep(tables, empty(**ON))
    assert tables.waiting[KEY].cause == "gone"


@pytest.mark.parametrize(
    ("change", "on", "off"),
    [
        (_report(NAME, b.stamped(HASH)), {KEY.name}, {KEY.name}),
        (_report(NAME), {KEY.name}, set()),
        (_report(NAME, labelled=False), set(), set()),
    ],
    ids=["ours", "trivy-operator's", "somebody's"],
)
def test_who_made_it_decides_whether_it_may_be_deleted(
    change: Change, on: set[str], off: set[str]
) -> None:
    """What trivy-operator left is taken over with the cache; a user's own is never touched."""
    assert _left(folded(change, **ON)) == on
    assert _left(folded(change)) == off


def test_what_a_reading_does_not_see_is_gone(running: Cluster) -> None:
    """After a list that was read again."""
    end = Change(resource="clustersbomreports", op=Op.RELISTED, seen=frozenset())
    wishes = _wishes(running, end)
    assert wishes == [Want(key=KEY, lane=Lane.FRESH, cause="ReportDeleted")]
