"""However much stands in the queue, one call does a bounded part of it.

Redis answers nobody else while a script runs, and heartbeats wait behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from redis import Redis

from common.model.circuit import Fail
from common.queue.contract import Add, Claim, Lane
from common.queue.workqueue import WorkQueue
from common.state.circuits import CircuitTable
from common.state.names import POOLS, RQ, Names
from tests.queue_values import LEASE_S, workload, workloads

pytestmark = pytest.mark.integration

MOST = 1000  # entries passed over, keys given back: as claiming.lua and reap.lua say
WEB = workload("web")


@pytest.fixture
def client(redis_client: Redis) -> Any:
    """Give the client without redis-py's union types."""
    return redis_client


def calls_of(client: Any, command: str) -> int:
    """Return how often the server ran a command, in scripts too."""
    found = client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})
    return int(found["calls"])


@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize("foreign", [True, False])
def test_a_claim_passes_over_a_thousand_entries_and_the_next_one_goes_on(
    queue: WorkQueue, client: Any, limit: int, *, foreign: bool
) -> None:
    """A change of all keys leaves as many entries behind in the bulk lane."""
    lane = queue.names.rq("queue", "reconcile", 0)
    left = [f"left-{index}" if foreign else queue.names.job_id(WEB) for index in range(3 * MOST)]
    client.rpush(lane, *left)
    queue.add([Add(key=WEB)])
    if not foreign:
        client.hset(queue.names.job(WEB), "origin", queue.names.queue("reconcile", 1))
        queue.add([Add(key=workload("last"))])
    lengths: list[int] = []
    claims: list[Claim] = []
    while not claims:
        lengths.append(client.llen(lane))
        for pool in POOLS:
            client.delete(queue.names.own(f"wake:{pool}"))
        claims = queue.claim("reconcile", "w1", limit=limit, lease_s=LEASE_S)
        assert claims or client.llen(queue.names.own("wake:reconcile")) == 1, "somebody goes on"
        assert lengths[-1] - client.llen(lane) <= MOST + 1
    assert len(claims) == 1
    assert len(lengths) >= 3


def test_a_sweep_does_not_search_a_long_lane_for_every_key(queue: WorkQueue, client: Any) -> None:
    """Somebody cancels the first key, and all others stand elsewhere than they remember."""
    keys = workloads(500)
    queue.add([Add(key=key) for key in keys])
    client.lrem(queue.names.rq("queue", "reconcile", 0), 1, queue.names.job_id(keys[0]))
    before = calls_of(client, "lpos")
    assert queue.members(keys[1:]) == [True] * 499
    assert calls_of(client, "lpos") - before <= 2


def test_keys_that_stand_nowhere_are_not_all_searched_for(queue: WorkQueue, client: Any) -> None:
    """Each search reads the whole lane; what was not found in time is added again, at worst."""
    keys = workloads(500)
    queue.add([Add(key=key) for key in keys])
    client.ltrim(queue.names.rq("queue", "reconcile", 0), 0, 99)
    before = calls_of(client, "lpos")
    assert queue.members(keys) == [True] * 100 + [False] * 400
    assert calls_of(client, "lpos") - before <= 32


def test_a_call_gives_back_what_a_thousand_keys_worth_of_workers_held(
    queue: WorkQueue, client: Any, names: Names, later: Callable[[float], None]
) -> None:
    """A node with hundreds of workers goes away; the next heartbeat of any other goes on."""
    keys = workloads(1500)
    queue.add([Add(key=key) for key in keys])
    for number in range(30):
        queue.claim("reconcile", f"w{number}", limit=50, lease_s=LEASE_S)
    later(LEASE_S + 1)
    assert queue.reap(3) == MOST
    assert queue.reap(3) == 500
    assert queue.reap(3) == 0
    assert client.zcard(names.own("leases")) == 0


@pytest.mark.parametrize("by", ["ours", "rq"])
def test_nobody_spins_on_what_is_due_while_the_queue_is_paused(
    queue: WorkQueue, client: Any, by: str
) -> None:
    """Nothing takes it off: every loop of the cluster would ask Redis again at once."""
    queue.add([Add(key=WEB, delay_s=0.001)])
    client.set(queue.names.own("paused") if by == "ours" else f"{RQ}:suspended", "1")
    asked: list[float] = []

    class Watched:
        def blpop(self, _keys: object, timeout_s: float) -> None:
            asked.append(timeout_s)

    try:
        while not client.zcount(queue.names.rq("scheduled", "reconcile", 0), "-inf", _now(client)):
            pass
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "blpop", Watched().blpop)
            queue.wait("reconcile", 2.0)
            queue.resume()
            queue.wait("reconcile", 2.0)
    finally:
        client.delete(f"{RQ}:suspended")
    assert asked == [2.0, 0.001]


@pytest.mark.parametrize("cursor", [None, "x", "", "9" * 14, "9" * 5000])
def test_sources_that_nobody_asks_any_more_are_forgotten_a_few_a_call(
    redis_client: Redis, client: Any, names: Names, cursor: str | None
) -> None:
    """Whoever may create Pods may name thousands of registries; each failure would read all."""
    table, key = CircuitTable(redis_client, names), names.own("circuits")
    fail = Fail(key="a", failed_before=False, reason="Away", message="no route")
    table.failed("registry/first", fail)
    old = client.hget(key, "registry/first").decode()
    old = re.sub(r'"touched":[\d.e+]+', '"touched":1', old)
    client.hset(key, mapping={f"registry/old-{number}": old for number in range(2000)})
    if cursor is not None:
        client.hset(names.own("heads"), "circuits:from", cursor)
    lengths = [client.hlen(key)]
    for number in range(200):
        table.failed(f"registry/new-{number}", fail)
        lengths.append(client.hlen(key))
    assert max(a - b for a, b in pairwise(lengths)) < 200
    assert lengths[-1] == 201


def _now(client: Any) -> float:
    seconds, micros = client.time()
    return float(seconds + micros / 1e6)


def test_the_bulk_lane_is_bounded_too(queue: WorkQueue, client: Any) -> None:
    """The usual case: a sweep queued everything, and then everything changed."""
    keys = workloads(2500)
    queue.add([Add(key=key, lane=Lane.BULK) for key in keys])
    queue.add([Add(key=key) for key in keys])
    bulk = queue.names.rq("queue", "reconcile", 1)
    ran, lengths = 0, [client.llen(bulk)]
    while claims := queue.claim("reconcile", "w1", limit=500, lease_s=LEASE_S):
        ran += len(claims)
        lengths.append(client.llen(bulk))
    assert ran == len(keys)
    assert max(a - b for a, b in pairwise(lengths)) <= MOST
