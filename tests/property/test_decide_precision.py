"""Precision: thousands of updates that hide k relevant ones give exactly k keys."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.key import WorkloadKey
from common.reports import labels as report_names
from tests import builders as b
from tests.folding import empty
from watcher.decide.affected import Wish, affected
from watcher.decide.predicate import Predicate, Subject
from watcher.stream.change import Change

_WORKLOADS = 200
_UPDATES = 4_000
_EPOCH = 3
_KIND = "VulnerabilityReport"


class _World:
    """Deployments with a ReplicaSet, two Pods and a report each, and what happens to them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.version = 1
        self.digests = {f"web-{n}": b.digest("old") for n in range(_WORKLOADS)}
        self.images = dict.fromkeys(self.digests, "app:1")
        self.gone: set[str] = set()

    def everything(self) -> Iterator[Change]:
        yield b.upsert(b.node("n1"))
        for name in self.digests:
            yield b.upsert(b.deployment(name, b.revision(1)), kind="Deployment")
            yield self.replica_set(name)
            yield from (self.pod(name, number) for number in (0, 1))
            yield self.report(name)

    def replica_set(self, name: str) -> Change:
        made = b.replica_set(
            name,
            b.controlled_by("Deployment", name),
            b.revision(1),
            b.container("app", self.images[name]),
            b.noise(self._next()),
        )
        return b.upsert(made, kind="ReplicaSet")

    def pod(self, name: str, number: int) -> Change:
        made = b.pod(
            f"{name}-{number}",
            b.controlled_by("ReplicaSet", name),
            b.on_node("n1"),
            b.runs("app", self.digests[name]),
            b.noise(self._next()),
        )
        return b.upsert(made)

    def report(self, name: str, *modifiers: b.Modifier) -> Change:
        made = b.report(
            _KIND,
            f"replicaset-{name}-app",
            b.about("ReplicaSet", name),
            b.stamped(epoch=_EPOCH),
            b.versioned(self._next()),
            *modifiers,
        )
        return b.upsert(made, kind=_KIND)

    def noise(self) -> list[Change]:
        """Return an update that no report depends on."""
        name = self.chance.choice([one for one in self.digests if one not in self.gone])
        choices: list[Callable[[], list[Change]]] = [
            lambda: [self.pod(name, self.chance.randrange(2))],
            lambda: [self.pod(name, self.chance.randrange(2))],
            lambda: [self.pod(name, self.chance.randrange(2))],
            lambda: [self.replica_set(name)],
            lambda: [self.report(name)],
            lambda: [self.report(name, b.labelled({"team": f"t{self.chance.randrange(9)}"}))],
            lambda: [b.upsert(b.deployment(name, b.revision(1), b.noise(9)), kind="Deployment")],
            lambda: [b.upsert(b.node("n1"))],
            lambda: self._rescheduled(name),
        ]
        return self.chance.choice(choices)()

    def relevant(self, name: str) -> list[Change]:
        """Return an update of `name` that its reports depend on."""
        if self.chance.random() < 0.5:
            return self.tampered(name)
        match self.chance.randrange(3):
            case 0:
                self.digests[name] = b.digest("new")
                return [self.pod(name, number) for number in (0, 1)]
            case 1:
                self.images[name] = "app:2"
                return [self.replica_set(name)]
            case _:
                self.gone.add(name)
                return [b.delete(b.replica_set(name), kind="ReplicaSet")]

    def tampered(self, name: str) -> list[Change]:
        """Return what somebody did to the report of `name`."""
        match self.chance.randrange(4):
            case 0:
                return [b.delete(b.report(_KIND, f"replicaset-{name}-app"), kind=_KIND)]
            case 1:
                return [self.report(name, b.labelled({report_names.RESOURCE_NAME: "zz"}))]
            case 2:
                foreign = b.controlled_by("ConfigMap", "other")
                return [self.report(name, foreign), self.report(name)]  # a worker was fast
            case _:
                return [self.report(name, b.generation(7))]

    def _rescheduled(self, name: str) -> list[Change]:
        """Replace a Pod by one of another name that runs the same."""
        return [b.delete(b.pod(f"{name}-1")), self.pod(name, 1)]

    def _next(self) -> int:
        self.version += 1
        return self.version


@pytest.mark.parametrize("hidden", [0, 1, 37])
def test_a_stream_that_hides_k_relevant_changes_gives_exactly_k_keys(hidden: int) -> None:
    """No key too many: each is a run. No key too few: each is a report that is not true."""
    chance = random.Random(hidden)  # noqa: S311 # the same stream every time
    world, cluster = _World(chance), empty()
    cluster.load(world.everything())
    cluster.settle()
    names = chance.sample(sorted(world.digests), hidden)
    due = dict(zip(chance.sample(range(_UPDATES), hidden), names, strict=True))
    wishes: list[Wish] = []
    batch: list[Change] = []
    for number in range(_UPDATES):
        batch += world.relevant(due[number]) if number in due else world.noise()
        if chance.random() < 0.05 or number == _UPDATES - 1:
            wishes += affected(cluster.apply(batch), cluster, epoch=_EPOCH)
            batch = []
    counted = Counter(wish.key for wish in wishes)
    wanted = {WorkloadKey(kind="ReplicaSet", namespace=b.NAMESPACE, name=name) for name in names}
    assert counted == dict.fromkeys(wanted, 1)


subjects = st.builds(
    Subject,
    kind=st.sampled_from(["Pod", "Job"]),
    namespace=st.sampled_from(["", "shop", "dev"]),
    labels=st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2),
)


def _predicate(kind: str, namespace: str, label: str) -> Predicate:
    return Predicate(
        name=f"{kind}{namespace}{label}",
        misses="",
        test=lambda subject: (
            subject.kind == kind or subject.namespace == namespace or label in subject.labels
        ),
    )


predicates = st.builds(
    _predicate,
    st.sampled_from(["Pod", "Job"]),
    st.sampled_from(["shop", "dev"]),
    st.sampled_from("ab"),
)


class TestPredicatesFormAnAlgebra:
    """Composition means what a reader expects of and, or, not."""

    @given(predicates, subjects)
    def test_a_double_negation_is_nothing(self, one: Predicate, subject: Subject) -> None:
        """`~~p` is `p`."""
        assert (~~one)(subject) == one(subject)

    @given(predicates, predicates, subjects)
    def test_de_morgan(self, one: Predicate, other: Predicate, subject: Subject) -> None:
        """Not (p and q) is not p or not q."""
        assert (~(one & other))(subject) == ((~one) | (~other))(subject)
        assert (~(one | other))(subject) == ((~one) & (~other))(subject)
