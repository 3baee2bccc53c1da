"""Waiting for Redis: short sleeps first, long ones later, one line at each end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from common.model.errors import SluiceError, shorten

_FIRST_S = 0.05
_LONGEST_S = 5.0


class Outage:
    """Counts one loop's failures in a row. Not shared between threads."""

    def __init__(
        self,
        stopping: threading.Event,
        monotonic_s: Callable[[], float],
        log: Any,  # noqa: ANN401 # structlog's bound loggers have no common type
        *,
        longest_s: float = float("inf"),  # between two tries; never more than 5 s
    ) -> None:
        self._stopping = stopping
        self._monotonic_s = monotonic_s
        self._log = log
        self._began_s: float | None = None  # None: Redis answers
        self._longest_s = longest_s
        self._delay_s = _FIRST_S

    def again(self, error: SluiceError) -> bool:
        """Sleep before another try; False: stop instead."""
        if self._began_s is None:
            self._began_s = self._monotonic_s()
            self._log.warning("redis away", error=shorten(str(error)))
        stopped = self._stopping.wait(min(self._delay_s, self._longest_s))
        self._delay_s = min(self._delay_s * 2, _LONGEST_S)
        return not stopped

    def over(self) -> None:
        """Note that Redis answers."""
        if self._began_s is None:
            return
        self._log.info("redis back", seconds=round(self._monotonic_s() - self._began_s, 1))
        self._began_s = None
        self._delay_s = _FIRST_S
