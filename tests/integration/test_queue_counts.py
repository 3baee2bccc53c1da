"""What the scripts count beside the facts, against what a test counts by itself."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from redis import Redis

from common.model.counts import DETAILS
from common.model.facts import FACT_KINDS
from common.queue.contract import Add, AddResult, Claim, Lane, Outcome
from common.queue.workqueue import WorkQueue
from common.state.ledger import Ledger
from common.state.names import Names
from tests.queue_values import (
    LEASE_S,
    charged,
    converged,
    held,
    used_up,
    workload,
    workloads,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def ledger(redis_client: Redis, names: Names) -> Ledger:
    """Give the ledger of the queue."""
    return Ledger(redis_client, names)


def claimed(queue: WorkQueue, limit: int = 64) -> list[Claim]:
    """Claim keys of pool reconcile."""
    return queue.claim("reconcile", "w1", limit=limit, lease_s=LEASE_S)


def test_details_are_the_fold_of_the_facts(queue: WorkQueue, ledger: Ledger) -> None:
    """A class, a source, a cause: what a fact says is what is counted."""
    queue.add([Add(key=key) for key in workloads(6)])
    claims = claimed(queue)
    outcomes: list[Outcome] = [
        charged("SourceUnavailable", "RegistryUnavailable"),
        charged("Conflict"),
        held("registry/quay.io"),
        held("redis"),
        used_up("TooLarge"),
    ]
    queue.complete("w1", list(zip(claims, outcomes, strict=False)))
    queue.release("w1", claims[5:])
    queue.complete("w1", [(claims[0], converged())])  # its token is not current any more
    seen = {word: dict.fromkeys(whats, 0) for word, whats in DETAILS.items()}
    for _, fact in ledger.tail(1000):
        match fact.kind:
            case "retried" | "parked":
                seen[fact.kind][str(fact.data.get("class", fact.data["reason"]))] += 1
            case "held":
                seen["held"][str(fact.data["source"]).partition("/")[0]] += 1
            case "released":
                seen["released"][str(fact.data["why"]).replace(" ", "_")] += 1
            case "refused":
                seen["refused"][str(fact.data["what"])] += 1
            case "enqueued":
                seen["adds"][str(fact.data["how"])] += 1
            case _:
                pass
    assert ledger.details() == seen
    assert seen["retried"]["SourceUnavailable"] == seen["held"]["registry"] == 1
    assert seen["parked"]["TooLarge"] == seen["released"]["not_started"] == 1
    assert (seen["adds"]["new"], seen["refused"]["completion"]) == (6, 1)


def test_the_hash_of_counters_is_bounded(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Reasons may be any text; what is counted is one of a hundred words (docs/limits.md)."""
    keys = workloads(40)
    queue.add([Add(key=key) for key in keys])
    for number, claim in enumerate(claimed(queue)):
        reason = f"Reason{number}"
        outcome = charged("Unknown", reason) if number % 2 else used_up("Terminal", reason)
        queue.complete("w1", [(claim, outcome)])
    known = {f"{word}.{what}" for word, whats in DETAILS.items() for what in whats}
    counted = redis_client.hkeys(names.own("counts"))
    assert isinstance(counted, list)
    fields = {field.decode() for field in counted if isinstance(field, bytes)}
    assert len(fields) == len(counted)
    assert fields <= known | set(FACT_KINDS)
    assert len(known | set(FACT_KINDS)) < 100


def test_adds_are_counted_as_they_are_answered(
    queue: WorkQueue, ledger: Ledger, later: Callable[[float], None]
) -> None:
    """A thousand random adds in every state of a key: the sum of all answers is the counter."""
    dice = random.Random(5)  # noqa: S311 # repeatable, no secret
    ends: list[Outcome] = [converged(), charged("Conflict"), used_up("TooLarge")]
    keys, told = workloads(12), AddResult()
    for _ in range(150):
        picked = [
            Add(
                key=dice.choice(keys),
                lane=Lane(dice.randrange(2)),
                delay_s=dice.choice([0, 0, 30.0]),
            )
            for _ in range(dice.randrange(1, 12))
        ]
        told += queue.add(picked)
        for claim in claimed(queue, limit=dice.randrange(1, 4)):
            if dice.random() < 0.8:
                queue.complete("w1", [(claim, dice.choice(ends))])
        later(dice.choice([0.0, 40.0]))
    counted = ledger.details()["adds"]
    assert counted == {how: getattr(told, how) for how in counted}
    assert all(counted[how] for how in ("new", "duplicate", "dirty", "promoted", "revived"))
    assert ledger.counts()["deduplicated"] >= counted["duplicate"]


def test_what_workers_wake_is_an_add_too(queue: WorkQueue, ledger: Ledger) -> None:
    """The counter is the cluster's, not the watcher's."""
    names = queue.names
    waiter = workload("waiter")
    queue.scripts.redis.sadd(names.own(f"waiters:{workload('web')}"), str(waiter))
    queue.add([Add(key=workload("web"))])
    (claim,) = claimed(queue)
    queue.complete("w1", [(claim, converged())])
    assert ledger.details()["adds"]["new"] == 2


def test_lost_leases_and_crashes_are_counted(
    queue: WorkQueue, ledger: Ledger, later: Callable[[float], None]
) -> None:
    """A node that kills pods shows here before anybody reads a log."""
    queue.add([Add(key=key) for key in workloads(3)])
    assert len(claimed(queue)) == 3
    later(LEASE_S + 1)
    assert queue.reap(max_crashes=1) == 3
    (suspect,) = claimed(queue)
    later(LEASE_S + 1)
    assert queue.reap(max_crashes=1) == 1
    details = ledger.details()
    assert details["leases"] == {"expired": 2}
    assert details["released"]["lease_ended"] == 3
    assert details["parked"]["Crashed"] == 1
    (dead,) = queue.dead()
    assert (dead.key, dead.error_class) == (suspect.key, "Crashed")


def test_a_lost_entry_and_one_too_many_are_counted_as_repairs(
    queue: WorkQueue, ledger: Ledger, redis_client: Redis
) -> None:
    """Somebody's `DEL` or `rq requeue` shows as a number, not as a mystery."""
    names = queue.names
    web = workload("web")
    queue.add([Add(key=web)])
    redis_client.delete(names.rq("queue", "reconcile", 0))
    assert queue.add([Add(key=web)]).repaired == 1
    assert ledger.details()["repairs"] == {"add": 1, "claim": 0}
    claimed(queue)
    redis_client.rpush(names.rq("queue", "reconcile", 0), names.job_id(web))
    redis_client.hset(names.job(web), "status", "queued")
    assert claimed(queue) == []
    assert ledger.details()["repairs"] == {"add": 1, "claim": 1}


def test_what_others_give_back_or_drop_is_counted_by_why(queue: WorkQueue, ledger: Ledger) -> None:
    """A lost reply, an operator, a drain: three stories behind one fact."""
    queue.add([Add(key=key) for key in workloads(2)])
    claimed(queue)
    assert queue.recover("w1", ()) == 2
    assert queue.drop(workloads(2)[0])
    assert ledger.details()["released"] == {
        "not_started": 0,
        "lease_ended": 0,
        "reply_lost": 2,
        "dropped": 1,
        "no_key": 0,
    }
