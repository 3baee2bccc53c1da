"""Which images nobody will look at although somebody should; and which were looked at too long ago.

What is known about an image is true as long as its match was made with the database in use, and was
made within the TTL: `report-ttl` means *verified within*. A verified report is neither deleted nor
written again where it is equal. Whatever else is on record, an image that workloads use must have a
record, or stand in the queue: this contradicts every memory, as `decide.sweep` does for workloads
(an entry that somebody deleted, a publication whose matches were lost).

Nothing of it is put off in the queue: a match that waits there for its turn would let a new
database's wait too. Instead each image has its turn within its TTL, or within the window, and a
sweep takes those whose turn has come. So all that were matched in the same minute, after a
database update, are not due in the same one.

Pure; O(1) per image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from common.model.image import ImageState
from common.model.key import ImageKey, WorkKey, match_key
from common.model.spread import turn_s

# Of the TTL, over which those of equal age are spread, before it ends.
_EARLY = 0.2
# A TTL below this is a slip of the pen, or a test's. A check costs milliseconds, but each is told
# in the ledger, which would tell of nothing else.
LEAST_TTL_S = 3600.0


class Window(Protocol):
    """When images may be looked at again for their age. Unix seconds."""

    @property
    def duration_s(self) -> float:
        """How long it stays open."""

    def opened_at(self, now_s: float) -> float | None:
        """Return when the opening began that lasts still; None: it is closed."""

    def opens_next(self, now_s: float) -> float | None:
        """Return when it opens after `now_s`; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How often images are verified, as the settings say."""

    ttl_s: float | None  # None: their age does not matter
    window: Window | None  # None: at any time
    sweep_interval_s: float
    # Whether the match server is somebody else's: then nobody publishes its database.
    foreign_server: bool

    @property
    def least_ttl_s(self) -> float | None:
        """The TTL that counts."""
        return None if self.ttl_s is None else max(self.ttl_s, LEAST_TTL_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An image that must be looked at, by which of its keys, and why."""

    image: ImageKey
    key: WorkKey
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instant:
    """What is the same for all images of one call."""

    rules: Verification
    database: str
    now_s: float
    opened_s: float | None  # when the window's opening that lasts still began; None: it is closed
    next_s: float  # when the next one begins; infinity: never


def due(
    images: Iterable[ImageState], rules: Verification, *, database: str, now_s: float
) -> list[Due]:
    """Return those that must be looked at; `database` is the published version, empty: none is.

    Before the first database nothing can be matched, and its publication queues every image.
    """
    if not database and not rules.foreign_server:
        return []
    window = rules.window
    opens_s = None if window is None else window.opens_next(now_s)
    instant = _Instant(
        rules=rules,
        database=database,
        now_s=now_s,
        opened_s=None if window is None else window.opened_at(now_s),
        next_s=float("inf") if opens_s is None else opens_s,
    )
    return [one for image in images if image.used and (one := _due(image, instant))]


def _due(image: ImageState, instant: _Instant) -> Due | None:
    stands = image.image_queued or (image.match_queued and image.has_inventory)
    if image.fails or not image.has_inventory:
        if not stands:
            return Due(image=image.key, key=image.key, cause="ImageLost")
        if not image.has_inventory:
            return None
    cause = _doubt(image, instant)
    if not cause or image.match_queued:
        return None
    return Due(image=image.key, key=match_key(image.key), cause=cause)


def _doubt(image: ImageState, instant: _Instant) -> str:
    """Return why the match on record is not to be trusted; empty: it is."""
    if not image.has_match:
        return "" if image.image_queued else "ImageLost"
    if image.database != instant.database and not instant.rules.foreign_server:
        return "DatabaseOlder"
    return "Unverified" if _turn_has_come(image, instant) else ""


def _turn_has_come(image: ImageState, instant: _Instant) -> bool:
    """Whether it must be verified now, to have been verified within the TTL at any time.

    What would expire before the adds of the next sweep have run is due now.
    """
    rules, now_s, opened_s = instant.rules, instant.now_s, instant.opened_s
    ttl_s = rules.least_ttl_s
    if ttl_s is None:
        return False
    ahead_s = min(2 * rules.sweep_interval_s, ttl_s / 2)
    ends_s = float("-inf") if image.verified_at is None else image.verified_at + ttl_s
    turn_comes_s = ends_s - turn_s(image.key, over_s=ttl_s * _EARLY)
    if rules.window is None:
        return turn_comes_s <= now_s + ahead_s
    if opened_s is None:
        return False
    if opened_s < turn_comes_s <= now_s + ahead_s:
        return True
    # Once in each opening, spread over it but for its last sweeps: what expired before it, and what
    # would before its turn in the next one.
    lasts_s = min(rules.window.duration_s, instant.next_s - opened_s)
    turn_in_s = turn_s(image.key, over_s=max(0.0, lasts_s - 2 * rules.sweep_interval_s))
    if now_s < opened_s + turn_in_s or ends_s - ttl_s >= opened_s:
        return False
    return ends_s <= instant.next_s + turn_in_s + ahead_s


def overdue(image: ImageState, rules: Verification, *, now_s: float) -> bool:
    """Whether the TTL says that it should have been verified by now."""
    ttl_s = rules.least_ttl_s
    if ttl_s is None or not image.used:
        return False
    return image.verified_at is None or image.verified_at + ttl_s < now_s
