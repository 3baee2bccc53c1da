"""What goes into the election's machine, where it can stand, and what comes out. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from common.model.lease import LeaseRecord

# client-go's ratios: 15 s, 10 s, 2 s.
_RENEW_DEADLINE = 2 / 3
_RETRY = 2 / 15
# The loop looks at Redis every second; less than three looks would be chance.
_LEAST_STANDS_S = 3.0
NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long everything takes."""

    lease_s: int = 15

    @property
    def renew_deadline_s(self) -> float:
        """How long after a successful renewal the holder may go on."""
        return self.lease_s * _RENEW_DEADLINE

    @property
    def retry_s(self) -> float:
        """The wait between two renewals."""
        return self.lease_s * _RETRY

    @property
    def request_s(self) -> float:
        """How long a request may take: two must fit into the renew deadline."""
        return self.renew_deadline_s / 2

    @property
    def stands_s(self) -> float:
        """How old Redis' last answer may be for a candidate to stand."""
        return max(_LEAST_STANDS_S, self.lease_s / 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is the case while a step is taken."""

    now_s: float  # monotonic
    draw: float  # in [0, 1)
    redis_age_s: float  # since Redis answered last


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a candidate stands, and what it knows of the Lease."""

    me: str  # unique for each life of a process
    pace: Pace
    record: LeaseRecord | None = None  # as read or written last; None: none is known
    observed_at_s: float = NEVER  # when what it says changed last, by our clock
    leads_until_s: float = NEVER  # unless renewed
    term: int = 0  # how many terms of ours have begun
    barred_until_s: float = NEVER
    stopping: bool = False

    def leads(self, now_s: float) -> bool:
        """Whether we lead at that time. Any thread may ask."""
        return now_s < self.leads_until_s

    @property
    def is_holder(self) -> bool:
        """Whether the Lease names us, leading or not."""
        return self.record is not None and self.record.holder == self.me

    @property
    def other(self) -> str:
        """Who else holds the Lease, expired or not, as far as we know; empty: nobody."""
        return "" if self.record is None or self.is_holder else self.record.holder


# --- In -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The rest is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The Lease was read."""

    record: LeaseRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """There is no Lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Our write was accepted."""

    record: LeaseRecord
    sent_at_s: float  # monotonic, before the request was sent: others saw the change later


@dataclass(frozen=True, slots=True, kw_only=True)
class Beaten:
    """Our write was refused: somebody wrote in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No answer, or one that tells nothing about the Lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resigned:
    """A higher fence than ours was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The process ends."""


Signal: TypeAlias = Due | Found | Missing | Stored | Beaten | Failed | Resigned | Stopped

# --- Out ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Read the Lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Store the record, over the version that it carries; without one, create the Lease."""

    record: LeaseRecord
    acquired: bool  # whether it changes hands


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Wait, then say Due."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """There is nothing left to do."""


Action: TypeAlias = Look | Write | Rest | Done
Step: TypeAlias = tuple[State, Action]
