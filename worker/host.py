"""Several loops in one process: starts them, and drains them when the process is told to end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from redis import Redis

from common.model.errors import SluiceError
from common.queue.registration import Registration, worker_name
from common.queue.workqueue import WorkQueue
from common.state.names import Names
from worker.lease import Lease
from worker.loop import Loop, LoopSettings, Reconcile
from worker.ports import Ahead, Ports, nothing

# Kubernetes gives 30 s between SIGTERM and SIGKILL by default.
GRACE_S = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The loops of one pool."""

    pool: str
    loops: int
    reconcile: Reconcile  # shared by the loops, so it must be thread-safe
    ahead: Ahead = nothing  # told what a loop has claimed, for who works on many keys at once


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """How the process works."""

    lease_s: float = 15.0
    max_crashes: int = 3
    grace_s: float = GRACE_S
    batch: int = 64
    # Of its generation, for people who look at workers; empty: not told.
    digest: Callable[[], str] = str


class Host:
    """Runs crews until it is told to stop."""

    def __init__(
        self,
        redis: Redis,
        names: Names,
        *,
        ports: Ports,
        settings: HostSettings | None = None,
    ) -> None:
        self._redis = redis
        self._names = names
        self._ports = ports
        self._settings = settings or HostSettings()
        self._queue = WorkQueue(redis, names, generation=self._settings.digest)
        self._log = structlog.get_logger("worker.host")

    def run(self, crews: list[Crew], stopping: threading.Event) -> bool:
        """Work until `stopping` is set, then drain; False: not in order.

        That is when a key still ran after the grace period (its lease ends by itself, and another
        worker runs it again), or when a loop died of a fault of ours, which stops the others too:
        a process that works with fewer loops than it says would never be noticed.
        """
        died: list[str] = []
        loops = [self._loop(crew, number) for crew in crews for number in range(1, crew.loops + 1)]
        threads = [
            threading.Thread(
                target=self._hold, args=(*pair, stopping, died), name=pair[0].name, daemon=True
            )
            for pair in loops
        ]
        for thread in threads:
            thread.start()
        self._log.info("working", loops=len(threads), pools=sorted({c.pool for c in crews}))
        stopping.wait()
        for loop, _ in loops:
            loop.stop()
        with contextlib.suppress(SluiceError):  # without Redis nobody waits in it
            for crew in crews:
                self._queue.wake(crew.pool, crew.loops)
        return self._drained(threads) and not died

    def _loop(self, crew: Crew, number: int) -> tuple[Loop, Lease]:
        settings = self._settings
        name = worker_name(self._names, crew.pool, number)
        registration = Registration(
            self._redis, self._names, worker=name, pools=(crew.pool,), digest=settings.digest
        )
        lease = Lease(
            self._queue,
            registration,
            worker=name,
            monotonic_s=self._ports.monotonic_s,
            length_s=settings.lease_s,
            max_crashes=settings.max_crashes,
        )
        loop = Loop(
            self._queue,
            crew.pool,
            crew.reconcile,
            lease=lease,
            settings=LoopSettings(worker=name, batch=settings.batch),
            ports=self._ports,
            ahead=crew.ahead,
        )

        def beside() -> None:
            loop.relieve()
            registration.tell()

        lease.at_each_beat(beside)
        return loop, lease

    def _hold(self, loop: Loop, lease: Lease, stopping: threading.Event, died: list[str]) -> None:
        try:
            with lease:
                loop.run()
        except Exception:  # noqa: BLE001 # a thread has nobody above it
            self._log.exception("loop died", worker=loop.name)
            died.append(loop.name)
            stopping.set()

    def _drained(self, threads: list[threading.Thread]) -> bool:
        """Wait for the loops' ends, all together no longer than the grace period."""
        until_s = self._ports.monotonic_s() + self._settings.grace_s
        for thread in threads:
            thread.join(max(0.0, until_s - self._ports.monotonic_s()))
        running = [thread.name for thread in threads if thread.is_alive()]
        if running:
            self._log.warning("not drained", loops=running, grace_s=self._settings.grace_s)
        return not running
