"""What other hands do to the queue: deleted lists, lost entries, keys that only look queued.

Trap 2. a job hash says `queued` but its id stands in no list: membership is verified and repaired.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from common.model.key import ClusterKey, WorkKey
from common.queue.contract import Add, AddResult, Lane, Park, Retry
from common.queue.workqueue import WorkQueue
from common.state.ledger import Ledger
from common.state.names import RQ, Names
from tests.queue_values import LEASE_S, converged, image, parked, workload, workloads

pytestmark = pytest.mark.integration

WEB = workload("web")


def add(queue: WorkQueue, *keys: WorkKey, lane: Lane = Lane.FRESH) -> AddResult:
    return queue.add([Add(key=key, lane=lane) for key in keys])


def drained(queue: WorkQueue) -> list[WorkKey]:
    """Claim and end everything; return the keys in their order."""
    found = []
    while claims := queue.claim("reconcile", "w1", limit=16, lease_s=LEASE_S):
        found += [claim.key for claim in claims]
        queue.complete("w1", [(claim, converged()) for claim in claims])
    return found


@pytest.mark.parametrize("lane", list(Lane))
@pytest.mark.parametrize("how", ["LREM", "DEL"])
def test_a_queued_key_that_stands_in_no_list_is_no_member_and_is_queued_again(
    queue: WorkQueue, redis_client: Redis, how: str, lane: Lane
) -> None:
    """Trap 2. Whatever took it out: the next add sees it, and the sweep sees it without an add."""
    keys = workloads(5)
    add(queue, *keys, lane=lane)
    listed = queue.names.rq("queue", "reconcile", lane)
    if how == "LREM":
        redis_client.lrem(listed, 0, queue.names.job_id(keys[2]))
        lost = [keys[2]]
    else:
        redis_client.delete(listed)
        lost = keys
    assert queue.members(keys) == [key not in lost for key in keys]
    assert add(queue, *keys, lane=lane).repaired == len(lost)
    assert queue.members(keys) == [True] * 5
    assert sorted(drained(queue), key=str) == keys


def test_a_deleted_job_hash_is_queued_again_by_the_next_add(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """Trap 2. A manual DEL leaves the id in the list and nothing behind it."""
    add(queue, WEB)
    redis_client.delete(queue.names.job(WEB))
    assert queue.members([WEB]) == [False]
    assert add(queue, WEB).new == 1
    assert drained(queue) == [WEB]


@pytest.mark.parametrize("gone", ["rq:scheduled", "rq:failed", "probe"])
def test_a_waiting_key_that_stands_in_no_set_is_queued_again(
    queue: WorkQueue, redis_client: Redis, gone: str
) -> None:
    """Trap 2. For backoff and dead letters too: a parked key without a probe waits for ever."""
    add(queue, WEB)
    (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    if gone == "rq:scheduled":
        queue.complete("w1", [(claim, Retry(delay_s=900, reason="R", message="m"))])
        name = queue.names.rq("scheduled", "reconcile", Lane.FRESH)
    else:
        queue.complete("w1", [(claim, parked())])
        name = (
            queue.names.own("probe:reconcile")
            if gone == "probe"
            else queue.names.rq("failed", "reconcile", Lane.FRESH)
        )
    assert queue.members([WEB]) == [True]
    redis_client.delete(name)
    assert queue.members([WEB]) == [False]
    assert add(queue, WEB, lane=Lane.BULK).repaired == 1
    assert drained(queue) == [WEB]


def test_a_running_key_whose_claim_is_on_no_record_is_queued_again(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """Trap 2. Nobody would reap it: every add would be `dirty`, and no run would ever come."""
    add(queue, WEB)
    (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    redis_client.delete(queue.names.own("claims:w1"))
    assert queue.members([WEB]) == [False]
    assert add(queue, WEB).repaired == 1
    assert queue.complete("w1", [(claim, converged())]) == [False]  # the old claim is void
    assert drained(queue) == [WEB]


def test_a_running_key_without_a_lease_is_queued_again(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """Trap 2. The reaper walks through leases; a claim without one would stay for ever."""
    add(queue, WEB)
    queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    redis_client.delete(queue.names.own("leases"))
    assert queue.members([WEB]) == [False]
    assert add(queue, WEB).repaired == 1


def test_an_entry_that_somebody_repeated_runs_once(queue: WorkQueue, redis_client: Redis) -> None:
    """The same id twice in a list is one run: never two claims of one key."""
    add(queue, WEB)
    redis_client.rpush(queue.names.rq("queue", "reconcile", 0), queue.names.job_id(WEB))
    assert drained(queue) == [WEB]


def test_an_entry_of_a_running_key_is_remembered_not_claimed(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """Law 2: somebody queued it while a claim lives: it runs once more, afterwards."""
    add(queue, WEB)
    (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    job = queue.names.job(WEB)
    redis_client.hset(job, "status", "queued")
    redis_client.rpush(queue.names.rq("queue", "reconcile", 0), queue.names.job_id(WEB))
    assert queue.claim("reconcile", "w2", limit=16, lease_s=LEASE_S) == []
    assert queue.complete("w1", [(claim, converged())]) == [True]
    assert drained(queue) == [WEB]


def test_foreign_entries_are_passed_over(queue: WorkQueue, redis_client: Redis) -> None:
    """Somebody's own rq job in our queue is not ours to run, and must not stop us."""
    redis_client.rpush(queue.names.rq("queue", "reconcile", 0), "not-ours", "")
    add(queue, WEB)
    assert drained(queue) == [WEB]


@pytest.mark.parametrize("tamper", ["nothing", "LPOP", "LREM in the middle", "LPUSH"])
def test_verifying_a_duplicate_does_not_walk_the_list(
    queue: WorkQueue, redis_client: Any, tamper: str
) -> None:
    """Trap 2, the price: 2,000 duplicates are verified with a handful of searches at most."""
    keys = workloads(2000)
    add(queue, *keys)
    listed = queue.names.rq("queue", "reconcile", 0)
    gone: list[WorkKey] = []
    match tamper:
        case "LPOP":
            redis_client.lpop(listed)
            gone = [keys[0]]
        case "LREM in the middle":
            redis_client.lrem(listed, 1, queue.names.job_id(keys[1000]))
            gone = [keys[1000]]
        case "LPUSH":
            redis_client.lpush(listed, "stale")
        case _:
            assert tamper == "nothing"
    redis_client.config_resetstat()
    result = add(queue, *keys)
    stats = redis_client.info("commandstats")
    searches = stats.get("cmdstat_lpos", {"calls": 0})["calls"]
    assert result == AddResult(duplicate=2000 - len(gone), repaired=len(gone))
    assert searches <= (0 if tamper == "nothing" else 8)  # one a call of 500, one for the lost
    assert sorted(drained(queue), key=str) == keys


def test_positions_survive_claims_releases_and_promotions(
    queue: WorkQueue, redis_client: Any
) -> None:
    """Trap 2, the price: pops, front pushes and stale entries must not send it searching."""
    keys = workloads(300)
    add(queue, *keys, lane=Lane.BULK)
    add(queue, *keys[::3])
    claims = queue.claim("reconcile", "w1", limit=64, lease_s=LEASE_S)
    queue.release("w1", claims[10:])
    queue.complete("w1", [(claim, converged()) for claim in claims[:10]])
    waiting = [key for key in keys if key not in {claim.key for claim in claims[:10]}]
    redis_client.config_resetstat()
    assert add(queue, *waiting, lane=Lane.BULK) == AddResult(duplicate=len(waiting))
    assert "cmdstat_lpos" not in redis_client.info("commandstats")


def test_a_search_is_given_up_rather_than_holding_redis_up(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """A shuffled list: beyond the budget a key gets a spare entry, which costs 70 bytes."""
    keys = workloads(200)
    add(queue, *keys)
    listed = queue.names.rq("queue", "reconcile", 0)
    redis_client.delete(listed)
    redis_client.rpush(listed, *(queue.names.job_id(key) for key in reversed(keys)))
    result = add(queue, *keys)
    assert result.duplicate + result.repaired == 200
    assert result.duplicate >= 32
    assert result.repaired > 0
    assert sorted(drained(queue), key=str) == keys  # each once


def test_a_drop_takes_a_key_out_of_wherever_it_waits(queue: WorkQueue, redis_client: Redis) -> None:
    """`sluice queue drop`: gone from list, sets and hash; a running key is left alone."""
    queued, delayed, dead, running = workloads(4)
    add(queue, delayed, dead)
    first, second = queue.claim("reconcile", "w1", limit=2, lease_s=LEASE_S)
    queue.complete("w1", [(first, Retry(delay_s=900, reason="R", message="m"))])
    queue.complete("w1", [(second, Park(reason="P", message="m", probe_after_s=900))])
    add(queue, running)
    queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    add(queue, queued)
    assert [queue.drop(key) for key in (queued, delayed, dead)] == [True] * 3
    assert not queue.drop(running)
    assert not queue.drop(queued)
    assert queue.members([queued, delayed, dead, running]) == [False, False, False, True]
    assert list(redis_client.scan_iter(f"{RQ}:job:{queue.names.cluster}*")) == [
        queue.names.job(running).encode()
    ]


def test_a_requeue_runs_a_parked_or_delayed_key_now(
    queue: WorkQueue, later: Callable[[float], None]
) -> None:
    """`sluice queue requeue`: the operator fixed it and does not want to wait for the probe."""
    add(queue, WEB)
    (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    queue.complete("w1", [(claim, parked())])
    assert queue.requeue(WEB)
    assert not queue.requeue(WEB)  # it is about to run
    assert drained(queue) == [WEB]


def test_a_paused_queue_hands_out_nothing_and_keeps_everything(queue: WorkQueue) -> None:
    """Pause is for maintenance: running keys end, adds are kept, nothing spins."""
    add(queue, *workloads(2))
    (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    queue.pause()
    assert queue.paused()
    assert queue.claim("reconcile", "w1", limit=16, lease_s=LEASE_S) == []
    assert queue.complete("w1", [(claim, converged())]) == [True]
    assert add(queue, WEB).new == 1
    queue.resume()
    assert not queue.paused()
    assert len(drained(queue)) == 2


def test_an_operator_sees_what_waits_and_why(queue: WorkQueue, names: Names) -> None:
    """`sluice queue ls` and `dead`: state, lane, tries, reason, when it comes back."""
    keys = workloads(3)
    add(queue, keys[0])
    (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    queue.complete("w1", [(claim, parked("Unauthorized", probe_after_s=900))])
    add(queue, keys[1], lane=Lane.BULK)
    add(queue, keys[2])
    queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    (dead,) = queue.dead()
    assert (dead.key, dead.state, dead.attempts) == (keys[0], "parked", 1)
    assert (dead.reason, dead.message) == ("Unauthorized", "manifest unknown")
    assert 890 < dead.due_s - dead.since_s < 910
    (waits,) = queue.ls()
    assert (waits.key, waits.lane) == (keys[1], Lane.BULK)
    (runs,) = queue.ls("running")
    assert (runs.key, runs.worker) == (keys[2], "w1")
    assert queue.depth()["reconcile", Lane.BULK].queued == 1
    assert 0 <= queue.depth()["reconcile", Lane.BULK].oldest_age_s < 60
    totals = queue.totals()["reconcile"]
    assert (totals.running, totals.delayed, totals.dead) == (1, 0, 1)


@pytest.mark.parametrize(
    "key",
    [
        workload("a.b-c_d:e"),
        workload("__x_2e__"),
        workload("é\"\\'日"),
        image(3),
        ClusterKey(what="sbom_cleanup"),
    ],
    ids=["punctuation", "escapes", "foreign", "image", "cluster"],
)
def test_lua_and_python_spell_a_key_alike(queue: WorkQueue, key: WorkKey) -> None:
    """The scripts encode ids themselves, for waiters and users; a difference would double keys."""
    add(queue, key)
    assert queue.scripts.redis.exists(queue.names.job(key))
    assert add(queue, key) == AddResult(duplicate=1)
    pool = "scan" if key == image(3) else "reconcile"
    (claim,) = queue.claim(pool, "w1", limit=1, lease_s=LEASE_S)
    assert claim.key == key
    ledger = Ledger(queue.scripts.redis, queue.names)
    assert [fact.kind for fact in ledger.history(str(key), 9)] == ["enqueued", "claimed"]
