"""How many jobs run at once, first come, first served; a job may ask to be alone."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator

_POLL_S = 0.2  # how soon a waiting job notices that its client left


class Slots:
    """A fair gate for `total` jobs. Thread-safe."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._changed = threading.Condition()
        self._queue: collections.deque[object] = collections.deque()

    @contextlib.contextmanager
    def take(self, *, alone: bool, give_up: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a slot, or for all of them, and yield True; False once `give_up()` says so."""
        wanted = self._total if alone else 1
        if not self._acquire(wanted, give_up):
            yield False
            return
        try:
            yield True
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()

    def _acquire(self, wanted: int, give_up: Callable[[], bool]) -> bool:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or self._free < wanted:
                    if give_up():
                        return False
                    self._changed.wait(_POLL_S)
                self._free -= wanted
                return True
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
