"""The running watcher: loads the cluster, then stands by or leads, turn by turn, until it is told.

One thread does all of it. It takes changes from the informers' queue in small batches and folds
them. While it leads it also sends what they ask for, and does one chunk of a sweep in between, so
that nothing live waits long. Redis may be away at any time: wishes stay in the feed, a sweep begins
again later.

While another leads it writes nothing to Redis and forgets what changes ask for: its folds are
current, and the sweep with which it begins to lead asks for everything that is not true yet. Which
of several leads, the Lease decides (`election`); that nobody else's write counts, the fence that
is taken at the beginning of each term.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from common.model.errors import DefectError, StaleFenceError, TransientError
from common.model.facts import Fact
from watcher.complaints import Complaints
from watcher.feed import Feed, Tally
from watcher.fold.cluster import Cluster
from watcher.fold.delta import FoldFact, Unreadable
from watcher.inbox import BATCH_CHANGES, take_batch
from watcher.lead import LeadPorts
from watcher.position import Announced, Position
from watcher.pulse import Pulse
from watcher.rounds import Ledger, Rounds
from watcher.standby import Standby
from watcher.stream.change import Change, Op
from watcher.stream.pace import REST_S, next_rest_s
from watcher.succession import Succession
from watcher.sweeper import Queue
from watcher.term import Term

_log = structlog.get_logger()

# How often other processes' requests and Redis' life are looked at, and a stop is noticed.
_TICK_S = 1.0
_IDLE_S = 0.2
_LOADING_LOG_S = 15.0
_NEVER = float("-inf")


class Streams(Protocol):
    """The informers."""

    @property
    def alive(self) -> bool:
        """Whether every thread runs."""


class Seat(Protocol):
    """Our place in the election: `candidate.Candidate`, or `alone.Alone`. Every call is cheap."""

    @property
    def alive(self) -> bool:
        """Whether it works; False means a defect."""

    @property
    def other(self) -> str:
        """Who else leads, as far as is known; empty: nobody."""

    def term(self) -> int:
        """Return the number of our term; 0: we do not lead."""

    def reached_redis(self, at_s: float) -> None:
        """Say that Redis answered a request that was sent at that time (monotonic)."""

    def resign(self, term: int) -> bool:
        """Lead no more in this term; False: there is no election."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that a watcher is made of."""

    inbox: queue.Queue[Change]
    streams: Streams
    seat: Seat
    cluster: Cluster
    work: Queue
    ledger: Ledger
    lead: LeadPorts
    rounds: Rounds
    tally: Tally
    pulse: Pulse
    expected: frozenset[tuple[str, str]]  # resource and namespace (empty: all) of every stream
    digest: Callable[[], str]  # of everything that shapes reports


class Watcher:
    """`run` it on one thread; the properties may be read on any."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._monotonic = parts.pulse.monotonic
        self._complaints = Complaints()
        self._standby = Standby(parts.lead.epochs)
        self._position = Position(parts.expected)
        self._succession = Succession(
            parts.lead, parts.cluster, self._position, digest=parts.digest, pulse=parts.pulse
        )
        self._term: Term | None = None  # None: we stand by
        self._missing = set(parts.expected)
        self._next_tick_s = _NEVER
        self._beat_at_s = self._monotonic()
        self._ready = False
        self._led_last = False
        self._mattered = False  # whether the last batch told anything

    @property
    def ready(self) -> bool:
        """Whether everything is loaded, and we lead or could when the leader ends."""
        return self._ready

    @property
    def leads(self) -> bool:
        """Whether this watcher writes; False as soon as it must not, even if its loop hangs."""
        term = self._term
        return term is not None and term.number == self._parts.seat.term()

    @property
    def led_last(self) -> bool:
        """Whether it leads, or did and nobody is known to have followed."""
        return self._led_last

    @property
    def fault(self) -> str:
        """Why standing by is of no use, in words; empty: it is, or we lead."""
        return self._standby.fault

    @property
    def missing(self) -> frozenset[str]:
        """The resources that are not loaded yet, and in which namespace if not in all."""
        return frozenset(
            f"{resource} in {namespace}" if namespace else resource
            for resource, namespace in self._missing.copy()
        )

    @property
    def behind(self) -> tuple[str, ...]:
        """The streams that the leader before had read further than we have."""
        return self._succession.behind

    @property
    def pending(self) -> int:
        """How many keys Redis has not taken yet."""
        term = self._term
        return term.pending if term is not None else 0

    @property
    def silent_s(self) -> float:
        """How long ago the loop went round last."""
        return self._monotonic() - self._beat_at_s

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what Redis has not taken by then, the next sweep finds.

        Raises StaleFenceError when another watcher leads and there is no election, DefectError
        when a thread of ours died.
        """
        self._load(stop)
        rest_s = REST_S
        while not stop.is_set():
            began_s = self._monotonic()
            taken = self._turn()
            if 0 < taken < BATCH_CHANGES and not self._busy:
                # Changes gather for the next batch: waking for each, and calling Redis for each,
                # would cost more than the change itself. A lone one was taken at once.
                # Where one of them mattered, more of the kind follow, and somebody waits for them.
                rest_s = next_rest_s(rest_s, gathered=taken > 1 and not self._mattered)
                stop.wait(max(0.0, began_s + rest_s - self._monotonic()))

    # --- loading --------------------------------------------------------------------------------

    def _load(self, stop: threading.Event) -> None:
        """Take everything in that exists; workers go on with the rows of the watcher before."""
        told_at_s = self._monotonic()
        while self._missing and not stop.is_set():
            changes = self._take(_IDLE_S)
            self._check_threads()
            self._parts.cluster.load(changes)
            self._note_streams(changes)
            if self._monotonic() - told_at_s > _LOADING_LOG_S:
                told_at_s = self._monotonic()
                _log.warning("still loading", missing=sorted(self.missing))
        self._parts.cluster.settle()

    # --- the loop -------------------------------------------------------------------------------

    @property
    def _busy(self) -> bool:
        """Whether a sweep goes on, which must not wait for changes."""
        return self._term is not None and self._term.busy

    def _turn(self) -> int:
        """Fold one batch; while we lead, send what it asks for; look around.

        Return the number of changes in the batch.
        """
        parts = self._parts
        changes = self._take(0.0 if self._busy else _IDLE_S)
        facts = parts.cluster.apply(changes)
        self._mattered = bool(facts)
        self._note_streams(changes)
        self._note_facts(facts)
        # Asked after the wait and before the first write: we may have been stopped for an hour.
        number = parts.seat.term()
        if self._term is not None and self._term.number != number:
            self._end_term("the lease is not ours any more")
        try:
            self._act(number, facts, caught_up=len(changes) < BATCH_CHANGES)
        except StaleFenceError as exc:
            if not parts.seat.resign(number):
                raise
            self._end_term(str(exc))
        return len(changes)

    def _act(self, number: int, facts: Sequence[FoldFact], *, caught_up: bool) -> None:
        """Do what a leader, or a standby, does after it folded a batch."""
        now_s, draw = self._monotonic(), self._parts.pulse.draw()
        if self._term is not None:
            self._term.work(facts, self._parts.cluster, now_s=now_s, draw=draw)
        elif number and caught_up:
            self._begin(number)
        if self._monotonic() >= self._next_tick_s:
            self._next_tick_s = self._monotonic() + _TICK_S
            self._tick()

    def _tick(self) -> None:
        """Look at our threads, at Redis, and at what others ask for."""
        self._check_threads()
        at_s, seat = self._monotonic(), self._parts.seat
        if self._term is not None:
            answered = self._term.look()
        else:
            answered = self._standby.look(at_s, leader=seat.other)
            self._led_last = self._led_last and not seat.other
            # Where nobody leads we are about to: ready is then who does.
            self._ready = self._ready or (answered and bool(seat.other))
        if answered:
            seat.reached_redis(at_s)

    # --- terms ----------------------------------------------------------------------------------

    def _begin(self, number: int) -> None:
        """Begin a term, unless Redis is away or our fold lags behind."""
        parts, at_s = self._parts, self._monotonic()
        lead = self._succession.lead(number)
        if lead is None:
            return
        try:
            queue = Announced(parts.work, parts.lead.seen, self._position, fence=lead.fence)
        except TransientError as exc:
            self._succession.failed(exc)
            return
        self._succession.done()
        parts.seat.reached_redis(at_s)
        feed = Feed(queue, parts.cluster, parts.tally, fence=lead.fence)
        self._term = Term(number, lead, feed=feed, rounds=parts.rounds, ledger=parts.ledger)
        self._standby.end()
        self._ready = self._led_last = True
        _log.info("leading", term=number, fence=lead.fence, epoch=lead.epoch)

    def _end_term(self, why: str) -> None:
        self._term = None
        self._succession.done()
        _log.warning("standing by", why=why, leader=self._parts.seat.other)

    # --- small things ---------------------------------------------------------------------------

    def _check_threads(self) -> None:
        for what, part in (
            ("an informer", self._parts.streams),
            ("the candidate", self._parts.seat),
        ):
            if not part.alive:
                raise DefectError(f"{what}'s thread ended; see the traceback above it in the log")

    def _take(self, wait_s: float) -> list[Change]:
        changes = take_batch(self._parts.inbox, wait_s=wait_s)
        self._beat_at_s = self._monotonic()
        return changes

    def _note_streams(self, changes: Sequence[Change]) -> None:
        self._position.note(changes)
        for change in changes:
            if change.op in {Op.SYNCED, Op.RELISTED}:
                self._missing.discard((change.resource, change.key))
            if change.op is Op.RELISTED:
                data = {"resource": change.resource, "reason": "VersionDropped"}
                self._note(Fact(kind="relisted", data=data))

    def _note_facts(self, facts: Sequence[FoldFact]) -> None:
        for fact in facts:
            if isinstance(fact, Unreadable):
                self._complaints.unreadable(fact.resource, fact.name, now_s=self._monotonic())
                data = {"resource": fact.resource, "name": fact.name}
                self._note(Fact(kind="undecodable", key=str(fact.key or ""), data=data))

    def _note(self, fact: Fact) -> None:
        """Tell the ledger, unless another watcher leads, who tells the same."""
        if self._term is not None:
            self._term.note(fact)
