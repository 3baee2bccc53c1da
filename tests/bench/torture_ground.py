"""Where a torture happens: a Redis of its own, worker processes, and what can be done to them.

Every fault after which a claim may honestly have ended is written into the diary as an excuse;
the others (a Redis that is away, slow or full) excuse nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from redis import Redis

from common.model.errors import SluiceError
from common.model.key import WorkloadKey
from common.queue.contract import Add
from common.queue.workqueue import WorkQueue
from common.state.names import Names
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack
from sandbox.valkey import Valkey
from tests.bench.torture_diary import Diary
from tests.bench.torture_worker import Order

ROOT = Path(__file__).parents[2]
CLUSTER = "torture"
_LOOK_S = 0.01
_DOWN_S = 0.02  # between two tries of an add while Redis is away


class StuckError(AssertionError):
    """Something did not come to its end in the time that was given."""


@dataclass(slots=True, kw_only=True)
class Worker:
    """A worker process and what it was told."""

    process: Process
    order: Order

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid


@dataclass(kw_only=True)
class Ground:
    """A server, workers and the diary. Use `ground`."""

    server: Valkey
    place: Place
    client: Redis
    diary: Diary
    patience_s: float
    workers: list[Worker] = field(default_factory=list)
    started: int = 0

    def __post_init__(self) -> None:
        self.names = Names(CLUSTER)
        self.queue = WorkQueue(self.client, self.names)

    # --- waiting

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait for a condition. Raises StuckError that says `what` did not happen."""
        end = time.monotonic() + self.patience_s
        while not holds():
            if time.monotonic() > end:
                raise StuckError(f"not within {self.patience_s:g} s: {what}")
            time.sleep(_LOOK_S)

    def settle(self, keys: Sequence[WorkloadKey]) -> None:
        """Wait until none of the keys is in the queue any more."""
        self.until(
            lambda: not any(self.queue.members(keys)), "every key leaves the queue, done or not"
        )

    def passes(self, seconds: float) -> None:
        """Let time pass: a lease must end, or must have been renewed, by itself."""
        time.sleep(seconds)

    # --- workers

    def start(self, **changes: object) -> Worker:
        """Start a worker process."""
        self.started += 1
        order = Order(url=self.server.socket_url, cluster=CLUSTER, folder=str(self.diary.folder))
        order = msgspec.structs.replace(order, **changes)
        name = f"worker-{self.started}"
        text = msgspec.json.encode(order).decode()
        command = Command(
            name=name,
            argv=(sys.executable, "-m", "tests.bench.torture_worker", text),
            log=self.place.log(name),
            folder=ROOT,
        )
        worker = Worker(process=Process(command).start(), order=order)
        self.workers.append(worker)
        return worker

    def kill(self, worker: Worker) -> None:
        """End it with SIGKILL."""
        worker.process.kill()
        self.diary.note("killed", pid=worker.pid)
        self.workers.remove(worker)

    @contextlib.contextmanager
    def stopped(self, worker: Worker) -> Iterator[None]:
        """Let it stand still (SIGSTOP) for the block."""
        began = time.monotonic()
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            self.diary.note("excuse", pid=worker.pid, at=began, until=time.monotonic())
            os.kill(worker.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def excused(self, worker: Worker) -> Iterator[None]:
        """Note that it cannot reach Redis during the block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.diary.note("excuse", pid=worker.pid, at=began, until=time.monotonic())

    # --- Redis

    @contextlib.contextmanager
    def redis_stopped(self) -> Iterator[None]:
        """Let Redis stand still (SIGSTOP) for the block. Excuses nothing."""
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.server.pid, signal.SIGCONT)

    def lose_power(self, *, keep_bytes: int, since: float) -> None:
        """Kill Redis, cut its log to what it was at `since`, and start it again."""
        self.server.kill(keep_bytes=keep_bytes)
        self.server.restart()
        self.diary.note("excuse", pid=0, at=since, until=time.monotonic(), lost_log=True)

    # --- changes

    def add(self, add: Add, *, fence: int | None = None) -> None:
        """Add until it is acknowledged."""
        while True:
            try:
                self.queue.add([add], fence=fence)
            except SluiceError:
                time.sleep(_DOWN_S)
            else:
                return

    @contextlib.contextmanager
    def held(self, *keys: WorkloadKey, point: str = "run") -> Iterator[None]:
        """Hold the next runs of the keys at a point, for the block; the caller adds them."""
        for key in keys:
            self.diary.shut(point, key.name)
        try:
            yield
        finally:
            for key in keys:
                self.diary.open(point, key.name)

    def wait_held(self, *keys: WorkloadKey, point: str = "run", pid: int = 0) -> None:
        """Wait until runs of all the keys stand at the point."""
        self.until(
            lambda: all(self.diary.holds(point, key.name, pid=pid) for key in keys),
            f"runs of {', '.join(key.name for key in keys)} stand at {point}",
        )


@contextlib.contextmanager
def ground(folder: Path, *, fsync: str = "always", patience_s: float = 30.0) -> Iterator[Ground]:
    """Give a ground whose server and workers end with the block."""
    diary = Diary(folder)
    with Place() as place, Stack() as stack:
        server = Valkey(place, stack, fsync=fsync).start()
        with Redis.from_url(server.socket_url, socket_timeout=10) as client:
            one = Ground(
                server=server, place=place, client=client, diary=diary, patience_s=patience_s
            )
            try:
                yield one
            finally:
                for worker in one.workers:
                    worker.process.kill()
                diary.close()
