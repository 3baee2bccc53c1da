"""Keeps children running: started in order, restarted after a crash, stopped in reverse."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from common.model.errors import PreconditionError, SluiceError
from common.ops.exit_status import PRECONDITION
from common.ops.process import Child, ChildSpec, status_text

_log = structlog.get_logger()

_POLL_S = 0.5  # how soon a dead child is noticed; a handful of waitpid calls
_BASE_S = 0.5
_CAP_S = 30.0  # a child that cannot start costs two starts a minute
_STABLE_S = 60.0  # a child that ran this long starts its count of crashes again


@dataclass(slots=True, kw_only=True)
class _Slot:
    """One child's place: who is in it, how often it crashed in a row, when it starts again."""

    child: Child
    crashes: int = 0
    due_at_s: float | None = None  # None: it runs


def restart_delay_s(crashes: int) -> float:
    """Return the pause before restart number `crashes` (the first is 1). Pure."""
    return min(_CAP_S, _BASE_S * 2.0 ** min(crashes - 1, 10))


class Supervisor:
    """Owns children. `start` and `watch` belong to one thread; `stop` ends everything."""

    def __init__(self, stopping: threading.Event | None = None) -> None:
        """Own nobody yet; `stopping` ends waits with KeyboardInterrupt, None: nobody does."""
        self._slots: dict[str, _Slot] = {}
        self._stopping = stopping

    def begin(self, spec: ChildSpec) -> Child:
        """Start a child without waiting for it. Raises what `Child` raises."""
        child = Child(spec)
        self._slots[spec.name] = _Slot(child=child)
        return child

    def start(self, spec: ChildSpec) -> Child:
        """Start a child and wait until it is ready; a child that fails at this is stopped.

        Raises what `Child` and `Child.wait_ready` raise.
        """
        child = self.begin(spec)
        try:
            self.await_ready(child)
        except BaseException:
            del self._slots[spec.name]
            child.stop()
            raise
        return child

    def await_ready(self, child: Child) -> None:
        """Wait until a child is ready. Raises what `Child.wait_ready` raises."""
        child.wait_ready(self._stopping)

    def watch(self, until: threading.Event) -> None:
        """Restart children that end, with backoff, until the event is set.

        Raises PreconditionError when a child ends with our own status for that: a restart would
        not help.
        """
        while not until.wait(_POLL_S):
            now_s = time.monotonic()
            for name, slot in self._slots.items():
                self._tend(name, slot, now_s)

    def running(self) -> dict[str, bool]:
        """Return which children run now, by name."""
        return {name: slot.child.poll() is None for name, slot in self._slots.items()}

    def stop(self) -> None:
        """Stop all children, the last one started first; those of one stage together."""
        children = [slot.child for slot in reversed(list(self._slots.values()))]
        for _, stage in itertools.groupby(
            children, key=lambda child: child.spec.stage or child.spec.name
        ):
            together = list(stage)
            for child in together:
                child.ask_to_stop()
            for child in together:
                _stop(child)
        self._slots.clear()

    def _tend(self, name: str, slot: _Slot, now_s: float) -> None:
        status = slot.child.poll()
        if status is None:
            return
        if slot.due_at_s is None:
            if status == PRECONDITION:
                raise PreconditionError(str(slot.child.ended_error(status)))
            slot.child.stop()  # what it left behind in its group
            stable = now_s - slot.child.started_at_s > _STABLE_S
            slot.crashes = 1 if stable else slot.crashes + 1
            delay_s = restart_delay_s(slot.crashes)
            slot.due_at_s = now_s + delay_s
            _log.warning(
                "child ended", child=name, status=status_text(status), restart_in_s=delay_s
            )
        if now_s >= slot.due_at_s:
            slot.child = Child(slot.child.spec)
            slot.due_at_s = None
            _log.info("child restarted", child=name, crashes=slot.crashes)


def _stop(child: Child) -> None:
    began_s = time.monotonic()
    status = child.stop()
    _log.info(
        "child stopped",
        child=child.spec.name,
        status="still there" if status is None else status_text(status),
        seconds=round(time.monotonic() - began_s, 3),
    )


@contextlib.contextmanager
def supervisor(stopping: threading.Event | None = None) -> Iterator[Supervisor]:
    """Yield a supervisor and stop its children at the end, whatever happened."""
    owner = Supervisor(stopping)
    try:
        yield owner
    finally:
        with contextlib.suppress(SluiceError):
            owner.stop()
