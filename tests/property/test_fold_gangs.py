"""Pods that share one row, found in O(log n), against the definition that sorts all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests import builders as b
from tests.folding import empty
from watcher.fold.cluster import Cluster
from watcher.fold.facts import ContainerFact, Controller, WorkloadFact
from watcher.fold.workloads import Workloads
from watcher.stream.change import Change

# Owners of one name that are two objects, one of another name, and none.
_CONTROLLERS = (
    Controller(kind="Workflow", name="etl", uid="u1"),
    Controller(kind="Workflow", name="etl", uid="u2"),
    Controller(kind="Workflow", name="import", uid="u3"),
    None,
)


@st.composite
def _pods(draw: st.DrawFn) -> WorkloadFact:
    """Draw a Pod; few names, ages, images and owners, so that they meet."""
    name = f"p{draw(st.integers(0, 9))}"
    return WorkloadFact(
        namespace="shop",
        me=Controller(kind="Pod", name=name, uid=f"uid-{name}"),
        created_at=draw(st.integers(0, 2)),
        containers=(ContainerFact(name="app", role="container", image=draw(_images)),),
        service_account="",
        pull_secrets=(),
        labels=(),
        skip="",
        controller=draw(st.sampled_from(_CONTROLLERS)),
        revision=None,
    )


_images = st.sampled_from(["app:1", "app:2"])
_steps = st.lists(st.tuples(_pods(), st.booleans()), max_size=30)


def _by_definition(fact: WorkloadFact, everything: list[WorkloadFact]) -> list[WorkloadFact]:
    """Return all Pods of one controller with the same containers and images, the oldest first."""
    if fact.controller is None:
        return [fact]
    gang = [
        one
        for one in everything
        if one.controller == fact.controller and one.gang_images == fact.gang_images
    ]
    return sorted(gang, key=lambda one: (one.created_at, one.name))


class TestAGangIsWhatItsDefinitionSays:
    """However its Pods came, changed and went."""

    @given(_steps)
    def test_whole_its_head_and_its_controller(
        self, steps: list[tuple[WorkloadFact, bool]]
    ) -> None:
        """The table keeps an order; the definition sorts what it finds."""
        workloads, known = Workloads(), dict[str, WorkloadFact]()
        for fact, stays in steps:
            workloads.put(fact)
            known[fact.name] = fact
            if not stays:
                workloads.remove(fact.key)
                del known[fact.name]
        everything = list(known.values())
        for fact in everything:
            gang = _by_definition(fact, everything)
            assert workloads.gang(fact) == gang
            assert workloads.head(fact) == gang[0]
            if fact.controller is not None:
                family = [one for one in everything if one.controller == fact.controller]
                assert set(workloads.siblings(fact)) == set(family)
                assert workloads.owner(fact.controller, "shop") == fact.controller

    @given(_steps)
    def test_who_was_the_head_is_among_those_that_are_touched(
        self, steps: list[tuple[WorkloadFact, bool]]
    ) -> None:
        """`front` needs no look at the gang before the change."""
        workloads = Workloads()
        for fact, stays in steps:
            key = fact.key
            heads = {workloads.head(one).key for one in _all(workloads)}
            before = workloads.put(fact) if stays else workloads.remove(key)
            moved = heads ^ {workloads.head(one).key for one in _all(workloads)}
            changed = [one for one in (before, fact if stays else None) if one is not None]
            touched = {one.key for each in changed for one in workloads.front(each)}
            assert moved <= touched | {key}


def _all(workloads: Workloads) -> list[WorkloadFact]:
    return [fact for key in workloads if (fact := workloads.get(key)) is not None]


@st.composite
def _changes(draw: st.DrawFn) -> Change:
    """Draw a Pod of a workflow that appears, moves to another gang, grows old, or goes."""
    pod = b.pod(
        f"p{draw(st.integers(0, 5))}",
        b.controlled_by("Workflow", "etl", uid=draw(st.sampled_from(["u1", "u2"]))),
        b.created_at(f"2026-11-25T10:00:0{draw(st.integers(0, 2))}Z"),
        b.container("app", draw(_images)),
        b.runs("app", b.digest(draw(st.sampled_from("ab")))),
        b.phase(draw(st.sampled_from(["Running", "Succeeded"]))),
    )
    return b.upsert(pod) if draw(st.integers(0, 3)) else b.delete(pod)


class TestRowsOfGangsFollowEveryChange:
    """A row moves with its head, and only the rows that changes reach are built again."""

    @given(st.lists(st.lists(_changes(), max_size=4), max_size=8))
    def test_as_if_everything_were_built_anew(self, batches: list[list[Change]]) -> None:
        """What a batch does not touch must be what building all of it would give."""
        cluster = empty()
        for batch in batches:
            cluster.apply(batch)
            told = dict(cluster.prints)
            assert cluster.settle() == []
            assert dict(cluster.prints) == told
            assert {key.name for key in told} == _heads(cluster)


def _heads(cluster: Cluster) -> set[str]:
    everything = _all(cluster._tables.workloads)
    return {_by_definition(one, everything)[0].name for one in everything}
