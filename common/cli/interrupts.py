"""Ctrl-C and SIGTERM for a command that owns children.

The first one ends the start, or asks for the drain; a second one does not wait for the drain.
What follows within a second is an echo: `timeout`, `make` and shells signal a group and its leader.
A SIGINT or SIGHUP that is ignored stays so: a script started the command with `&`, or `nohup` did.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from common.ops.deferred import Deferred
from common.ops.signals import heeded

_ECHO_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns signals into an event, or into KeyboardInterrupt where nobody looks at the event."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.until = threading.Event()
        self._clock = clock
        self._first_at_s: float | None = None  # None: no signal came yet
        self._setting = Deferred(self.until.set)
        self._watched = False

    def watched(self) -> threading.Event:
        """Return the event; from now on the first signal only sets it, a moment later."""
        self._watched = True
        return self.until

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Handle one signal."""
        now_s = self._clock()
        if self._first_at_s is None:
            self._first_at_s = now_s
            self._setting.ask()
            if not self._watched:
                raise KeyboardInterrupt
        elif now_s - self._first_at_s > _ECHO_S:
            raise KeyboardInterrupt


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handle signals during the block, and as before after it. Main thread only."""
    handler = Interrupts()
    before = {number: signal.signal(number, handler) for number in heeded(_SIGNALS)}
    try:
        yield handler
    finally:
        for number, old in before.items():
            signal.signal(number, old)
