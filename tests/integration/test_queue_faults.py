"""The real queue when replies are lost, memory is full, clocks are wrong or Redis is gone."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.connection import UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from common.model.errors import SourceUnavailableError, TransientError
from common.queue.contract import Add, Claim, Outcome, Retry
from common.queue.workqueue import WorkQueue
from common.state.images import ImageTable
from common.state.names import Names
from common.state.scripts import source
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.valkey import Valkey
from tests.fakes.clock import FakeClock
from tests.fixtures_queue import pass_time
from tests.queue_values import (
    LEASE_S,
    converged,
    image,
    judged,
    landed,
    parked,
    row,
    use,
    workload,
    workloads,
)
from worker.lease import Lease
from worker.loop import Loop, LoopSettings
from worker.ports import Ports

pytestmark = pytest.mark.integration

WEB = workload("web")


class LosesReplies(UnixDomainSocketConnection):
    """Sends everything; breaks instead of reading the reply while `losses` is above zero."""

    losses = 0

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        if type(self).losses > 0:
            type(self).losses -= 1
            reply = super().read_response(*args, **kwargs)  # it ran, that is the point
            self.disconnect()  # type: ignore[no-untyped-call] # redis-py leaves it untyped
            raise RedisConnectionError(f"reply lost, {type(reply).__name__}")
        return super().read_response(*args, **kwargs)


@pytest.fixture
def lossy(valkey: Valkey, names: Names) -> Iterator[WorkQueue]:
    """Give a queue over a client with redis-py's defaults, whose connections lose replies."""

    class Connection(LosesReplies):
        losses = 0

    path = valkey.socket_url.removeprefix("unix://").partition("?")[0]
    with Redis(unix_socket_path=path) as client:  # with its default: ten silent re-sends
        client.connection_pool.connection_class = Connection
        queue = WorkQueue(client, names)
        queue.add([Add(key=WEB)])  # scripts are loaded, connections are open
        queue.drop(WEB)
        queue.claim("reconcile", "w0", limit=1, lease_s=LEASE_S)
        queue.complete("w0", [])
        yield queue


def lose(queue: WorkQueue, replies: int) -> None:
    """Lose the next replies of this client."""
    connection = queue.scripts.redis.connection_pool.connection_class
    connection.losses = replies


def test_a_claim_is_never_sent_twice_by_itself(lossy: WorkQueue, queue: WorkQueue) -> None:
    """redis-py re-sends up to ten times by default: a second claim would orphan the first."""
    queue.add([Add(key=key) for key in workloads(4)])
    lose(lossy, 1)
    with pytest.raises(SourceUnavailableError):
        lossy.claim("reconcile", "w1", limit=2, lease_s=LEASE_S)
    assert queue.totals()["reconcile"].running == 2
    assert lossy.recover("w1", []) == 2
    assert [claim.key for claim in queue.claim("reconcile", "w2", limit=9, lease_s=LEASE_S)] == (
        workloads(4)
    )


def test_an_add_whose_reply_was_lost_is_sent_again(lossy: WorkQueue, queue: WorkQueue) -> None:
    """It may run twice without harm, so the watcher need not hear of a broken connection."""
    lose(lossy, 1)
    assert lossy.add([Add(key=WEB)]).duplicate == 1
    assert len(queue.claim("reconcile", "w1", limit=9, lease_s=LEASE_S)) == 1


def test_an_end_whose_reply_was_lost_counts_once(lossy: WorkQueue, queue: WorkQueue) -> None:
    """The loop tells it again; nothing is stored twice and nothing is recorded as refused."""
    queue.add([Add(key=WEB)])
    (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    lose(lossy, 1)
    with pytest.raises(SourceUnavailableError):
        lossy.complete("w1", [(claim, converged())])
    assert lossy.complete("w1", [(claim, converged())], resent=True) == [False]
    assert queue.members([WEB]) == [False]


def test_a_loop_survives_lost_replies_without_losing_or_doubling_a_key(
    lossy: WorkQueue, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every fifth run loses replies of claims, ends and waits; each key runs to its end once."""
    monkeypatch.setattr("worker.outage._FIRST_S", 0.001)
    keys = workloads(60)
    queue.add([Add(key=key) for key in keys])
    ran: list[Any] = []
    loop: Loop

    def reconcile(claim: Claim) -> Outcome:
        ran.append(claim.key)
        if len(ran) % 5 == 0:
            lose(lossy, len(ran) % 3 + 1)
        if len(ran) >= len(keys):
            loop.stop()
        return converged()

    loop = looped(lossy, reconcile)
    loop.run()
    assert sorted(ran, key=str) == keys
    assert queue.members(keys) == [False] * 60


def looped(queue: WorkQueue, reconcile: Callable[[Claim], Outcome], *, batch: int = 16) -> Loop:
    """Return a loop over the real queue."""

    class NoRegistrar:
        def birth(self) -> None: ...

        def death(self) -> None: ...

    lease = Lease(queue, NoRegistrar(), worker="w1", monotonic_s=FakeClock(), length_s=LEASE_S)
    return Loop(
        queue,
        "reconcile",
        reconcile,
        lease=lease,
        settings=LoopSettings(worker="w1", idle_s=0.05, batch=batch),
        ports=Ports(monotonic_s=FakeClock(), judge=judged),
    )


# --- a server of its own, to fill it, stop it and kill it


@pytest.fixture(scope="module")
def own_place() -> Iterator[Place]:
    with Place() as place:
        yield place


@pytest.fixture
def own_server(own_place: Place) -> Iterator[Valkey]:
    """Give a server that the test may stop."""
    with Stack() as stack:
        yield Valkey(own_place, stack, name=f"own-{secrets.token_hex(3)}").start()


@pytest.fixture
def own(own_server: Valkey) -> Iterator[WorkQueue]:
    with Redis.from_url(own_server.socket_url, socket_timeout=15) as client:
        yield WorkQueue(client, Names("own"))


def test_completions_pass_when_redis_is_full_and_adds_fail_loudly(own: WorkQueue) -> None:
    """Trap 21. Redis at maxmemory: completions and deletes pass; adds fail loudly."""
    client = own.scripts.redis
    table = ImageTable(client, own.names)
    keys = workloads(64)
    own.add([Add(key=key) for key in keys])
    table.lookup(use(WEB), [image()])
    (scan,) = own.claim("scan", "s1", limit=1, lease_s=LEASE_S)
    claims = own.claim("reconcile", "w1", limit=32, lease_s=LEASE_S)
    client.set("foreign", "x" * 200_000)
    client.config_set("maxmemory", client.info("memory")["used_memory"] - 100_000)

    with pytest.raises(TransientError, match=r"Redis is full.*maxmemory") as caught:
        own.add([Add(key=workload("new"))])
    assert caught.value.reason == "RedisFull"
    with pytest.raises(TransientError, match="Redis is full"):
        own.store_rows([row(WEB)], fence=1)
    assert own.complete("s1", [(scan, landed("CVE-1"))]) == [True]
    ends: list[tuple[Claim, Outcome]] = [(claim, converged()) for claim in claims[:8]]
    ends += [(claim, parked()) for claim in claims[8:12]]
    ends += [(claim, Retry(delay_s=1, reason="R", message="m")) for claim in claims[12:16]]
    assert own.complete("w1", ends) == [True] * 16
    assert own.release("w1", claims[16:24]) == [True] * 8
    assert own.heartbeat("w1", lease_s=LEASE_S)
    assert own.recover("w1", []) == 8
    assert len(own.claim("reconcile", "w1", limit=64, lease_s=LEASE_S)) > 32
    assert own.members([workload("new")]) == [False]  # it comes back by the sweep
    assert own.drop(claims[8].key)

    client.config_set("maxmemory", 0)
    client.delete("foreign")
    assert own.add([Add(key=workload("new"))]).new == 1


def test_a_restart_of_redis_with_its_data_changes_nothing(
    own: WorkQueue, own_server: Valkey
) -> None:
    """Law 1: queue, claims, tokens and scripts' cache; connections break once and come back."""
    keys = workloads(20)
    own.add([Add(key=key) for key in keys])
    claims = own.claim("reconcile", "w1", limit=4, lease_s=LEASE_S)
    own_server.restart()
    assert own.members(keys) == [True] * 20  # the first call after the restart is sent again
    assert own.complete("w1", [(claim, converged()) for claim in claims]) == [True] * 4
    rest = own.claim("reconcile", "w1", limit=64, lease_s=LEASE_S)
    assert [claim.key for claim in rest] == keys[4:]
    assert rest[0].token > claims[-1].token


def test_a_loop_waits_for_redis_and_goes_on(
    own: WorkQueue, own_server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop's connection pool and script cache survive; what it ran meanwhile counts."""
    monkeypatch.setattr("worker.outage._LONGEST_S", 0.1)
    keys = workloads(10)
    own.add([Add(key=key) for key in keys])
    ran: list[Any] = []
    loop: Loop

    def reconcile(claim: Claim) -> Outcome:
        ran.append(claim.key)
        if len(ran) == 3:
            own_server.stop()
            starter = threading.Timer(0.3, own_server.restart)
            starter.start()
        if len(ran) == len(keys):
            loop.stop()
        return converged()

    loop = looped(own, reconcile, batch=2)
    loop.run()
    assert ran == keys
    assert own.members(keys) == [False] * 10


def test_a_loop_waits_out_a_failover(own: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentinel demotes the primary: until it is over, writes are answered READONLY."""
    monkeypatch.setattr("worker.outage._LONGEST_S", 0.1)
    client: Any = own.scripts.redis
    keys = workloads(6)
    own.add([Add(key=key) for key in keys])
    ran: list[Any] = []
    loop: Loop

    def reconcile(claim: Claim) -> Outcome:
        ran.append(claim.key)
        if len(ran) == 2:
            client.replicaof("127.0.0.1", 1)  # nobody is there: it keeps its data, read-only
            threading.Timer(0.3, lambda: client.replicaof("NO", "ONE")).start()
        if len(ran) == len(keys):
            loop.stop()
        return converged()

    loop = looped(own, reconcile, batch=2)
    loop.run()
    assert ran == keys
    assert own.members(keys) == [False] * 6


def test_who_waits_while_the_primary_is_demoted_is_told(own: WorkQueue) -> None:
    """Redis ends its BLPOP with UNBLOCKED; that is an outage to wait out, not a fault of ours."""
    client: Any = own.scripts.redis
    found: list[Exception] = []

    def wait() -> None:
        try:
            own.wait("reconcile", 5)
        except SourceUnavailableError as error:
            found.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    while not client.info("clients")["blocked_clients"]:
        time.sleep(0.01)
    with contextlib.suppress(RedisConnectionError):  # the demotion may cut our own line too
        client.replicaof("127.0.0.1", 1)
    waiter.join()
    client.replicaof("NO", "ONE")
    assert "UNBLOCKED" in str(found[0])


def test_a_reaper_whose_call_was_under_way_while_redis_stood_still_buries_nobody(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """All leases ended meanwhile, its own too, and the others' heartbeats wait behind its call."""
    queue.add([Add(key=WEB)])
    (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    queue.heartbeat("w2", lease_s=LEASE_S)
    pass_time(redis_client, names, LEASE_S + 1)
    assert queue.reap(3, by="w2", fresh_s=LEASE_S / 2) == 0
    assert queue.holds(claim)
    queue.heartbeat("w2", lease_s=LEASE_S)
    assert queue.reap(3, by="w2", fresh_s=LEASE_S / 2) == 1


def test_a_flush_costs_time_not_correctness(own: WorkQueue) -> None:
    """Law 6: late ends are refused, and the queue starts anew with growing tokens."""
    own.add([Add(key=WEB)])
    (before,) = own.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    own.scripts.redis.flushall()
    assert own.complete("w1", [(before, converged())]) == [False]
    assert own.heartbeat("w1", lease_s=LEASE_S) is False
    assert own.add([Add(key=WEB)]).new == 1
    (after,) = own.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    assert after.token > before.token
    assert own.complete("w1", [(before, converged())]) == [False]
    assert own.complete("w1", [(after, converged())]) == [True]


def test_a_lost_tail_of_the_log_does_not_reuse_a_token(own: WorkQueue) -> None:
    """With `everysec` a crash may lose the last second, and with it the highest token."""
    own.add([Add(key=WEB)])
    (lost,) = own.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    client: Any = own.scripts.redis
    client.delete(own.names.own("token"), own.names.own("claims:w1"), own.names.own("leases"))
    client.hdel(own.names.job(WEB), "s_token", "worker_name")
    client.hset(own.names.job(WEB), "status", "queued")
    client.rpush(own.names.rq("queue", "reconcile", 0), own.names.job_id(WEB))
    (again,) = own.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    assert again.token > lost.token
    assert own.complete("w1", [(lost, converged())]) == [False]


# --- clocks


def test_only_redis_clock_counts(
    queue: WorkQueue, redis_client: Redis, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 22. worker clock an hour off: due times, leases and failure ages do not notice."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    queue.add([Add(key=WEB, delay_s=100)])
    assert queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S) == []
    pass_time(redis_client, names, 101)
    (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    queue.complete("w1", [(claim, Retry(delay_s=0, reason="R", message="m"))])
    pass_time(redis_client, names, 5000)
    (again,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    assert 4999 < again.first_failed_ago_s < 5100


@pytest.mark.parametrize(
    "name",
    ["add", "claim", "complete", "beat", "reap", "recover", "members", "lookup", "database"],
)
def test_no_script_takes_the_time_from_its_caller(name: str) -> None:
    """Trap 22. The scripts read TIME; no argument of theirs is an instant."""
    text = source(name)
    assert "call('TIME')" in text
    assert "P.now" not in text


# --- waiting


def test_an_idle_loop_is_woken_by_an_add(queue: WorkQueue) -> None:
    """Time to truth: an add must not wait for the next poll."""
    assert queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S) == []
    woken = threading.Event()

    def wait() -> None:
        queue.wait("reconcile", 5)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    queue.add([Add(key=WEB)])
    assert woken.wait(4)
    thread.join()


def test_a_wait_ends_when_the_next_key_is_due(queue: WorkQueue) -> None:
    """A retry after half a second must not wait for the poll of five."""
    queue.add([Add(key=WEB, delay_s=0.05)])
    queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
    began = time.monotonic()
    queue.wait("reconcile", 5)
    assert time.monotonic() - began < 3
    # Redis rounds BLPOP's timeout; the next wait is for what little is left.
    queue.wait("reconcile", 5)
    assert [claim.key for claim in queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)]


def test_nobody_spins_while_the_queue_is_paused(queue: WorkQueue, redis_client: Redis) -> None:
    """Wake-ups that stay in the list would send every idle loop round and round."""
    queue.pause()
    queue.add([Add(key=key) for key in workloads(50)])
    assert queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S) == []
    assert redis_client.llen(queue.names.own("wake:reconcile")) == 0
    queue.resume()
    assert redis_client.llen(queue.names.own("wake:reconcile")) == 1


def test_wake_ups_are_bounded(queue: WorkQueue, redis_client: Redis) -> None:
    """Law 10: with no worker for a week the list stays short."""
    for key in workloads(100):
        queue.add([Add(key=key)])
    assert redis_client.llen(queue.names.own("wake:reconcile")) == 64
