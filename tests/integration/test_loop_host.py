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
from common.state.names import Names
from common.state.workers import WorkerTable
from tests.queue_values import converged, image, judged, workloads
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
