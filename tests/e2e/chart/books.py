"""What a release did, by its ledger, and how it is when it rests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from common.model.facts import Fact
from common.queue.workqueue import WorkQueue
from common.state.ledger import Ledger
from tests.e2e.chart.ground import DONE_S, eventually
from tests.e2e.chart.installation import Installation

_FACTS = 50_000  # more than the stream keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done since a moment."""

    inventories: int
    writes: Mapping[str, int]  # how (created, replaced, stamped, deleted) → reports


def done_since(installation: Installation, at_s: float) -> Done:
    """Return what the ledger has since `at_s`, by Redis' clock, which is this machine's."""
    facts = facts_since(installation, at_s)
    return Done(
        inventories=sum(fact.kind == "inventoried" for fact in facts),
        writes=Counter(str(fact.data["how"]) for fact in facts if fact.kind == "written"),
    )


def facts_since(installation: Installation, at_s: float) -> list[Fact]:
    """Return the ledger's facts since `at_s`, the oldest first."""
    with installation.tables() as (client, names):
        return [fact for _, fact in Ledger(client, names).tail(_FACTS) if fact.at >= at_s]


@contextmanager
def queue_of(installation: Installation) -> Iterator[WorkQueue]:
    """Give its queue, as long as its Redis lives."""
    with installation.tables() as (client, names):
        yield WorkQueue(client, names)


def waiting(queue: WorkQueue) -> int:
    """Return how many keys are queued, running or delayed."""
    depths, totals = queue.depth(), queue.totals()
    return sum(one.queued for one in depths.values()) + sum(
        one.running + one.delayed for one in totals.values()
    )


def await_rest(installation: Installation) -> None:
    """Wait until nothing is queued, running or delayed."""
    with queue_of(installation) as queue:
        eventually(lambda: not waiting(queue), within_s=DONE_S, explain=installation.explain)


def await_work(installation: Installation) -> None:
    """Wait until an image is being unpacked."""
    with queue_of(installation) as queue:
        eventually(
            lambda: queue.totals()["scan"].running, within_s=DONE_S, explain=installation.explain
        )


def await_queued(installation: Installation, keys: int) -> None:
    """Wait until so many keys wait."""
    with queue_of(installation) as queue:
        eventually(lambda: waiting(queue) >= keys, within_s=DONE_S, explain=installation.explain)
