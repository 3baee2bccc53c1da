"""What folds promise for every sequence of changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from common.model.workload import WorkloadRow
from tests import builders as b
from tests.folding import empty
from watcher.fold.cluster import Cluster
from watcher.fold.delta import RowChanged, RowGone
from watcher.stream.catalog import ROWS
from watcher.stream.change import Change, Op

# A small world, so that objects meet: two Deployments with three revisions each, a CronJob with two
# Jobs, a workflow, three nodes, and Pods that belong to any of them.
_NAMES = ("web", "api")
_DIGESTS = tuple(b.digest(seed) for seed in "ab")
_OWNERS = (
    [("ReplicaSet", f"{name}-{n}", "apps/v1") for name in _NAMES for n in (1, 2, 3)]
    + [("Job", "backup-1", "batch/v1"), ("Job", "backup-2", "batch/v1")]
    + [("StatefulSet", "db", "apps/v1"), ("Workflow", "etl", "argoproj.io/v1alpha1")]
)
_KIND = "VulnerabilityReport"


@st.composite
def pods(draw: st.DrawFn) -> Change:
    """Draw a Pod that appears, changes, makes noise or goes."""
    name = f"p{draw(st.integers(0, 7))}"
    owner = draw(st.sampled_from([None, *_OWNERS]))
    modifiers = [
        b.created_at(f"2026-11-25T10:0{draw(st.integers(0, 3))}:00Z"),
        b.phase(draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]))),
        b.on_node(draw(st.sampled_from(["", "n1", "n2", "n3"]))),
        b.noise(draw(st.integers(1, 5))),
    ]
    if owner is not None:
        kind, owner_name, group = owner
        modifiers.append(b.controlled_by(kind, owner_name, api_version=group))
    if draw(st.booleans()):
        modifiers.append(b.runs("app", draw(st.sampled_from(_DIGESTS))))
    else:
        modifiers.append(b.waits("app", draw(st.sampled_from(["ErrImagePull", "PodInitializing"]))))
    return _upsert_or_delete(draw, b.upsert(b.pod(name, *modifiers)))


@st.composite
def owners(draw: st.DrawFn) -> Change:
    """Draw a workload, a Deployment or a Job of a CronJob."""
    kind = draw(st.sampled_from(["Deployment", "ReplicaSet", "Job", "CronJob", "StatefulSet"]))
    name = draw(st.sampled_from(_NAMES))
    number = draw(st.integers(1, 3))
    image = b.container("app", f"app:{draw(st.integers(1, 2))}")
    match kind:
        case "Deployment":
            made = b.upsert(b.deployment(name, b.revision(number)), kind=kind)
        case "ReplicaSet":
            owner = b.controlled_by("Deployment", name)
            replica_set = b.replica_set(f"{name}-{number}", owner, b.revision(number), image)
            made = b.upsert(replica_set, kind=kind)
        case "Job":
            owner = b.controlled_by("CronJob", "backup")
            made = b.upsert(b.workload("Job", f"backup-{number % 2 + 1}", owner, image), kind=kind)
        case "CronJob":
            made = b.upsert(b.cron_job("backup", image), kind=kind)
        case _:
            made = b.upsert(b.workload("StatefulSet", "db", image), kind=kind)
    return _upsert_or_delete(draw, made)


@st.composite
def nodes(draw: st.DrawFn) -> Change:
    """Draw a node of one of two platforms."""
    node = b.node(f"n{draw(st.integers(1, 3))}", draw(st.sampled_from(["amd64", "arm64"])))
    return b.upsert(node)


@st.composite
def reports(draw: st.DrawFn) -> Change:
    """Draw a report about one of the workloads, or one that somebody gave to another."""
    kind, name, _ = draw(st.sampled_from(_OWNERS[:7]))
    called = draw(st.sampled_from(_OWNERS[:7]))[1] if draw(st.booleans()) else name
    made = b.report(_KIND, f"r-{called}", b.about(kind, name), b.stamped())
    return _upsert_or_delete(draw, b.upsert(made, kind=_KIND))


def _upsert_or_delete(draw: st.DrawFn, change: Change) -> Change:
    if draw(st.integers(0, 4)):
        return change
    assert change.object is not None
    kinds = {"vulnerabilityreports": _KIND, "cronjobs": "", "pods": ""}
    kind = kinds.get(change.resource)
    if kind is None:
        kind = {
            "deployments": "Deployment",
            "replicasets": "ReplicaSet",
            "jobs": "Job",
            "statefulsets": "StatefulSet",
        }[change.resource]
    return b.delete(change.object, kind=kind)


changes = st.lists(st.one_of(pods(), owners(), reports(), nodes()), max_size=40)


def _rows(cluster: Cluster) -> dict[str, WorkloadRow]:
    found = {key.shown: cluster.row(key) for key in cluster.prints}
    return {shown: row for shown, row in found.items() if isinstance(row, WorkloadRow)}


def _folded(sequence: list[Change]) -> Cluster:
    cluster = empty()
    for change in sequence:
        cluster.apply([change])
    return cluster


class TestFoldOfAPrefixThenTheRestIsTheFoldOfAll:
    """However a stream is cut into batches, the same cluster is known afterwards."""

    @given(changes, st.integers(0, 40))
    def test_in_two_batches(self, sequence: list[Change], cut: int) -> None:
        """Batches are cut by time, so by chance."""
        cluster = empty()
        cluster.apply(sequence[:cut])
        cluster.apply(sequence[cut:])
        assert _rows(cluster) == _rows(_folded(sequence))

    @given(changes)
    def test_loaded_at_the_start(self, sequence: list[Change]) -> None:
        """A restart loads first and builds the rows once."""
        cluster = empty()
        cluster.load(sequence)
        cluster.settle()
        assert dict(cluster.prints) == dict(_folded(sequence).prints)


class TestWhatIsToldIsWhatDiffers:
    """A fact for every row that differs, and for no other."""

    @given(changes, changes)
    def test_of_a_batch(self, before: list[Change], batch: list[Change]) -> None:
        """The feed sends exactly these."""
        cluster = _folded(before)
        old = dict(cluster.prints)
        facts = cluster.apply(batch)
        new = dict(cluster.prints)
        told = {fact.key for fact in facts if isinstance(fact, RowChanged)}
        gone = {fact.key for fact in facts if isinstance(fact, RowGone)}
        assert told == {key for key, print_ in new.items() if old.get(key) != print_}
        assert gone == old.keys() - new.keys()


class TestAListSaidAgainChangesNothing:
    """After a re-list everything is said again: idempotent, in any order."""

    @given(changes, st.randoms(use_true_random=False))
    def test_in_any_order(self, sequence: list[Change], chance: object) -> None:
        """Objects of several resources arrive in an order that nobody controls."""
        latest: dict[tuple[str, str], Change] = {}
        for change in sequence:
            latest.pop((change.resource, change.key), None)
            if change.object is not None:
                latest[(change.resource, change.key)] = change
        live = list(latest.values())
        cluster = empty()
        cluster.apply(live)
        before = dict(cluster.prints)
        shuffled = list(live)
        chance.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis' Random
        again = cluster.apply(shuffled)
        assert [fact for fact in again if isinstance(fact, RowChanged | RowGone)] == []
        assert dict(_folded(shuffled).prints) == before


class TestAReadingOfEverythingIsTheTruth:
    """Deletions that nobody told are found by what a reading has not seen."""

    @given(changes, changes)
    def test_whatever_was_missed(self, known: list[Change], sequence: list[Change]) -> None:
        """A version was lost, and everything is read again: as if nothing else had ever been."""
        latest: dict[tuple[str, str], Change] = {}
        for change in sequence:
            latest.pop((change.resource, change.key), None)
            if change.object is not None:
                latest[(change.resource, change.key)] = change
        cluster = _folded(known)
        cluster.apply([*latest.values(), *_ends(latest)])
        truth = _rows(_folded(list(latest.values())))
        assert _without_platforms(_rows(cluster)) == _without_platforms(truth)


def _ends(latest: dict[tuple[str, str], Change]) -> list[Change]:
    return [
        Change(
            resource=row.resource,
            op=Op.RELISTED,
            seen=frozenset(key for listed, key in latest if listed == row.resource),
        )
        for row in ROWS
    ]


def _without_platforms(rows: dict[str, WorkloadRow]) -> dict[str, object]:
    """Leave out what is remembered on purpose: the platforms of nodes that are gone."""
    return {
        shown: replace(
            row,
            containers=tuple(
                replace(one, running=tuple(dict.fromkeys(told.digest for told in one.running)))
                for one in row.containers
            ),
        )
        for shown, row in rows.items()
    }
