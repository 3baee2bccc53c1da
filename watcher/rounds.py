"""When to sweep: at the start, on request, when Redis changed, and every ten minutes.

And how fast: the allowance is the watcher's own and outlives sweeps and terms, so that a sweep
which is begun again a hundred times asks for no more keys than one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from common.model.errors import TransientError
from common.model.facts import Fact
from watcher.allowance import WORTH_KEYS, Allowance
from watcher.feed import retry_delay_s
from watcher.lead import Lead
from watcher.metrics import WatchMetrics
from watcher.pulse import Pulse
from watcher.sweeper import SETTLING_S, Ports, Sweep

_log = structlog.get_logger()

# Sweeps of several clusters in one Redis must not fall together: ±10 %.
_SPREAD = 0.2


class Requests(Protocol):
    """Sweeps that other processes ask for; raises TransientError, StaleFenceError."""

    def sweep_requested(self) -> int:
        """Return the number of the last sweep that was asked for."""

    def sweep_done(self, number: int, *, fence: int) -> None:
        """Say that a sweep which began after request `number` is done."""


class Ledger(Protocol):
    """Takes facts; raises TransientError."""

    def append(self, facts: Sequence[Fact]) -> None:
        """Append facts."""


class Clock(Protocol):
    """Redis' clock; raises TransientError."""

    def now_s(self) -> float:
        """Return Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPorts:
    """What sweeps need besides the tables that they join."""

    tables: Ports
    requests: Requests
    ledger: Ledger
    clock: Clock
    count_reports: Callable[[], int]


@dataclass(slots=True, kw_only=True)
class _Round:
    """A sweep that goes on."""

    sweep: Sweep
    fence: int  # the lead's
    request: int  # the last one that was made before it began
    began_at_s: float  # monotonic
    redis_began_at_s: float  # Unix seconds by Redis' clock


class Rounds:
    """Owns the one sweep that may go on. One thread."""

    def __init__(
        self,
        ports: RoundPorts,
        metrics: WatchMetrics,
        *,
        interval_s: float,
        pulse: Pulse,
    ) -> None:
        self._ports = ports
        self._metrics = metrics
        self._interval_s = interval_s
        self._pulse = pulse
        self._allowance = Allowance(now_s=pulse.monotonic())
        self._round: _Round | None = None
        self._due_at_s = float("-inf")  # monotonic
        self._answered = 0
        self._failures = 0
        self._is_first = False  # of a term

    @property
    def busy(self) -> bool:
        """Whether a slice of a sweep can be done now: one goes on, or is due."""
        now_s = self._pulse.monotonic()
        if self._round is None:
            return now_s >= self._due_at_s
        return not self._round.sweep.held or self._allowance.left(now_s=now_s) >= WORTH_KEYS

    def look(self) -> None:
        """Look whether somebody asked for a sweep; raises TransientError.

        One that goes on is not begun again: a request a second would keep it from ever ending.
        A lower number than the answered one is a new one: Redis lost its data and counts again.
        """
        if self._round is None and self._ports.requests.sweep_requested() != self._answered:
            self.demand()

    def begin(self) -> None:
        """Begin a term: with a sweep, and soon another one for what the first must not judge yet.

        Who deletes or edits a report between two leaders is seen by neither as it happens.
        """
        self._is_first = True
        self.demand()

    def demand(self) -> None:
        """Begin a sweep as soon as possible; one that goes on is begun again."""
        self._round = None
        self._due_at_s = float("-inf")

    def step(self, lead: Lead) -> None:
        """Do one slice of the sweep that goes on or is due.

        Redis' faults end the sweep, and a new one begins after a wait. Raises StaleFenceError.
        """
        if not self.busy:
            return
        try:
            if self._round is None:
                self._round = self._begin(lead)
            if not self._slice(self._round.sweep):
                self._finish(self._round)
        except TransientError as exc:
            self._give_up(exc)

    def _slice(self, sweep: Sweep) -> bool:
        """Do one slice within the allowance; return whether there is more."""
        tally = sweep.tally
        asked, enqueued = tally.asked, tally.enqueued
        try:
            return sweep.step(self._allowance.left(now_s=self._pulse.monotonic()))
        finally:  # also of a sweep that is given up, and never done
            self._allowance.spend(tally.asked - asked)
            self._metrics.sweep_enqueued(tally.enqueued - enqueued)

    def _begin(self, lead: Lead) -> _Round:
        request = self._ports.requests.sweep_requested()
        now_s = self._ports.clock.now_s()
        sweep = Sweep(self._ports.tables, fence=lead.fence, epoch=lead.epoch, now_s=now_s)
        return _Round(
            sweep=sweep,
            fence=lead.fence,
            request=request,
            began_at_s=self._pulse.monotonic(),
            redis_began_at_s=now_s,
        )

    def _finish(self, done: _Round) -> None:
        now_s = self._pulse.monotonic()
        seconds, tally = now_s - done.began_at_s, done.sweep.tally
        data = {
            "workloads": tally.workloads,
            "reports": self._ports.count_reports(),
            "enqueued": tally.enqueued,
            "seconds": round(seconds, 3),
        }
        self._ports.ledger.append([Fact(kind="swept", data=data)])
        self._ports.requests.sweep_done(done.request, fence=done.fence)
        self._round, self._failures = None, 0
        self._answered = done.request
        self._due_at_s = now_s + self._pause_s(too_young=tally.young)
        self._metrics.swept(seconds=seconds)
        self._metrics.images.seen(tally.ages, redis_ahead_s=done.redis_began_at_s - done.began_at_s)
        _log.info(
            "swept", **data, stored=tally.stored, forgotten=tally.forgotten, causes=tally.causes
        )

    def _pause_s(self, *, too_young: int) -> float:
        """Return the seconds until the next sweep."""
        is_first, self._is_first = self._is_first, False
        regular_s = self._interval_s * (1 + _SPREAD * (self._pulse.draw() - 0.5))
        return min(regular_s, SETTLING_S) if is_first and too_young else regular_s

    def _give_up(self, error: TransientError) -> None:
        self._round = None
        self._failures += 1
        wait_s = retry_delay_s(self._failures, draw=self._pulse.draw())
        self._due_at_s = self._pulse.monotonic() + wait_s
        self._metrics.sweep_failed()
        if self._failures == 1:
            _log.warning("sweep given up; another follows", reason=error.reason, error=str(error))
