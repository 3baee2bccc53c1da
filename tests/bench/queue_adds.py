"""Adds a second, duplicates a second, and the memory of a queued key: ours against rq's unique."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rq import Queue
from rq.exceptions import DuplicateJobError

from common.model.key import WorkloadKey
from common.queue.contract import Add
from common.queue.workqueue import WorkQueue, chunked
from common.state.fence import FenceTable
from common.state.names import Names
from tests.bench.queue_noop import noop
from tests.bench.queue_server import CLUSTER, Server
from tests.bench.queue_sides import keys_of
from tests.queue_values import row
from watcher.feed import BATCH_KEYS

_OURS, _RQ = 30_000, 2_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adds:
    """One system in one run."""

    new: float  # a second
    duplicate: float  # a second
    bytes_each: float  # that Redis grew by for a queued key, all that the add wrote included
    faults: list[str]
    with_row: float = 0.0  # new ones a second, the workload's row stored with each
    bare_bytes_each: float = 0.0  # without the facts in the bounded ledger


def adds_of_ours(server: Server) -> Adds:
    """Add as the watcher does: in calls of `watcher.feed.BATCH_KEYS` keys."""
    queue, keys = _fresh(server), keys_of(_OURS)
    empty = _used(server)

    def add() -> tuple[int, int]:
        results = [queue.add(part) for part in _parts(keys)]
        return sum(one.new for one in results), sum(one.duplicate for one in results)

    new_s, (new, _) = _timed(add)
    full = _used(server)
    duplicate_s, (again, duplicate) = _timed(add)
    queued = queue.totals(), sum(depth.queued for depth in queue.depth().values())
    wrong = (new, again, duplicate, queued[1]) != (_OURS, 0, _OURS, _OURS)
    ledger = server.redis.memory_usage(Names(CLUSTER).own("ledger"), samples=0)
    return Adds(
        new=_OURS / new_s,
        duplicate=_OURS / duplicate_s,
        bytes_each=(full - empty) / _OURS,
        bare_bytes_each=(full - empty - ledger) / _OURS,
        with_row=_rows(server, keys),
        faults=[f"adds: {new} new, then {again}; {duplicate} duplicates"] if wrong else [],
    )


def adds_of_rq(server: Server) -> Adds:
    """Add with `unique=True`: one call a key, rq has none for many."""
    server.clear()
    queue, keys = Queue("default", connection=server.redis), keys_of(_RQ)
    _unique(queue, keys[0])  # rq asks for the server's version once
    server.clear()
    empty = _used(server)
    new_s, new = _timed(lambda: sum(_unique(queue, key) for key in keys))
    full = _used(server)
    duplicate_s, again = _timed(lambda: sum(_unique(queue, key) for key in keys))
    wrong = (new, again, len(queue)) != (_RQ, 0, _RQ)
    return Adds(
        new=_RQ / new_s,
        duplicate=_RQ / duplicate_s,
        bytes_each=(full - empty) / _RQ,
        faults=[f"rq's adds: {new} new, then {again}"] if wrong else [],
    )


def _fresh(server: Server) -> WorkQueue:
    """Return our queue, empty, with its scripts loaded."""
    server.clear()
    queue = server.queue()
    queue.add(())
    return queue


def _parts(keys: list[WorkloadKey]) -> Iterator[list[Add]]:
    for part in chunked(keys, BATCH_KEYS):
        yield [Add(key=key, cause="created") for key in part]


def _rows(server: Server, keys: list[WorkloadKey]) -> float:
    """Return new keys a second when each brings its row; building the rows is not counted."""
    queue = _fresh(server)
    fence = FenceTable(server.redis, Names(CLUSTER)).take()
    adds = [Add(key=key, row=row(key), cause="created") for key in keys]
    seconds, _ = _timed(
        lambda: [queue.add(part, fence=fence) for part in chunked(adds, BATCH_KEYS)]
    )
    return len(keys) / seconds


def _unique(queue: Queue, key: WorkloadKey) -> int:
    """Return 1 when the key was queued, 0 when it was there."""
    try:
        queue.enqueue(noop, str(key), job_id=Names(CLUSTER).job_id(key), unique=True)
    except DuplicateJobError:
        return 0
    return 1


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began_s = time.perf_counter()
    result = work()
    return time.perf_counter() - began_s, result


def _used(server: Server) -> int:
    """Return the bytes that Redis holds, without what waits to be written to file or socket."""
    memory = server.redis.info("memory")
    passing = memory["mem_aof_buffer"] + memory["mem_clients_normal"]
    return int(memory["used_memory"]) - int(passing)
