"""What the claim loop needs of the rest: a queue, a clock, dice, and somebody who listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from common.model.errors import SluiceError
from common.model.facts import Fact
from common.queue.contract import Claim, Failed, Outcome

Ahead: TypeAlias = Callable[[Sequence[Claim]], None]


def nothing(_claims: Sequence[Claim]) -> None:
    """Have no use for knowing what comes next."""


class Queue(Protocol):
    """What the loop needs of the workqueue."""

    def claim(self, pool: str, worker: str, *, limit: int, lease_s: float) -> list[Claim]:
        """Take up to `limit` keys."""

    def complete(
        self,
        worker: str,
        done: Sequence[tuple[Claim, Outcome]],
        facts: Sequence[Fact] = (),
        *,
        running: Claim | None = None,
        resent: bool = False,
    ) -> list[bool]:
        """End claims; False: the token was not valid any more."""

    def complete_and_claim(  # noqa: PLR0913 # two calls in one
        self,
        worker: str,
        done: Sequence[tuple[Claim, Outcome]],
        facts: Sequence[Fact] = (),
        *,
        pool: str,
        limit: int,
        lease_s: float,
    ) -> tuple[list[bool], list[Claim]]:
        """End claims, and claim the next keys in the same step, unless an end was refused."""

    def release(self, worker: str, claims: Sequence[Claim]) -> list[bool]:
        """Give back claims that were not started."""

    def recover(self, worker: str, holding: Sequence[Claim]) -> int:
        """Give back claims on record that the worker does not hold."""

    def wait(self, pool: str, timeout_s: float) -> None:
        """Block until work may be there."""


class Hooks(Protocol):
    """Where metrics listen. Called from the loop's thread; must not block."""

    def claimed(self, pool: str, keys: int) -> None:
        """Say that keys were claimed."""

    def finished(self, pool: str, *, outcome: str, reason: str, seconds: float) -> None:
        """Say that a run ended; `outcome` is the class's name in lower case."""

    def refused(self, pool: str, keys: int) -> None:
        """Say that completions came too late."""


def described(outcome: Outcome) -> str:
    """Return the one word that tells outcomes of a class apart."""
    for name in ("reason", "outcome", "on"):
        value = getattr(outcome, name, None)
        if value is not None:
            return str(value)
    return ""


class Silent:
    """Hooks for who does not listen."""

    def claimed(self, pool: str, keys: int) -> None:
        """Do nothing."""

    def finished(self, pool: str, *, outcome: str, reason: str, seconds: float) -> None:
        """Do nothing."""

    def refused(self, pool: str, keys: int) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Clock, judge and listeners."""

    monotonic_s: Callable[[], float]
    judge: Callable[[SluiceError, Claim], Failed]  # what a failed run makes of its key
    may_work: Callable[[], bool] = lambda: True  # False: another generation's workers do it
    hooks: Hooks = field(default_factory=Silent)
