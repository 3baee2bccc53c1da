"""Carries a sweep out, a chunk at a time, so that live changes wait for one chunk at most.

`decide.sweep` judges; here are the reads and writes of Redis around it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeVar

from common.model.key import WorkKey, WorkloadKey
from common.model.workload import WorkloadRow
from common.queue.contract import Add, AddResult, Lane
from watcher.decide import sweep
from watcher.decide.sweep import Disagreement, Instant, Settlement

K = TypeVar("K", bound=WorkKey)

# About 20 ms of work, most of it Redis' and the decoder's: as long as a live change may wait.
CHUNK_KEYS = 500
# The event of a worker's write reaches the fold in milliseconds; a slow API server may need
# seconds. A row that settled within this time is judged by its reports in the next sweep.
SETTLING_S = 30.0


class Queue(Protocol):
    """The work queue's side for sweeps; raises TransientError, StaleFenceError."""

    def add(self, adds: Sequence[Add], *, fence: int | None = None) -> AddResult:
        """Queue keys and store the rows that come with them."""

    def forget(self, keys: Sequence[WorkloadKey], *, fence: int) -> None:
        """Delete rows; queue the keys, so that a worker cleans up."""

    def store_rows(self, rows: Sequence[WorkloadRow], *, fence: int) -> None:
        """Store rows without queueing their keys."""

    def members(self, keys: Sequence[WorkKey]) -> list[bool]:
        """Say for each key whether the queue holds it."""


class Rows(Protocol):
    """The table of rows; raises TransientError."""

    def fingerprints(self, keys: Sequence[WorkloadKey]) -> Mapping[WorkloadKey, str]:
        """Return the stored fingerprints of the keys that have one."""

    def keys(self) -> Iterator[WorkloadKey]:
        """Yield every key that has a row."""


class Settled(Protocol):
    """The table of settled runs; raises TransientError."""

    def get_many(self, keys: Sequence[WorkloadKey]) -> Mapping[WorkloadKey, Settlement]:
        """Return the rows of those keys that have one."""

    def all(self) -> Iterator[tuple[WorkKey, Settlement]]:
        """Yield every row."""


class Known(sweep.Known, Protocol):
    """What the folds know, and the rows that they build."""

    def walk(self) -> Iterator[WorkloadKey]:
        """Yield the key of every row, while changes are folded between two of them."""

    def row(self, key: WorkloadKey) -> WorkloadRow | None:
        """Return the row of a workload; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a sweep reads and writes."""

    queue: Queue
    rows: Rows
    settled: Settled
    known: Known


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a sweep did."""

    workloads: int = 0
    enqueued: int = 0
    stored: int = 0
    forgotten: int = 0
    young: int = 0  # settled too lately to be judged by their reports
    causes: dict[str, int] = field(default_factory=dict)


class Sweep:
    """One sweep over everything. `step` until it returns False."""

    def __init__(self, ports: Ports, *, fence: int, epoch: int, now_s: float) -> None:
        """`now_s` is Unix seconds by Redis' clock."""
        self._ports = ports
        self._fence = fence
        self._instant = Instant(epoch=epoch, settled_before_s=now_s - SETTLING_S)
        self._chunks = self._plan()
        self.tally = Tally()

    def step(self) -> bool:
        """Do one chunk; return whether there is more.

        Raises TransientError when Redis does not answer: begin a new sweep later. Raises
        StaleFenceError when another watcher leads.
        """
        return next(self._chunks, False)

    def _plan(self) -> Iterator[bool]:
        """Yield True after each chunk: first what exists, then what Redis has beyond that."""
        ports = self._ports
        for chunk in _chunked(ports.known.walk()):
            self._judge(chunk)
            yield True
        for chunk in _chunked(ports.rows.keys()):
            self._forget(chunk, waiting=())
            yield True
        for page in _chunked(key for key, _ in ports.settled.all()):
            self._forget_settled(page)
            yield True

    def _judge(self, keys: Sequence[WorkloadKey]) -> None:
        ports, instant = self._ports, self._instant
        stored, settled = ports.rows.fingerprints(keys), ports.settled.get_many(keys)
        verdict = sweep.judge(keys, ports.known, settled=settled, stored=stored, instant=instant)
        self.tally.workloads += len(keys)
        self.tally.young += sum(one.at >= instant.settled_before_s for one in settled.values())
        self._store(verdict.store)
        waiting = self._waiting([one.key for one in verdict.add])
        disagreeing = sweep.not_waiting(verdict, ports.known, stored=stored, waiting=waiting)
        self._add(self._confirmed(disagreeing, stored))

    def _confirmed(
        self, disagreeing: Sequence[Disagreement], stored: Mapping[WorkloadKey, str]
    ) -> Sequence[Disagreement]:
        """Judge again what does not wait: its run may have ended between the two reads."""
        keys = [one.key for one in disagreeing]
        if not keys:
            return ()
        ports = self._ports
        verdict = sweep.judge(
            keys,
            ports.known,
            settled=ports.settled.get_many(keys),
            stored=stored,
            instant=self._instant,
        )
        self._store(verdict.store)
        return verdict.add

    def _add(self, found: Sequence[Disagreement]) -> None:
        if not found:
            return
        known = self._ports.known
        adds = [
            Add(key=one.key, lane=Lane.BULK, row=known.row(one.key), cause=one.cause)
            for one in found
        ]
        self.tally.enqueued += self._ports.queue.add(adds, fence=self._fence).enqueued
        for one in found:
            self.tally.causes[one.cause] = self.tally.causes.get(one.cause, 0) + 1

    def _store(self, keys: Sequence[WorkloadKey]) -> None:
        rows = [row for key in keys if (row := self._ports.known.row(key)) is not None]
        if rows:
            self._ports.queue.store_rows(rows, fence=self._fence)
            self.tally.stored += len(rows)

    def _forget_settled(self, keys: Sequence[WorkKey]) -> None:
        """Forget what settled and vanished while nobody watched; its clean-up may wait already.

        Or have ended between the two reads: then nothing of it is settled any more.
        """
        gone = sweep.gone([key for key in keys if isinstance(key, WorkloadKey)], self._ports.known)
        waiting = self._waiting(gone)
        lost = [key for key in gone if key not in waiting]
        if lost:
            self._forget(list(self._ports.settled.get_many(lost)), waiting=())

    def _forget(self, keys: Sequence[WorkloadKey], *, waiting: Collection[WorkloadKey]) -> None:
        gone = sweep.gone(keys, self._ports.known, waiting=waiting)
        if gone:
            self._ports.queue.forget(gone, fence=self._fence)
            self.tally.forgotten += len(gone)

    def _waiting(self, keys: Sequence[WorkloadKey]) -> frozenset[WorkloadKey]:
        held = self._ports.queue.members(keys) if keys else []
        return frozenset(key for key, is_member in zip(keys, held, strict=True) if is_member)


def _chunked(keys: Iterable[K]) -> Iterator[Sequence[K]]:
    source = iter(keys)
    while chunk := tuple(islice(source, CHUNK_KEYS)):
        yield chunk
