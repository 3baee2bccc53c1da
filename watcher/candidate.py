"""One thread that stands for election: does what the machine says and tells it what came of it.

The watcher's loop asks `term` before it writes; nothing here waits for that loop, or for Redis. A
fault of the API server is counted, told once, and waited out: leading then ends by our own clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol, Self

import structlog

from common.kube.errors import NotFoundError, VersionConflictError
from common.model.errors import SluiceError
from common.model.lease import LeaseRecord
from watcher.ballot import (
    NEVER,
    Beaten,
    Done,
    Due,
    Failed,
    Found,
    Look,
    Missing,
    Moment,
    Pace,
    Resigned,
    Rest,
    Signal,
    State,
    Stopped,
    Stored,
    Write,
)
from watcher.election import advance
from watcher.pulse import Pulse

_log = structlog.get_logger()

# A stop gives the Lease back: one request, and the one that may be under way.
_STOP_S = 10.0


class Lock(Protocol):
    """The Lease; raises SluiceError."""

    def read(self) -> LeaseRecord | None:
        """Return what it says; None: there is none."""

    def create(self, record: LeaseRecord) -> LeaseRecord:
        """Store a new one."""

    def replace(self, record: LeaseRecord, *, acquired: bool) -> LeaseRecord:
        """Store what it says from now on."""


class Meter(Protocol):
    """Counts what happens in the election."""

    def won(self) -> None:
        """Count a term that began."""

    def failed(self) -> None:
        """Count a request about the Lease that was not answered."""


class Candidate:
    """Use it in a `with`: it stands from the start, and gives the Lease back at the end."""

    def __init__(self, lock: Lock, meter: Meter, *, me: str, pace: Pace, pulse: Pulse) -> None:
        """`me` must be unique for each life of a process: a namesake would lead with us."""
        self._lock = lock
        self._meter = meter
        self._pulse = pulse
        self._state = State(me=me, pace=pace)
        self._redis_at_s = NEVER
        self._heard_at_s = NEVER  # when the API server said something about the Lease last
        self._failing = False
        self._refused_term = 0
        self._resigned = False
        self._stop = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="candidate", daemon=True)

    # --- for the watcher's loop ------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the thread runs; False inside the `with` means a defect."""
        return self._thread.is_alive()

    @property
    def other(self) -> str:
        """Who else holds the Lease, as far as we know; empty: nobody."""
        return self._state.other

    @property
    def fault(self) -> str:
        """What is wrong between us and the Lease, in words; empty: nothing."""
        silent_s = self._pulse.monotonic() - self._heard_at_s
        if silent_s <= self._state.pace.lease_s:
            return ""
        return "the API server says nothing about the Lease; the log says more"

    def term(self) -> int:
        """Return the number of our term; 0: another leads, or nobody. Asked before every write."""
        state = self._state
        leads = state.leads(self._pulse.monotonic()) and state.term != self._refused_term
        return state.term if leads else 0

    def reached_redis(self, at_s: float) -> None:
        """Say that Redis answered a request that was sent at that time (monotonic)."""
        could_stand = self._redis_age_s() <= self._state.pace.stands_s
        self._redis_at_s = at_s
        if not could_stand:
            self._woken.set()

    def resign(self, term: int) -> bool:
        """Lead no more in this term, because a higher fence was taken; others go first."""
        self._refused_term = term
        self._resigned = True
        self._woken.set()
        return True

    # --- its life --------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._woken.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        signal: Signal = Due()
        while True:
            before = self._state
            self._state, action = advance(before, signal, self._moment())
            self._tell(before, self._state)
            match action:
                case Done():
                    return
                case Rest(seconds=seconds):
                    signal = self._rest(seconds)
                case Look():
                    signal = self._ask(self._look)
                case Write():
                    signal = self._ask(partial(self._write, action))

    def _moment(self) -> Moment:
        return Moment(
            now_s=self._pulse.monotonic(),
            draw=self._pulse.draw(),
            redis_age_s=self._redis_age_s(),
        )

    def _redis_age_s(self) -> float:
        return self._pulse.monotonic() - self._redis_at_s

    def _rest(self, seconds: float) -> Signal:
        self._woken.wait(seconds)
        self._woken.clear()
        if self._stop:
            return Stopped()
        if self._resigned:
            self._resigned = False
            return Resigned()
        return Due()

    def _ask(self, request: Callable[[], Signal]) -> Signal:
        try:
            signal = request()
        except VersionConflictError:
            signal = Beaten()
        except SluiceError as exc:
            self._note_failure(exc)
            return Failed()
        self._heard_at_s = self._pulse.monotonic()
        self._failing = False
        return signal

    def _look(self) -> Signal:
        record = self._lock.read()
        return Missing() if record is None else Found(record=record)

    def _write(self, write: Write) -> Signal:
        sent_at_s = self._pulse.monotonic()
        if not write.record.version:
            return Stored(record=self._lock.create(write.record), sent_at_s=sent_at_s)
        try:
            record = self._lock.replace(write.record, acquired=write.acquired)
        except NotFoundError:
            return Beaten()  # somebody deleted the Lease: look again, and create it
        return Stored(record=record, sent_at_s=sent_at_s)

    def _note_failure(self, error: SluiceError) -> None:
        self._meter.failed()
        if not self._failing:  # an API server may be away for an hour: one line when it begins
            _log.warning("no answer about the lease", reason=error.reason, error=str(error))
        self._failing = True

    def _tell(self, before: State, after: State) -> None:
        if after.term != before.term:
            self._meter.won()
            _log.info("lease taken", term=after.term, holder=after.me)
        elif after.is_holder < before.is_holder:
            _log.info("lease lost or given back", holder=after.other)
        elif after.other != before.other:
            if after.other:
                _log.info("standing by", leader=after.other)
            else:
                _log.info("nobody holds the lease")
