"""The ledger reads as a story: what a run did, then how it ended; each thing once."""

from __future__ import annotations

import pytest
from redis import Redis

from common.model.facts import Fact
from common.model.key import WorkloadKey
from common.queue.contract import Add, Claim
from common.queue.workqueue import WorkQueue
from common.state.ledger import Ledger
from common.state.names import Names
from tests.queue_values import LEASE_S, converged, failed, workload, workloads

pytestmark = pytest.mark.integration

WEB = workload("web")


def written(key: WorkloadKey) -> Fact:
    """Return the fact that a run wrote a report."""
    return Fact(kind="written", key=str(key), data={"report": f"R/shop/{key.name}"})


def claimed(queue: WorkQueue, keys: list[WorkloadKey]) -> list[Claim]:
    """Add the keys and claim them all."""
    queue.add([Add(key=key) for key in keys])
    return queue.claim("reconcile", "w1", limit=len(keys), lease_s=LEASE_S)


@pytest.fixture
def ledger(redis_client: Redis, names: Names) -> Ledger:
    """Give the ledger of the queue."""
    return Ledger(redis_client, names)


def told(ledger: Ledger, key: WorkloadKey) -> list[str]:
    """Return the kinds of a key's facts, as `history` shows them."""
    return [fact.kind for fact in ledger.history(str(key), 50)]


@pytest.mark.parametrize(
    ("outcome", "end"), [(converged(), "converged"), (failed(), "retried")], ids=["well", "ill"]
)
def test_what_a_run_did_is_told_before_how_it_ended(
    queue: WorkQueue, ledger: Ledger, outcome: object, end: str
) -> None:
    """`Everything is true now.` above the writes that made it so reads like a second round."""
    (claim,) = claimed(queue, [WEB])
    queue.complete("w1", [(claim, outcome)], [written(WEB), written(WEB)])  # type: ignore[list-item] # either one
    assert told(ledger, WEB) == ["enqueued", "claimed", "written", "written", end]


def test_each_key_of_a_batch_has_its_own_story(queue: WorkQueue, ledger: Ledger) -> None:
    """Runs of one batch end in one call."""
    keys = workloads(3)
    claims = claimed(queue, keys)
    queue.complete("w1", [(claim, converged()) for claim in claims], [written(key) for key in keys])
    for key in keys:
        assert told(ledger, key) == ["enqueued", "claimed", "written", "converged"]


def test_a_call_that_is_sent_again_tells_nothing_twice(queue: WorkQueue, ledger: Ledger) -> None:
    """Its reply was lost; counters that grow by that would hide real work in the noise."""
    (claim,) = claimed(queue, [WEB])
    end = [(claim, converged())]
    assert queue.complete("w1", end, [written(WEB)]) == [True]
    assert queue.complete("w1", end, [written(WEB)], resent=True) == [False]
    assert told(ledger, WEB) == ["enqueued", "claimed", "written", "converged"]


def test_a_call_that_never_arrived_tells_everything_when_sent_again(
    queue: WorkQueue, ledger: Ledger
) -> None:
    """The sender cannot know which of the two was lost."""
    (claim,) = claimed(queue, [WEB])
    assert queue.complete("w1", [(claim, converged())], [written(WEB)], resent=True) == [True]
    assert told(ledger, WEB) == ["enqueued", "claimed", "written", "converged"]
