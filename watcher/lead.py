"""What a watcher holds while it leads: its fence, the epoch, and the life of Redis it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

_log = structlog.get_logger()

# Of the checks, which come every second. A flush is noticed by each; a restart by the check after
# one that failed, or by this.
_LIFE_EVERY = 5


class Fences(Protocol):
    """Hands out fences; raises TransientError."""

    def take(self) -> int:
        """Return a fence above every other one."""


class Epochs(Protocol):
    """The published epoch; raises TransientError."""

    def current(self) -> int:
        """Return the published epoch; 0: none."""

    def publish(self, digest: str, at_least: int = 0, *, fence: int) -> int:
        """Publish a generation and return its number; raises StaleFenceError."""


class Seen(Protocol):
    """How far the leader has read the cluster; raises TransientError."""

    def read(self) -> dict[str, int]:
        """Return the version by stream."""

    def record(self, versions: Mapping[str, int], *, whole: bool = False, fence: int) -> None:
        """Remember versions; raises StaleFenceError."""


class Signs(Protocol):
    """Where the leading watcher says that it lives; raises TransientError."""

    def alive(self, *, fence: int) -> None:
        """Say so; raises StaleFenceError."""


class Lives(Protocol):
    """Tells one life of Redis from another; raises TransientError."""

    def run_id(self) -> str:
        """Return Redis' run id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadPorts:
    """The tables behind a lead."""

    fences: Fences
    epochs: Epochs
    lives: Lives
    seen: Seen
    signs: Signs


class Lead:
    """Taken at the beginning of each term, when everything is loaded; a newer fence ends it."""

    def __init__(
        self, ports: LeadPorts, *, digest: Callable[[], str], highest_stamp: Callable[[], int]
    ) -> None:
        """Take the fence and publish the epoch; raises TransientError, StaleFenceError.

        `digest` is of everything that shapes reports; it changes where an ignore rule ends.
        `highest_stamp` returns the highest epoch in any report's stamp: after a loss of Redis' data
        the epoch goes on from there.
        """
        self._ports = ports
        self._digest = digest
        self._highest_stamp = highest_stamp
        self._run_id = ports.lives.run_id()
        self._known_for = _LIFE_EVERY  # checks until Redis' life is looked at again
        self.fence = ports.fences.take()
        self._told = digest()
        self.epoch = ports.epochs.publish(self._told, at_least=highest_stamp(), fence=self.fence)

    def check(self) -> str:
        """Return why everything must be looked at again; empty: it need not.

        Redis' data may have changed behind our back, or an ignore rule has ended. Afterwards the
        epoch is published again, so the answer comes once. A restart (another run id) may have lost
        the last second; a flush loses all, and shows as an epoch that is gone. Raises
        TransientError, StaleFenceError.
        """
        known_for, self._known_for = self._known_for - 1, 0  # 0: should one of these calls fail
        run_id = self._run_id if known_for > 0 else self._ports.lives.run_id()
        published = self._ports.epochs.current()
        self._known_for = known_for if known_for > 0 else _LIFE_EVERY
        if published > self.epoch:
            # A newer watcher leads, or will in a moment: our next write is refused.
            return ""
        why = ""
        if published < self.epoch:
            why = "DataLost"
        elif run_id != self._run_id:
            why = "Restarted"
        digest = self._digest()
        if not why and digest != self._told:
            why = "RuleEnded"
        if why:
            at_least = max(self.epoch, self._highest_stamp())
            self.epoch = self._ports.epochs.publish(digest, at_least=at_least, fence=self.fence)
            self._told, self._run_id = digest, run_id
            tell = _log.info if why == "RuleEnded" else _log.warning
            tell("everything is looked at again", why=why, epoch=self.epoch)
        return why

    def tell(self) -> None:
        """Leave our sign of life; raises TransientError, StaleFenceError."""
        self._ports.signs.alive(fence=self.fence)
