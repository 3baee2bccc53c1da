"""What a signal asks for, done outside of its handler.

A handler runs in the middle of whatever the main thread does, which may hold the very lock that the
handler's work needs: `Event.set` while that thread enters `Event.wait` waits for itself, for ever.
So a handler only notes the wish, and a thread fulfils it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Deferred:
    """Calls `work` once, on a thread of its own, after `ask` was called anywhere."""

    def __init__(self, work: Callable[[], object]) -> None:
        # The one queue whose `put` may interrupt itself.
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._work = work
        threading.Thread(target=self._run, name="signals", daemon=True).start()

    def ask(self) -> None:
        """Have the work done; safe in a signal's handler."""
        self._asked.put(None)

    def _run(self) -> None:
        self._asked.get()
        self._work()
