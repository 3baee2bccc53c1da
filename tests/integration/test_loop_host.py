"""Several loops in one process: registered, drained, and never silently fewer."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from common.model.key import WorkKey
from common.queue.contract import Add, Claim, Outcome
from common.queue.workqueue import WorkQueue
from common.state.epoch import EpochTable
from common.state.names import Names
from common.state.workers import WorkerTable
from tests.queue_values import converged, image, judged, workloads
from tests.waiting import eventually
from worker.host import Crew, Host, HostSettings
from worker.ports import Ports

pytestmark = pytest.mark.integration


def host(redis: Redis, names: Names, **changes: Any) -> Host:
    """Return a host with short leases."""
    return Host(
        redis,
        names,
        ports=Ports(monotonic_s=time.monotonic, judge=judged),
        settings=HostSettings(lease_s=5.0, **changes),
    )


def test_loops_of_all_pools_share_the_work(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """One process can run everything: `sluice run` does."""
    stopping, lock = threading.Event(), threading.Lock()
    keys: list[WorkKey] = [*workloads(30), image(1), image(2)]
    ran: list[Any] = []
    alive: list[str] = []

    def reconcile(claim: Claim) -> Outcome:
        with lock:
            ran.append(claim.key)
            if len(ran) == len(keys):
                alive.extend(WorkerTable(redis_client, names).alive())
                stopping.set()
        return converged()

    queue.add([Add(key=key) for key in keys])
    crews = [
        Crew(pool="reconcile", loops=2, reconcile=reconcile),
        Crew(pool="scan", loops=1, reconcile=reconcile),
    ]
    assert host(redis_client, names).run(crews, stopping)
    assert sorted(map(str, ran)) == sorted(map(str, keys))
    assert len(alive) == 3
    assert WorkerTable(redis_client, names).alive() == ()
    assert queue.members(keys) == [False] * len(keys)


def test_a_run_that_hangs_holds_up_no_other_key(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Quick keys are claimed in batches; those behind one that hangs go to other workers."""
    quick, slow, mate = workloads(3)
    stopping, begun = threading.Event(), threading.Event()

    def reconcile(claim: Claim) -> Outcome:
        if claim.key == quick:  # now the loop takes its keys to be quick
            queue.add([Add(key=slow), Add(key=mate)])
        elif claim.key == slow:
            begun.set()
            stopping.wait(60)
        return converged()

    queue.add([Add(key=quick)])
    crew = Crew(pool="reconcile", loops=1, reconcile=reconcile)
    worker = threading.Thread(target=host(redis_client, names).run, args=([crew], stopping))
    worker.start()
    try:
        assert begun.wait(30)
        assert not queue.claim("reconcile", "other", limit=9, lease_s=60)  # both are the loop's
        end = time.monotonic() + 30
        while not (claims := queue.claim("reconcile", "other", limit=9, lease_s=60)):
            assert time.monotonic() < end, "the key behind the one that hangs was not given back"
            time.sleep(0.05)
        assert [claim.key for claim in claims] == [mate]
    finally:
        stopping.set()
        worker.join()
    assert queue.members([slow]) == [False]


def test_a_loop_that_dies_of_our_fault_ends_the_process(
    redis_client: Redis, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever supervises it starts a whole one; a half one would only be slow, for ever."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(WorkQueue, "claim", broken)
    stopping = threading.Event()
    crew = Crew(pool="reconcile", loops=2, reconcile=lambda _: converged())
    with capture_logs() as lines:
        assert not host(redis_client, names).run([crew], stopping)
    assert stopping.is_set()
    assert {line["event"] for line in lines} >= {"loop died"}


def test_a_host_of_another_generation_takes_nothing(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Also while its loops do not know yet that other settings are published."""
    stopping, ran = threading.Event(), list[str]()
    keys = workloads(20)

    def running(digest: str) -> threading.Thread:
        def reconcile(_claim: Claim) -> Outcome:
            ran.append(digest)
            if len(ran) == len(keys):
                stopping.set()
            return converged()

        crews = [Crew(pool="reconcile", loops=1, reconcile=reconcile)]
        one = host(redis_client, names, digest=lambda: digest)
        thread = threading.Thread(target=one.run, args=(crews, stopping))
        thread.start()
        return thread

    EpochTable(redis_client, names).publish("new", fence=1)
    old = running("old")
    assert eventually(lambda: len(WorkerTable(redis_client, names).alive()) == 1)
    queue.add([Add(key=key) for key in keys])
    new = running("new")
    for thread in (old, new):
        thread.join(30)
    stopping.set()
    assert ran == ["new"] * len(keys)
