"""The Redis of the queue's benchmark, and what it says about its own work."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from redis import Redis

from common.queue.workqueue import WorkQueue
from common.state.names import Names
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack
from sandbox.valkey import Valkey
from tests.bench.queue_order import Order

CLUSTER = "bench"
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What Redis has done since it started."""

    at: float  # monotonic seconds
    commands: int  # those inside scripts included
    reads: int  # of a socket: one a round trip, more for requests above 16 KiB
    cpu_s: float  # of the whole process

    def since(self, before: Load) -> Load:
        """Return the difference; `at` becomes the seconds between."""
        return Load(
            at=self.at - before.at,
            commands=self.commands - before.commands,
            reads=self.reads - before.reads,
            cpu_s=self.cpu_s - before.cpu_s,
        )


def load_of(info: Mapping[str, Any], at: float) -> Load:
    """Read INFO. The commands of INFO itself are left out. Pure."""
    calls = (
        value["calls"]
        for name, value in info.items()
        if name.startswith("cmdstat_") and name != "cmdstat_info"
    )
    return Load(
        at=at,
        commands=sum(calls),
        reads=info["total_reads_processed"],
        cpu_s=info["used_cpu_user"] + info["used_cpu_sys"],
    )


class Server:
    """One Valkey as the product needs it, and the processes that work on it."""

    def __init__(self) -> None:
        self._place = Place()
        self._stack = Stack()
        self._numbers = itertools.count()
        self.own_polls = 0  # round trips that were ours

    def __enter__(self) -> Self:
        self._place.__enter__()
        self._stack.__enter__()
        self._valkey = Valkey(self._place, self._stack).start()
        self.url = self._valkey.socket_url
        self.redis: Any = Redis.from_url(self.url)  # untyped: its replies are unions over modes
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error)
        self._place.__exit__(kind, error)

    def clear(self) -> None:
        """Forget everything, and be done with it: freeing must not go on during a measurement."""
        self.redis.execute_command("FLUSHALL", "SYNC")

    def queue(self, cluster: str = CLUSTER) -> WorkQueue:
        """Return our queue on this server."""
        return WorkQueue(self.redis, Names(cluster))

    def load(self) -> Load:
        """Return what Redis has done so far; the asking is not counted."""
        info = self.redis.execute_command("INFO", "everything")
        return load_of(info, time.monotonic())

    def file(self, name: str) -> Path:
        """Return a file that does not exist yet."""
        return self._place.sub("reports") / f"{name}-{next(self._numbers)}.json"

    def start(self, name: str, *argv: str) -> Process:
        """Start a worker; it ends with the server at the latest."""
        log = self._place.log(f"{name}-{next(self._numbers)}")
        process = Process(Command(name=name, argv=argv, log=log, stop_within_s=15))
        return self._stack.push(process.start())

    def start_ours(self, order: Order) -> Process:
        """Start a worker of ours."""
        text = msgspec.json.encode(order).decode()
        return self.start("ours", sys.executable, "-m", "tests.bench.queue_ours", text)

    def wait(self, process: Process, holds: Any, *, every_s: float = 0.002) -> None:
        """Wait until `holds()`. Raises PreconditionError when the process dies, or after 2 min."""
        deadline = time.monotonic() + _PATIENCE_S
        while not holds():
            if not process.alive and process.exit_status:
                raise process.failure(f"ended with status {process.exit_status}")
            if time.monotonic() > deadline:
                raise process.failure(f"was not done after {_PATIENCE_S:g} s")
            time.sleep(every_s)

    def left(self, *counts: tuple[str, str]) -> int:
        """Return the sum of lengths, each a command and a key, read in one round trip."""
        self.own_polls += 1
        with self.redis.pipeline(transaction=False) as pipe:
            for command, key in counts:
                pipe.execute_command(command, key)
            return sum(pipe.execute())
