"""What the scanner had no room for a moment ago: nobody asks a registry for such an image in vain.

Many images wait for room at once, and the scanner refuses one only when it is offered, behind
questions to its registry. So for as long as it wants to be left alone with one image, larger ones
are not begun.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from common.model.errors import NoRoomError


class Full:
    """The last refusal of one scanner. Thread-safe."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._size_bytes = 0
        self._until_s = 0.0
        self._text = ""

    def note(self, size_bytes: int, error: NoRoomError) -> None:
        """Note that an image of this size was refused."""
        with self._lock:
            self._size_bytes, self._text = size_bytes, str(error)
            self._until_s = self._monotonic_s() + error.wait_s

    def check(self, size_bytes: int) -> None:
        """Raise NoRoomError for an image as large as one that was refused a moment ago."""
        with self._lock:
            left_s = self._until_s - self._monotonic_s()
            if left_s > 0 and size_bytes >= self._size_bytes:
                raise NoRoomError(self._text, retry_after_s=left_s)
