"""Ctrl-C and SIGTERM for a command that owns children.

The first one ends the start, or asks for the drain; a second one does not wait for the drain.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns signals into an event, or into KeyboardInterrupt where nobody looks at the event."""

    def __init__(self) -> None:
        self.until = threading.Event()
        self._watched = False

    def watched(self) -> threading.Event:
        """Return the event; from now on the first signal only sets it."""
        self._watched = True
        return self.until

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """Handle one signal."""
        first = not self.until.is_set()
        self.until.set()
        if not (first and self._watched):
            raise KeyboardInterrupt


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handle signals during the block, and as before after it. Main thread only."""
    handler = Interrupts()
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield handler
    finally:
        for number, old in before.items():
            signal.signal(number, old)
