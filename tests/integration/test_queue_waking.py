"""Many keys woken by one end: no call queues more than a thousand, and nobody is forgotten."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from redis import Redis

from common.model.errors import SluiceError
from common.model.key import WorkKey, WorkloadKey
from common.queue.contract import Add, Lane
from common.queue.workqueue import WorkQueue
from common.state.database import DatabaseRow, DatabaseTable
from common.state.ledger import Ledger
from common.state.names import POOLS, Names
from sandbox.valkey import Valkey
from tests.queue_values import LEASE_S, converged, image, landed, parked, workload, workloads

pytestmark = pytest.mark.integration

MOST = 1000  # as adding.lua says
MANY = 3 * MOST + 7


@pytest.fixture
def client(redis_client: Redis) -> Any:
    """Give the client without redis-py's union types."""
    return redis_client


def use(client: Any, names: Names, users: list[WorkloadKey], *, wait: bool) -> None:
    """Let workloads use the image, and wait for it."""
    client.hset(names.own(f"users:{image()}"), mapping={str(user): "{}" for user in users})
    if wait:
        client.sadd(names.own(f"waiters:{image()}"), *map(str, users))


def left(client: Any, names: Names) -> int:
    """Return how many keys are still to be woken."""
    return int(client.llen(names.own("waking")))


def queued(queue: WorkQueue) -> int:
    """Return how many entries wait in pool reconcile."""
    return sum(depth.queued for (pool, _), depth in queue.depth().items() if pool == "reconcile")


def end_image(queue: WorkQueue, outcome: object) -> None:
    """Work the image to that end, by a worker that does nothing else."""
    queue.add([Add(key=image())])
    (claim,) = queue.claim("scan", "scanner", limit=1, lease_s=LEASE_S)
    assert queue.complete("scanner", [(claim, outcome)]) == [True]  # type: ignore[list-item] # any of them


def drained(queue: WorkQueue) -> Counter[WorkKey]:
    """Work everything there is; return how often each key ran."""
    ran: Counter[WorkKey] = Counter()
    while claims := queue.claim("reconcile", "w1", limit=500, lease_s=LEASE_S):
        ran.update(claim.key for claim in claims)
        queue.complete("w1", [(claim, converged()) for claim in claims])
    return ran


def beat(queue: WorkQueue) -> None:
    queue.beat("w1", lease_s=LEASE_S)


def claim_elsewhere(queue: WorkQueue) -> None:
    assert queue.claim("scan", "w1", limit=1, lease_s=LEASE_S) == []


def end_another(queue: WorkQueue) -> None:
    queue.complete("w1", [])


@pytest.mark.parametrize(
    ("outcome", "lane", "wait"),
    [
        (landed("CVE-1"), Lane.BULK, False),
        (landed("CVE-1"), Lane.FRESH, True),
        (parked(), Lane.FRESH, True),
    ],
    ids=["users", "waiters of what landed", "waiters of what is parked"],
)
@pytest.mark.parametrize("go_on", [beat, claim_elsewhere, end_another])
def test_no_call_wakes_more_than_a_thousand_and_any_other_goes_on(
    queue: WorkQueue,
    client: Any,
    outcome: object,
    lane: Lane,
    go_on: Callable[[WorkQueue], None],
    *,
    wait: bool,
) -> None:
    """While a script runs Redis answers nobody: heartbeats of the whole cluster wait behind it."""
    users = workloads(MANY)
    use(client, queue.names, users, wait=wait)
    end_image(queue, outcome)
    steps = [queued(queue)]
    assert queued(queue) == MOST
    for _ in range(MANY // MOST):
        go_on(queue)
        steps.append(queued(queue))
    assert max(b - a for a, b in pairwise(steps)) <= MOST
    assert left(client, queue.names) == 0
    assert queue.depth()["reconcile", lane].queued >= MANY
    ran = drained(queue)
    assert set(ran) == set(users)
    assert set(ran.values()) == {1}


DYING = """
import os, sys
from redis import Redis
from common.queue.workqueue import WorkQueue
from common.state.names import Names
from tests.queue_values import LEASE_S, image, landed
queue = WorkQueue(Redis.from_url(sys.argv[1]), Names(sys.argv[2]))
(claim,) = queue.claim("scan", "dying", limit=1, lease_s=LEASE_S)
assert queue.complete("dying", [(claim, landed("CVE-1"))]) == [True]
os.kill(os.getpid(), 9)
"""


def test_who_is_killed_while_it_wakes_leaves_nobody_asleep(
    queue: WorkQueue, client: Any, valkey: Valkey
) -> None:
    """What is left is in Redis, and the next worker goes on: no sweep is needed."""
    users = workloads(MANY)
    use(client, queue.names, users, wait=True)
    queue.add([Add(key=image())])
    command = [sys.executable, "-c", DYING, valkey.socket_url, queue.names.cluster]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    assert left(client, queue.names) >= MANY - MOST
    ran = drained(queue)
    assert set(ran) == set(users)
    assert set(ran.values()) == {1}, "each was woken once, though it used it and waited for it"
    assert left(client, queue.names) == 0


@pytest.mark.parametrize("lane", Lane)
def test_a_database_update_queues_a_thousand_images_a_call(
    queue: WorkQueue, client: Any, redis_client: Redis, lane: Lane
) -> None:
    """Every image of the cluster is matched anew; publishing that must stop nobody."""
    names = queue.names
    images = [str(image(number)) for number in range(1, MANY + 1)]
    client.zadd(names.own("images"), dict.fromkeys(images, 1))
    with client.pipeline() as pipe:
        for one in images:
            pipe.hset(names.own(f"users:{one}"), "w", "{}")
        pipe.execute()
    table = DatabaseTable(redis_client, names)
    if lane is Lane.BULK:  # the first database is what they all wait for
        client.hset(names.own("database"), "version", "db0")
    assert table.publish(DatabaseRow(version="db1", server_url="http://m:1")) == MANY
    assert left(client, names) == MANY - MOST
    for _ in range(MANY // MOST):
        beat(queue)
    assert queue.depth()["scan", lane].queued == MANY


def test_a_loop_that_sleeps_is_woken_for_the_rest(queue: WorkQueue, client: Any) -> None:
    """Those of the first thousand may all be running: nothing is queued, and yet there is work."""
    users = workloads(MOST + 1)
    use(client, queue.names, users, wait=False)
    queue.add([Add(key=user) for user in users])
    while queue.claim("reconcile", "busy", limit=500, lease_s=LEASE_S):
        pass
    end_image(queue, landed("CVE-1"))
    client.rpush(queue.names.own("waking"), *[f"1 {user} x" for user in users])
    for pool in POOLS:
        client.delete(queue.names.own(f"wake:{pool}"))
    assert queue.claim("reconcile", "w1", limit=16, lease_s=LEASE_S) == []
    assert left(client, queue.names) > 0
    assert client.llen(queue.names.own("wake:reconcile")) == 1


@pytest.mark.parametrize(
    "entry", ["x", "", "7 a b", b"\xff\xfe", "1 noKey x", b"0 workload/Pod/a/b \xff"]
)
def test_an_entry_that_somebody_wrote_stops_nobody(
    queue: WorkQueue, client: Any, entry: str | bytes
) -> None:
    """The list is everybody's way on: one bad line must not stand in it for ever."""
    web = workload("web")
    client.rpush(queue.names.own("waking"), entry, f"0 {web} x")
    beat(queue)
    assert left(client, queue.names) == 0
    assert set(drained(queue)) == {web}


def test_a_list_that_somebody_overwrote_stops_no_heartbeat(queue: WorkQueue, client: Any) -> None:
    """Without heartbeats every claim of the cluster is lost."""
    client.set(queue.names.own("waking"), "x")
    beat(queue)
    queue.add([Add(key=workload())])
    assert len(drained(queue)) == 1


def test_an_error_on_the_way_forgets_nobody(queue: WorkQueue, client: Any) -> None:
    """Redis undoes nothing of a script that fails half-way."""
    lane = queue.names.rq("queue", "reconcile", 0)
    client.rpush(queue.names.own("waking"), *[f"0 {user} x" for user in workloads(3)])
    client.set(lane, "somebody's")
    with pytest.raises(SluiceError, match=lane):
        beat(queue)
    client.delete(lane)
    assert left(client, queue.names) == 3
    assert set(drained(queue)) == set(workloads(3))


def test_what_is_woken_is_counted_and_told_as_an_add(
    queue: WorkQueue, client: Any, redis_client: Redis
) -> None:
    """Why a workload ran stands in its story, whoever queued it in the end."""
    users = workloads(MOST + 1)
    use(client, queue.names, users, wait=False)
    end_image(queue, landed("CVE-1"))
    beat(queue)
    ledger = Ledger(redis_client, queue.names)
    assert ledger.details()["adds"]["new"] == len(users) + 1
    causes = {fact.data["cause"] for _, fact in ledger.tail(5000) if fact.kind == "enqueued"}
    assert causes == {"", f"findings of {image()}"}
