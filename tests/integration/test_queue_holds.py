"""Holds: whose fault a failure is, and what thousands of held keys leave in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from redis import Redis

from common.model.circuit import Fail
from common.model.errors import SluiceError, SourceUnavailableError
from common.queue.contract import Add, Claim, Hold, Outcome, Retry
from common.queue.workqueue import WorkQueue
from common.state.circuits import CircuitTable, Probe, Refusal
from common.state.ledger import Ledger
from common.state.names import Names
from tests.queue_values import LEASE_S, charged, converged, held, image, workload, workloads
from worker.judge import Judge

pytestmark = pytest.mark.integration

WEB = workload("web")
QUAY, GHCR = "registry/quay.io", "registry/ghcr.io"


@pytest.fixture
def ledger(redis_client: Redis, names: Names) -> Ledger:
    """Give the ledger of the queue."""
    return Ledger(redis_client, names)


@pytest.fixture
def circuits(redis_client: Redis, names: Names) -> CircuitTable:
    """Give the circuits; their list of troubles is never fresh."""
    reads = iter(range(0, 1_000_000, 10))
    return CircuitTable(redis_client, names, monotonic_s=lambda: float(next(reads)))


def claimed(queue: WorkQueue, limit: int = 1, pool: str = "reconcile") -> list[Claim]:
    """Claim up to `limit` keys."""
    return queue.claim(pool, "w1", limit=limit, lease_s=LEASE_S)


def run(queue: WorkQueue, outcome: Outcome) -> None:
    """Claim the one key, and end it so."""
    (claim,) = claimed(queue)
    assert queue.complete("w1", [(claim, outcome)]) == [True]


def told(ledger: Ledger, key: str) -> list[str]:
    """Return the kinds of a key's facts, holds with their source."""
    facts = ledger.history(key, 1000)
    return [f"held by {f.data['source']}" if f.kind == "held" else f.kind for f in facts]


# --- whose fault it is


def fault(source: str) -> SluiceError:
    """Return the fault of a source."""
    error = SourceUnavailableError("no route")
    error.source = source
    return error


def test_a_sources_first_fault_is_charged_to_no_key(
    queue: WorkQueue, circuits: CircuitTable
) -> None:
    """It was held by one source, or failed by itself; the next source's fault is not its own."""
    judge = Judge(circuits=circuits, draw=lambda: 0.0)
    queue.add([Add(key=image())])
    for source in (QUAY, "", GHCR):
        (claim,) = claimed(queue, pool="scan")
        outcome: Outcome = judge(fault(source), claim) if source else charged("Conflict")
        assert isinstance(outcome, Hold if source else Retry)
        queue.complete("w1", [(claim, outcome)])
        circuits.succeeded(QUAY)
        circuits.succeeded(GHCR)
    (claim,) = claimed(queue, pool="scan")
    assert isinstance(judge(fault(GHCR), claim), Retry), "it has served others meanwhile"


# --- what the ledger keeps


def test_a_source_that_is_away_for_long_leaves_a_few_facts_a_key(
    queue: WorkQueue, ledger: Ledger, later: Callable[[float], None]
) -> None:
    """Thousands of held keys would overwrite the whole ledger within minutes."""
    keys, rounds = workloads(20), 9
    queue.add([Add(key=key) for key in keys])
    for _ in range(rounds):
        claims = claimed(queue, limit=64)
        queue.complete("w1", [(claim, held(QUAY, delay_s=30)) for claim in claims])
        later(31)
    assert told(ledger, str(keys[0])) == ["enqueued", "claimed", f"held by {QUAY}"]
    assert len(ledger.tail(10_000)) == 3 * len(keys)
    assert ledger.counts()["held"] == ledger.counts()["claimed"] == rounds * len(keys)
    assert ledger.details()["held"]["registry"] == rounds * len(keys)


def test_two_sources_that_are_away_in_turn_are_told_once_each(
    queue: WorkQueue, ledger: Ledger
) -> None:
    """Neither is news a second time, though each hold names another one than the last."""
    queue.add([Add(key=WEB)])
    for source in (QUAY, GHCR) * 4:
        run(queue, held(source))
    assert told(ledger, str(WEB)) == ["enqueued", "claimed", f"held by {QUAY}", f"held by {GHCR}"]


def test_scanners_that_come_and_go_do_not_fill_the_ledger(queue: WorkQueue, ledger: Ledger) -> None:
    """Each worker's scanner is a source of its own; a hold by the hundredth is no news."""
    queue.add([Add(key=WEB)])
    for number in range(30):
        run(queue, held(f"scanner/pod-{number}"))
    assert len(told(ledger, str(WEB))) < 12
    assert ledger.counts()["held"] == 30


@pytest.mark.parametrize(
    ("end", "kind"), [(charged("Conflict"), "retried"), (converged(), "converged")], ids=str
)
def test_a_hold_after_a_row_of_them_is_news_again(
    queue: WorkQueue, ledger: Ledger, end: Outcome, kind: str
) -> None:
    """A run that got further than the source ends the row: the next outage is another one."""
    queue.add([Add(key=WEB)])
    for outcome in (held(QUAY), held(QUAY), end):
        run(queue, outcome)
    queue.add([Add(key=WEB)])
    for outcome in (held(QUAY), held(QUAY)):
        run(queue, outcome)
    again = [one for one in told(ledger, str(WEB)) if one != "enqueued"]
    row = ["claimed", f"held by {QUAY}"]
    assert again == [*row, kind, *row]


def test_a_key_that_changed_while_it_was_held_is_news_when_it_went_well(
    queue: WorkQueue, ledger: Ledger
) -> None:
    """It ran well and runs once more at once: the row of holds is over, though the hash stays."""
    queue.add([Add(key=WEB)])
    run(queue, held(QUAY))
    (claim,) = claimed(queue)
    queue.add([Add(key=WEB)])
    queue.complete("w1", [(claim, converged())])
    run(queue, held(QUAY))
    assert told(ledger, str(WEB)).count(f"held by {QUAY}") == 2


def test_a_key_that_was_revived_by_a_change_has_no_row_behind_it(
    queue: WorkQueue, ledger: Ledger
) -> None:
    """It was held, then it killed its workers; what holds it after the change is another story."""
    queue.add([Add(key=WEB)])
    run(queue, held(QUAY))
    claimed(queue)
    assert queue.reap(max_crashes=1, dead="w1") == 1
    queue.add([Add(key=WEB)])
    run(queue, held(QUAY))
    assert told(ledger, str(WEB)).count(f"held by {QUAY}") == 2


def test_probes_that_are_given_back_are_told_once_an_opening(
    circuits: CircuitTable, ledger: Ledger, redis_client: Redis, names: Names
) -> None:
    """A key that needs a second source in trouble asks for nothing; the next one is there soon."""
    for number in range(3):
        fail = Fail(key=f"k{number}", failed_before=False, reason="Away", message="no")
        circuits.failed(QUAY, fail)
    assert isinstance(circuits.enter(QUAY), Refusal)
    record = redis_client.hget(names.own("circuits"), QUAY)
    assert isinstance(record, bytes)
    over = record.replace(b'"until":1', b'"until":0')  # the opening is over
    redis_client.hset(names.own("circuits"), QUAY, over.decode())
    for _ in range(40):
        assert isinstance(circuits.enter(QUAY), Probe)
        circuits.left(QUAY)
    states = Counter(fact.data["state"] for _, fact in ledger.tail(1000))
    assert states == {"open": 1, "probing": 1}
    assert ledger.details()["circuit"]["probing"] == 40
