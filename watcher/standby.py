"""What a watcher does besides folding while another leads: it looks whether it could, if it had to.

Reads only. A leader that keeps its tables in another Redis is found out here: a standby of such a
one would wait for ever.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from common.model.errors import TransientError

_log = structlog.get_logger()

# A leader publishes the epoch with its first breath, and again a second after Redis lost it.
_STRANGE_S = 60.0


class Epochs(Protocol):
    """The published epoch; raises TransientError."""

    def current(self) -> int:
        """Return it; 0: none is published."""


class Standby:
    """Belongs to the watcher's thread; `fault` may be read on any."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        self._failures = 0
        self._strange_since_s: float | None = None  # None: nothing is strange
        self.fault = ""  # in words that may be seen by anybody; empty: nothing is wrong

    def look(self, now_s: float, *, leader: str) -> bool:
        """Return whether Redis answers; `leader` holds the Lease (empty: nobody)."""
        try:
            epoch = self._epochs.current()
        except TransientError as exc:
            self._failures += 1
            if self._failures == 1:  # an outage may last an hour: one line when it begins
                _log.warning("redis does not answer", reason=exc.reason, error=str(exc))
            return False
        self._failures = 0
        self._judge(now_s, is_strange=bool(leader) and epoch == 0, leader=leader)
        return True

    def end(self) -> None:
        """We lead, so nothing is strange."""
        self._strange_since_s, self.fault = None, ""

    def _judge(self, now_s: float, *, is_strange: bool, leader: str) -> None:
        if not is_strange:
            self.end()
            return
        if self._strange_since_s is None:
            self._strange_since_s = now_s
        if now_s - self._strange_since_s > _STRANGE_S and not self.fault:
            self.fault = f"{leader} leads, and keeps no tables in this Redis"
            _log.warning(
                "the leader works with another redis or key space; give it or this watcher another"
                " SLUICE_CLUSTER or OPERATOR_NAMESPACE",
                leader=leader,
            )
