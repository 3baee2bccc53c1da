"""Many keys in one call: what a script saves up until its end must not change what it says."""

from __future__ import annotations

import pytest
from redis import Redis

from common.model.key import WorkloadKey
from common.queue.contract import Add, Claim, Lane
from common.queue.workqueue import WorkQueue
from common.state.images import ImageTable
from common.state.ledger import Ledger
from common.state.names import LEDGER_MAX_FACTS, RQ, Names
from tests.queue_values import LEASE_S, converged, workload, workloads

pytestmark = pytest.mark.integration


def add(queue: WorkQueue, keys: list[WorkloadKey], *, lane: Lane = Lane.FRESH) -> None:
    queue.add([Add(key=key, lane=lane) for key in keys])


def claim(queue: WorkQueue, limit: int, worker: str = "w1") -> list[Claim]:
    return queue.claim("reconcile", worker, limit=limit, lease_s=LEASE_S)


def keys_of(claims: list[Claim]) -> list[WorkloadKey]:
    return [claim.key for claim in claims]  # type: ignore[misc] # all are workloads here


def listed(queue: WorkQueue, redis: Redis, lane: Lane) -> list[str]:
    """Return the ids that stand in a lane's list, in order."""
    found = redis.lrange(queue.names.rq("queue", "reconcile", lane), 0, -1)
    return [entry.decode() for entry in found]  # type: ignore[union-attr] # redis-py's unions


def assert_every_key_knows_its_place(queue: WorkQueue, redis: Redis) -> None:
    """Check that the place in each hash is the one in the list: one LINDEX proves it."""
    queued = queue.names.queue("reconcile", Lane.FRESH)
    head = int(redis.hget(queue.names.own("heads"), queued) or 0)
    for index, job in enumerate(listed(queue, redis, Lane.FRESH)):
        assert redis.hget(f"{RQ}:job:{job}", "s_pos") == b"%d" % (head + index)


def test_a_key_that_comes_twice_in_one_call_is_one_key(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """A burst of events names the same workload often; the second one sees the first."""
    keys = workloads(40)
    result = queue.add([Add(key=key) for key in (*keys, *keys)])
    assert (result.new, result.duplicate) == (40, 40)
    assert listed(queue, redis_client, Lane.FRESH) == [queue.names.job_id(key) for key in keys]
    assert queue.members(keys) == [True] * 40


def test_new_keys_behind_waiting_ones_keep_their_order_and_their_places(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """Places are told before the keys stand there; a later add proves each of them."""
    keys = workloads(40)
    add(queue, keys[:10])
    claim(queue, 4)
    queue.add([Add(key=key) for key in (*keys[4:30], *keys[10:40])])
    assert listed(queue, redis_client, Lane.FRESH) == [queue.names.job_id(key) for key in keys[4:]]
    assert_every_key_knows_its_place(queue, redis_client)
    assert queue.add([Add(key=key) for key in keys[4:]]).duplicate == 36
    assert keys_of(claim(queue, 64)) == keys[4:]


def test_a_lost_entry_is_found_to_be_lost_also_behind_new_keys_of_the_same_call(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """What waits to be pushed is no proof that something else stands in the list."""
    keys = workloads(6)
    add(queue, keys[:3])
    redis_client.lrem(
        queue.names.rq("queue", "reconcile", Lane.FRESH), 0, queue.names.job_id(keys[1])
    )
    result = queue.add([Add(key=key) for key in (*keys[3:], keys[0], keys[1], keys[2])])
    assert (result.new, result.repaired, result.duplicate) == (3, 1, 2)
    assert sorted(keys_of(claim(queue, 64)), key=str) == keys
    assert claim(queue, 64) == []


@pytest.mark.parametrize("limit", [1, 3, 64])
def test_claims_pass_over_entries_that_promotions_left(
    queue: WorkQueue, redis_client: Redis, limit: int
) -> None:
    """Entries are read ahead; those that mean nothing any more go, however many there are."""
    keys = workloads(20)
    add(queue, keys, lane=Lane.BULK)
    add(queue, keys[:17])  # promoted: their bulk entries stay behind
    found: list[WorkloadKey] = []
    while claims := claim(queue, limit):
        found += keys_of(claims)
        assert len(claims) <= limit
        queue.complete("w1", [(one, converged()) for one in claims])
    assert sorted(found, key=str) == keys
    assert listed(queue, redis_client, Lane.FRESH) == []
    assert listed(queue, redis_client, Lane.BULK) == []


def test_a_suspect_behind_other_keys_keeps_its_place(queue: WorkQueue, redis_client: Redis) -> None:
    """It was read ahead, and runs alone the next time; nobody may run it meanwhile or lose it."""
    first, suspect, *others = workloads(4)
    add(queue, [first, suspect])
    held = claim(queue, 1, "w2")
    claim(queue, 1, "dying")
    queue.reap(max_crashes=9, dead="dying")
    queue.release("w2", held)
    add(queue, others)
    assert keys_of(claim(queue, 64)) == [first]
    assert_every_key_knows_its_place(queue, redis_client)
    assert queue.add([Add(key=suspect)]).duplicate == 1
    assert keys_of(claim(queue, 64)) == [suspect]
    assert keys_of(claim(queue, 64)) == others
    assert listed(queue, redis_client, Lane.FRESH) == []


def test_a_key_that_rests_in_the_same_call_that_wakes_it_runs_again(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """It read what was true before its successor settled; resting now would be for ever."""
    old, new = workload("old"), workload("new")
    add(queue, [old, new])
    claims = claim(queue, 2)
    assert ImageTable(redis_client, names).await_settled(new, old) is None
    assert queue.complete("w1", [(one, converged()) for one in claims]) == [True, True]
    assert keys_of(claim(queue, 2)) == [old]


@pytest.mark.parametrize("name", ["a.b", "a_5fb", "a__b", "_", "web-5d4f.8c_7b", "x_"])
def test_a_name_of_any_shape_is_told_as_it_is(
    queue: WorkQueue, redis_client: Redis, names: Names, name: str
) -> None:
    """Ids escape what rq forbids; the scripts read keys back from ids, most of them a short way."""
    key = workload(name)
    add(queue, [key])
    assert keys_of(claim(queue, 1)) == [key]
    facts = Ledger(redis_client, names).history(str(key), 10)
    assert [fact.kind for fact in facts] == ["enqueued", "claimed"]


def test_the_ledger_stays_bounded_however_many_facts_a_call_writes(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Law 10. It is trimmed once a call, to whole blocks of entries."""
    ledger = names.own("ledger")
    with redis_client.pipeline() as pipe:
        for _ in range(LEDGER_MAX_FACTS + 5_000):
            pipe.xadd(ledger, {"kind": "written", "key": "k", "data": "{}"})
            if len(pipe) == 10_000:
                pipe.execute()
        pipe.execute()
    add(queue, workloads(300))
    assert LEDGER_MAX_FACTS <= redis_client.xlen(ledger) <= LEDGER_MAX_FACTS + 1_000
