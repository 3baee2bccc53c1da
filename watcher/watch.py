"""The running watcher: loads the cluster, takes the lead, then folds, feeds and sweeps for ever.

One thread does all of it. It takes changes from the informers' queue in small batches, sends what
they ask for, and does one chunk of a sweep in between, so that nothing live waits long. Redis may
be away at any time: wishes stay in the feed, a sweep begins again later.

Which of several watchers leads, the fence decides: each takes the next one when it has loaded, and
from then on the tables refuse the one before, which ends with StaleFenceError. A Lease in front of
that, so that a second watcher waits instead, is not there yet.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from common.model.errors import DefectError, TransientError
from common.model.facts import Fact
from watcher.decide.affected import affected
from watcher.feed import Feed, Tally, retry_delay_s
from watcher.fold.cluster import Cluster
from watcher.fold.delta import FoldFact, Unreadable
from watcher.inbox import take_batch
from watcher.lead import Lead, LeadPorts
from watcher.pulse import Pulse
from watcher.rounds import Ledger, Rounds
from watcher.stream.change import Change, Op
from watcher.sweeper import Queue

_log = structlog.get_logger()
T = TypeVar("T")

# How often other processes' requests and Redis' life are looked at, and a stop is noticed.
_TICK_S = 1.0
_IDLE_S = 0.2
_LOADING_LOG_S = 15.0
# Facts that Redis could not take yet; they explain, they decide nothing.
_MAX_FACTS = 1000


class Streams(Protocol):
    """The informers."""

    @property
    def alive(self) -> bool:
        """Whether every thread runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that a watcher is made of."""

    inbox: queue.Queue[Change]
    streams: Streams
    cluster: Cluster
    work: Queue
    ledger: Ledger
    lead: LeadPorts
    rounds: Rounds
    tally: Tally
    pulse: Pulse
    expected: frozenset[tuple[str, str]]  # resource and namespace (empty: all) of every stream
    digest: str  # of everything that shapes reports


class Watcher:
    """`run` it on one thread; the properties may be read on any."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._monotonic = parts.pulse.monotonic
        self._facts: list[Fact] = []
        self._missing = set(parts.expected)
        self._next_tick_s = float("-inf")
        self._beat_at_s = self._monotonic()
        self._pending = 0
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether everything is loaded and the lead is taken."""
        return self._ready

    @property
    def missing(self) -> frozenset[str]:
        """The resources that are not loaded yet."""
        return frozenset(resource for resource, _ in self._missing.copy())

    @property
    def pending(self) -> int:
        """How many keys Redis has not taken yet."""
        return self._pending

    @property
    def silent_s(self) -> float:
        """How long ago the loop went round last."""
        return self._monotonic() - self._beat_at_s

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what Redis has not taken by then, the next start's sweep finds.

        Raises StaleFenceError when another watcher leads, DefectError when an informer died.
        """
        self._load(stop)
        lead = self._insist(self._take_lead, stop)
        if lead is None:
            return
        feed = Feed(self._parts.work, self._parts.cluster, self._parts.tally, fence=lead.fence)
        self._ready = True
        while not stop.is_set():
            self._turn(lead, feed)

    # --- before the lead ------------------------------------------------------------------------

    def _load(self, stop: threading.Event) -> None:
        """Take everything in that exists; workers go on with the rows of the watcher before."""
        told_at_s = self._monotonic()
        while self._missing and not stop.is_set():
            changes = self._take(_IDLE_S)
            self._check_streams()
            self._parts.cluster.load(changes)
            self._note_streams(changes)
            if self._monotonic() - told_at_s > _LOADING_LOG_S:
                told_at_s = self._monotonic()
                _log.warning("still loading", missing=sorted(self.missing))
        self._parts.cluster.settle()

    def _take_lead(self) -> Lead:
        parts = self._parts
        return Lead(
            parts.lead, digest=parts.digest, highest_stamp=lambda: _highest_epoch(parts.cluster)
        )

    def _insist(self, act: Callable[[], T], stop: threading.Event) -> T | None:
        """Return what `act` returns, however long Redis is away; None: stopped before."""
        failures = 0
        while not stop.is_set():
            try:
                return act()
            except TransientError as exc:
                failures += 1
                if failures == 1:
                    _log.warning("redis does not answer yet", reason=exc.reason, error=str(exc))
            self._beat()
            stop.wait(retry_delay_s(failures, draw=self._parts.pulse.draw()))
        return None

    # --- the loop -------------------------------------------------------------------------------

    def _turn(self, lead: Lead, feed: Feed) -> None:
        """Take one batch, send what it asks for, sweep a chunk, look around."""
        parts = self._parts
        changes = self._take(0.0 if parts.rounds.busy and not feed.failing else _IDLE_S)
        facts = parts.cluster.apply(changes)
        self._note_streams(changes)
        self._note_facts(facts)
        feed.wish(affected(facts, parts.cluster, epoch=lead.epoch))
        feed.flush(now_s=self._monotonic(), draw=parts.pulse.draw())
        self._pending = feed.pending
        if not feed.failing:
            parts.rounds.step(lead)
        if self._monotonic() >= self._next_tick_s:
            self._next_tick_s = self._monotonic() + _TICK_S
            self._tick(lead, feed)

    def _tick(self, lead: Lead, feed: Feed) -> None:
        """Look at Redis' life and at what others ask for; when it is away the next tick does."""
        self._check_streams()
        try:
            if lead.check():
                feed.forget_memory()
                self._parts.rounds.demand()
            self._parts.rounds.look()
            self._parts.ledger.append(self._facts)
            self._facts = []
        except TransientError as exc:
            _log.debug("tick skipped", reason=exc.reason)

    def _check_streams(self) -> None:
        if not self._parts.streams.alive:
            raise DefectError("an informer's thread ended; see the traceback above it in the log")

    def _take(self, wait_s: float) -> list[Change]:
        changes = take_batch(self._parts.inbox, wait_s=wait_s, monotonic=self._monotonic)
        self._beat()
        return changes

    def _beat(self) -> None:
        self._beat_at_s = self._monotonic()

    def _note_streams(self, changes: list[Change]) -> None:
        for change in changes:
            if change.op in {Op.SYNCED, Op.RELISTED}:
                self._missing.discard((change.resource, change.key))
            if change.op is Op.RELISTED:
                data = {"resource": change.resource, "reason": "VersionDropped"}
                self._note(Fact(kind="relisted", data=data))

    def _note_facts(self, facts: list[FoldFact]) -> None:
        for fact in facts:
            if isinstance(fact, Unreadable):
                data = {"resource": fact.resource, "name": fact.name}
                self._note(Fact(kind="undecodable", key=str(fact.key or ""), data=data))

    def _note(self, fact: Fact) -> None:
        if len(self._facts) < _MAX_FACTS:
            self._facts.append(fact)


def _highest_epoch(cluster: Cluster) -> int:
    return max((report.epoch for report in cluster.reports), default=0)
