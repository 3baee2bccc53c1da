"""Tells the log of objects that cannot be read: one at once, then one line a minute for all.

The metric counts each; a line names one, so that somebody can look at it. A controller may write a
thousand of them, again and again.
"""

from __future__ import annotations

import structlog

EACH_S = 60.0

_log = structlog.get_logger(__name__)


class Complaints:
    """Remembers when it spoke last, and how often it kept silent since."""

    def __init__(self) -> None:
        self._next_s = float("-inf")  # monotonic
        self._untold = 0

    def unreadable(self, resource: str, name: str, *, now_s: float) -> None:
        """Tell of an object, unless that was done of another within the minute."""
        if now_s < self._next_s:
            self._untold += 1
            return
        _log.warning(
            "an object cannot be read", resource=resource, name=name, others_before=self._untold
        )
        self._next_s, self._untold = now_s + EACH_S, 0
