"""What an object costs whose owner has thousands of them: counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import log2
from types import FrameType

import pytest

from tests import builders as b
from tests.folding import empty
from watcher.fold.facts import ContainerFact, Controller, WorkloadFact
from watcher.fold.workloads import Workloads
from watcher.stream.change import Change

PODS = 5_000
_ETL = Controller(kind="Workflow", name="etl", uid="u")


class _Age(int):
    """Counts how often ages are compared, also where a sort does it."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        _Age.compared += 1
        return int(self) < int(other)

    def __eq__(self, other: object) -> bool:
        _Age.compared += 1
        return isinstance(other, int) and int(self) == int(other)

    __hash__ = int.__hash__


def _fact(number: int, *, image: str = "app:1") -> WorkloadFact:
    """Return a Pod; the numbers jump about in age."""
    return WorkloadFact(
        namespace="shop",
        me=Controller(kind="Pod", name=f"etl-{number}", uid=f"uid-{number}"),
        created_at=_Age(number * 7919 % PODS),
        containers=(ContainerFact(name="app", role="container", image=image),),
        service_account="",
        pull_secrets=(),
        labels=(),
        skip="",
        controller=_ETL,
        revision=None,
    )


def test_a_pod_is_placed_among_thousands_in_few_comparisons() -> None:
    """A sort of all of them for each made minutes of 3,000 Pods."""
    workloads, facts = Workloads(), [_fact(number) for number in range(PODS)]
    _Age.compared = 0
    for fact in facts:
        workloads.put(fact)
        workloads.head(fact)
        workloads.front(fact)
    for fact in facts:
        workloads.remove(fact.key)
    # An equality and an order for each step of a bisection, once to come and once to go.
    assert _Age.compared <= PODS * 2 * 2 * (log2(PODS) + 2)


def _calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, Python's and C's."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def _changes(count: int, *, images: int) -> list[Change]:
    owner = b.controlled_by("Workflow", "etl", api_version="argoproj.io/v1alpha1")
    return [
        b.upsert(
            b.pod(
                f"etl-{number}",
                owner,
                b.container("app", f"app:{number % images}"),
                b.runs("app", b.digest("a")),
                b.phase("Succeeded"),
                b.created_at(f"2026-11-25T{number // 3600:02}:{number // 60 % 60:02}:00Z"),
            )
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("images", [1, PODS])
def test_a_sync_of_thousands_of_pods_under_one_owner_costs_each_as_little(images: int) -> None:
    """One gang of all, or a gang for each; four times the Pods, at most five times the calls."""

    def sync(changes: list[Change]) -> int:
        cluster = empty()
        calls = _calls(lambda: cluster.load(changes)) + _calls(cluster.settle)
        assert len(cluster.prints) == min(images, len(changes))
        return calls

    few, many = sync(_changes(PODS // 4, images=images)), sync(_changes(PODS, images=images))
    assert many <= few * 4 * log2(PODS) / log2(PODS // 4)


def test_one_pod_more_costs_what_it_did_before_there_were_thousands() -> None:
    """A step of a workflow whose every step has an image of its own."""
    costs = []
    for known in (PODS // 4, PODS):
        *before, change = _changes(known + 1, images=PODS + 1)
        cluster = empty()
        cluster.load(before)
        cluster.settle()
        costs.append(_calls(lambda fold=cluster, new=change: fold.apply([new])))  # type: ignore[misc]
    few, many = costs
    assert many <= few * 2


def test_a_sync_of_a_long_history_of_revisions_costs_each_as_little() -> None:
    """`revisionHistoryLimit` has no bound: an old revision without Pods needs no successor."""

    def sync(count: int) -> int:
        web = b.controlled_by("Deployment", "web")
        changes = [
            b.upsert(b.replica_set(f"web-{number}", web, b.revision(number)), kind="ReplicaSet")
            for number in range(1, count + 1)
        ]
        cluster = empty()
        cluster.load([b.upsert(b.deployment("web", b.revision(count)), kind="Deployment")])
        cluster.load(changes)
        calls = _calls(cluster.settle)
        assert [key.name for key in cluster.prints] == [f"web-{count}"]
        return calls

    assert sync(2_000) <= sync(500) * 5
