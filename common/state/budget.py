"""Registries' budgets in Redis: how many images the whole cluster pulls, and how many at once.

A registry without a limit costs no round trip. Who is refused is told when to ask again: later, the
more wait, so that thousands that wait for one registry do not keep the workers busy with asking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from redis import Redis

from common.settings.image_formats import EVERY_REGISTRY
from common.settings.value import Limits
from common.state.names import Names
from common.state.scripts import Scripts

# How far apart those that wait ask again at most: then each asks twice in ten minutes.
LONGEST_WAIT_S = 600.0
_WAITING_S = 3600  # who was refused and asked no more for that long waits no more
_MEAN_PULL_S = 10.0  # what a slot is taken for, roughly


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    per_min: float  # 0: any number
    concurrent: int  # 0: any number


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """What is asked of a registry."""

    subject: str  # one at a time
    slot_s: float | None = None  # how long it may last; None: it is one small request
    paid: bool = False  # it was counted a moment ago, and is tried in another way


class BudgetTable:
    """The budgets of one cluster. Thread-safe; raises SourceUnavailableError without Redis."""

    def __init__(
        self, redis: Redis, names: Names, limits: Limits, *, draw: Callable[[], float]
    ) -> None:
        """`draw` is in [0, 1)."""
        self._scripts = Scripts(redis, names)
        self._per_min, self._concurrent = dict(limits.pulls_per_min), dict(limits.concurrent_pulls)
        self._draw = draw

    def take(self, host: str, pull: Pull) -> float:
        """Take one; return 0, or after how many seconds to ask again. Say `done` when it ended."""
        limit = self._limit(host)
        concurrent = 0 if pull.slot_s is None else limit.concurrent
        per_min = 0.0 if pull.paid else limit.per_min
        if not per_min and not concurrent:
            return 0.0
        payload = {
            "op": "take",
            "host": host,
            "subject": pull.subject,
            "per_min": per_min,
            "concurrent": concurrent,
            "slot_s": pull.slot_s or 0.0,
            "waiting_s": _WAITING_S,
        }
        # Sent once: of two that were counted, one would be lost.
        wait_s, waiting = self._scripts.run("budget", payload)
        if not float(wait_s):
            return 0.0
        apart_s = max(
            60 / per_min if per_min else 0.0,
            _MEAN_PULL_S / concurrent if concurrent else 0.0,
        )
        return float(wait_s) + self._draw() * min(LONGEST_WAIT_S, int(waiting) * apart_s)

    def done(self, host: str, subject: str) -> None:
        """Say that the pull ended, whichever way."""
        if self._limit(host).concurrent:
            payload = {"op": "done", "host": host, "subject": subject}
            self._scripts.run("budget", payload, repeatable=True)

    def _limit(self, host: str) -> _Limit:
        at_once = _of(self._concurrent, host)
        return _Limit(
            per_min=_of(self._per_min, host),
            concurrent=max(1, int(at_once)) if at_once else 0,
        )


def _of(rates: Mapping[str, float], host: str) -> float:
    return rates.get(host, rates.get(EVERY_REGISTRY, 0.0))
