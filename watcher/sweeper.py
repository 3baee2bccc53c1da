"""Carries a sweep out, a slice at a time, so that live changes wait for one slice at most.

`decide.sweep` judges; here are the reads and writes of Redis around it. Each slice may ask for so
many keys and no more. What exceeds that is judged again in the next one: by then it may have run,
or be asked for by a live change. Nothing of it is remembered beyond the sweep, and nothing is lost
with it: the next sweep, whoever's it is, finds in Redis what this one asked for, and asks for the
rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeVar

from common.model.clusterrow import Row
from common.model.key import ImageKey, RowKey, WorkKey, WorkloadKey, has_row
from common.queue.contract import Add, AddResult, Lane
from watcher.decide import sweep
from watcher.decide.sweep import Disagreement, Instant, Settlement
from watcher.imagesweep import Ages, Images

K = TypeVar("K", bound=WorkKey)

# About 20 ms of work, most of it Redis' and the decoder's: as long as a live change may wait.
SLICE_KEYS = 500
# The event of a worker's write reaches the fold in milliseconds; a slow API server may need
# seconds. A row that settled within this time is judged by its reports in the next sweep.
SETTLING_S = 30.0


class Queue(Protocol):
    """The work queue's side for sweeps; raises TransientError, StaleFenceError."""

    def add(self, adds: Sequence[Add], *, fence: int | None = None) -> AddResult:
        """Queue keys and store the rows that come with them."""

    def forget(self, keys: Sequence[RowKey], *, fence: int, lane: Lane = Lane.FRESH) -> None:
        """Delete rows; queue the keys, so that a worker cleans up."""

    def store_rows(self, rows: Sequence[Row], *, fence: int) -> None:
        """Store rows without queueing their keys."""

    def members(self, keys: Sequence[WorkKey]) -> list[bool]:
        """Say for each key whether the queue holds it."""


class Rows(Protocol):
    """The table of rows; raises TransientError."""

    def fingerprints(self, keys: Sequence[RowKey]) -> Mapping[RowKey, str]:
        """Return the stored fingerprints of the keys that have one."""

    def every(self) -> Iterator[RowKey]:
        """Yield every key that has a row."""


class Settled(Protocol):
    """The table of settled runs; raises TransientError."""

    def get_many(self, keys: Sequence[RowKey]) -> Mapping[RowKey, Settlement]:
        """Return the rows of those keys that have one."""

    def all(self) -> Iterator[tuple[WorkKey, Settlement]]:
        """Yield every row."""


class References(Protocol):
    """Workloads whose images no kubelet runs; raises TransientError."""

    def due(self, now_s: float) -> Sequence[WorkloadKey]:
        """Return those that must ask a registry again by now, some thousands at most."""

    def asked(self, workloads: Iterable[WorkloadKey]) -> None:
        """Note that they are queued, or gone."""


class Known(sweep.Known, Protocol):
    """What the folds know, and the rows that they build."""

    def walk(self) -> Iterator[RowKey]:
        """Yield the key of every row, while changes are folded between two of them."""

    def left_over(self) -> Iterator[RowKey]:
        """Yield the keys of reports that have neither a row nor an owner."""

    def row(self, key: RowKey) -> Row | None:
        """Return the row of a key; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a sweep reads and writes."""

    queue: Queue
    rows: Rows
    settled: Settled
    known: Known
    references: References
    images: Images


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a sweep did."""

    workloads: int = 0
    asked: int = 0  # adds and forgets that were sent, or may have been
    enqueued: int = 0
    stored: int = 0
    forgotten: int = 0
    young: int = 0  # settled too lately to be judged by their reports
    ages: Ages = field(default_factory=Ages)
    causes: dict[str, int] = field(default_factory=dict)


class Sweep:
    """One sweep over everything. `step` until it returns False."""

    def __init__(self, ports: Ports, *, fence: int, epoch: int, now_s: float) -> None:
        """`now_s` is Unix seconds by Redis' clock."""
        self._ports = ports
        self._fence = fence
        self._now_s = now_s
        self._instant = Instant(epoch=epoch, settled_before_s=now_s - SETTLING_S)
        self._allowed = 0  # keys that the slice at hand may still ask for
        self._slices = self._plan()
        self.held = False
        """Whether the next slice is about keys that exceeded the allowance of the one before."""
        self.tally = Tally()

    def step(self, allowed: int) -> bool:
        """Do one slice, ask for `allowed` keys at most; return whether there is more.

        Raises TransientError when Redis does not answer: begin a new sweep later. Raises
        StaleFenceError when another watcher leads.
        """
        self._allowed = allowed
        return next(self._slices, False)

    def _plan(self) -> Iterator[bool]:
        """Yield True after each slice: what exists, what Redis has beyond that, and images."""
        ports = self._ports
        yield from self._all_of(ports.known.walk(), self._judge)
        yield from self._all_of(ports.rows.every(), self._forget_stored)
        yield from self._all_of((key for key, _ in ports.settled.all()), self._forget_settled)
        yield from self._all_of(ports.known.left_over(), self._forget_reports)
        yield from self._all_of(iter(ports.references.due(self._now_s)), self._ask_again)
        yield from self._all_of(ports.images.table.walk(SLICE_KEYS), self._verify)

    def _all_of(
        self, keys: Iterator[K], act: Callable[[Sequence[K]], Sequence[K]]
    ) -> Iterator[bool]:
        """Act on all keys, a slice at a time; `act` returns those that exceed the allowance.

        They are the next slices, no larger than what may be asked for: each is judged twice.
        """
        held: tuple[K, ...] = ()
        while chunk := held[: max(1, self._allowed)] or tuple(islice(keys, SLICE_KEYS)):
            held = (*act(chunk), *held[len(chunk) :])
            self.held = bool(held)
            yield True

    def _judge(self, keys: Sequence[RowKey]) -> Sequence[RowKey]:
        ports, instant = self._ports, self._instant
        stored, settled = ports.rows.fingerprints(keys), ports.settled.get_many(keys)
        verdict = sweep.judge(keys, ports.known, settled=settled, stored=stored, instant=instant)
        self._store(verdict.store)
        waiting = self._waiting([one.key for one in verdict.add])
        found = sweep.not_waiting(verdict, ports.known, stored=stored, waiting=waiting)
        self._add(self._confirmed(found[: self._allowed], stored), waiting=waiting)
        held = [one.key for one in found[self._allowed :]]
        self.tally.workloads += len(keys) - len(held)
        self.tally.young += sum(one.at >= instant.settled_before_s for one in settled.values())
        return held

    def _confirmed(
        self, disagreeing: Sequence[Disagreement], stored: Mapping[RowKey, str]
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

    def _add(self, found: Sequence[Disagreement], *, waiting: Collection[RowKey]) -> None:
        """Queue keys with their rows, behind what is fresh.

        One that waits has a new row: what it waits for may be in it, such as what its kubelet
        pulled. A live change would end the wait; so does this one, which nobody watched.
        """
        if not found:
            return
        known = self._ports.known
        adds = [
            Add(
                key=one.key,
                lane=Lane.FRESH if one.key in waiting else Lane.BULK,
                row=known.row(one.key),
                cause=one.cause,
            )
            for one in found
        ]
        self.tally.asked += len(adds)
        self.tally.enqueued += self._ports.queue.add(adds, fence=self._fence).enqueued
        for one in found:
            self.tally.causes[one.cause] = self.tally.causes.get(one.cause, 0) + 1

    def _store(self, keys: Sequence[RowKey]) -> None:
        rows = [row for key in keys if (row := self._ports.known.row(key)) is not None]
        if rows:
            self._ports.queue.store_rows(rows, fence=self._fence)
            self.tally.stored += len(rows)

    def _forget_stored(self, keys: Sequence[RowKey]) -> Sequence[RowKey]:
        """Forget rows without a workload, unless a live change did since their keys were read."""
        gone = sweep.gone(keys, self._ports.known)
        return self._forget(list(self._ports.rows.fingerprints(gone))) if gone else ()

    def _forget_settled(self, keys: Sequence[WorkKey]) -> Sequence[RowKey]:
        """Forget what settled and vanished while nobody watched; its clean-up may wait already.

        Or have ended between the two reads: then nothing of it is settled any more.
        """
        gone = sweep.gone([key for key in keys if has_row(key)], self._ports.known)
        waiting = self._waiting(gone)
        lost = [key for key in gone if key not in waiting]
        return self._forget(list(self._ports.settled.get_many(lost))) if lost else ()

    def _forget_reports(self, keys: Sequence[RowKey]) -> Sequence[RowKey]:
        """Have reports deleted that nothing needs and no garbage collector takes away."""
        gone = list(dict.fromkeys(sweep.gone(keys, self._ports.known)))
        waiting = self._waiting(gone)
        return self._forget([key for key in gone if key not in waiting])

    def _forget(self, gone: Sequence[RowKey]) -> Sequence[RowKey]:
        """Forget keys; return those that exceed the allowance, for each queues a clean-up."""
        now, held = gone[: self._allowed], gone[self._allowed :]
        if now:
            self.tally.asked += len(now)
            self._ports.queue.forget(now, fence=self._fence, lane=Lane.BULK)
            self.tally.forgotten += len(now)
        return held

    def _ask_again(self, keys: Sequence[WorkloadKey]) -> Sequence[WorkloadKey]:
        """Queue workloads whose references must be resolved again; return what exceeds that."""
        now, held = keys[: self._allowed], keys[self._allowed :]
        gone = frozenset(sweep.gone(now, self._ports.known))
        adds = [
            Add(key=key, lane=Lane.BULK, cause="ReferenceDue") for key in now if key not in gone
        ]
        if adds:
            self.tally.asked += len(adds)
            self.tally.enqueued += self._ports.queue.add(adds, fence=self._fence).enqueued
            causes = self.tally.causes
            causes["ReferenceDue"] = causes.get("ReferenceDue", 0) + len(adds)
        self._ports.references.asked(now)
        return held

    def _verify(self, keys: Sequence[ImageKey]) -> Sequence[ImageKey]:
        """Add the images that nobody will look at although somebody should."""
        found = self._ports.images.due(keys, self.tally.ages, now_s=self._now_s)
        now, held = found[: self._allowed], found[self._allowed :]
        if now:
            adds = [Add(key=one.key, lane=Lane.BULK, cause=one.cause) for one in now]
            self.tally.asked += len(adds)
            self.tally.enqueued += self._ports.queue.add(adds, fence=self._fence).enqueued
            for one in now:
                self.tally.causes[one.cause] = self.tally.causes.get(one.cause, 0) + 1
        return [one.image for one in held]

    def _waiting(self, keys: Sequence[RowKey]) -> frozenset[RowKey]:
        held = self._ports.queue.members(keys) if keys else []
        return frozenset(key for key, is_member in zip(keys, held, strict=True) if is_member)
