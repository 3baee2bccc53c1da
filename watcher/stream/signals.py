"""What goes into the reflector's machine, and what comes out of it. Values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from watcher.stream.change import Change, Decoded

# --- In -----------------------------------------------------------------------------------------


class At(msgspec.Struct, frozen=True, gc=False):
    """When something happened, and a die for it, so that the machine needs neither."""

    now: float  # monotonic seconds
    draw: float  # in [0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The informer begins."""

    at: At


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The server accepted the watch that was asked for."""

    at: At


class Item(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One object of a list or an event."""

    key: str  # empty: not even the name could be read
    uid: str = ""
    resource_version: str = ""
    version: int = 0  # the same as a number; 0: not one
    object: Decoded | None = None  # None: it could not be decoded


class Added(msgspec.Struct, frozen=True, gc=False):
    """An object is there, new or changed."""

    item: Item
    at: At


class Removed(msgspec.Struct, frozen=True, gc=False):
    """An object is gone, or matches the selectors no more."""

    item: Item
    at: At


class Marked(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A bookmark: everything up to this version was sent."""

    resource_version: str
    ends_initial: bool
    at: At


class Odd(msgspec.Struct, frozen=True, gc=False):
    """An event of a type that we do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list."""

    items: tuple[Item, ...]
    resource_version: str
    cursor: str  # empty: the last page
    at: At


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The body came to its proper end."""

    at: At


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """No answer, or a body that ended in mid-line or is not what was asked for."""

    reason: str
    at: At
    unreadable: bool = False  # something came, and it makes no sense in the encoding that it is in


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """No byte came for longer than a living server is silent."""

    at: At


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An answer that is not success, or an ERROR event."""

    code: int
    reason: str
    at: At
    retry_after_s: float | None = None  # None: the server did not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The wait that was asked for is over."""

    at: At


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The informer ends."""


Signal: TypeAlias = (
    Added
    | Removed
    | Marked
    | Odd
    | Started
    | Opened
    | Page
    | Ended
    | Broken
    | Silent
    | Refused
    | Due
    | Stop
)

# --- Out ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWatch:
    """Open a watch; whatever was open ends."""

    resource_version: str | None  # None: send everything that exists first
    timeout_s: int  # after which the server ends it
    offer: int  # which of the resource's offers to ask for


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenList:
    """Get one page; whatever was open ends."""

    limit: int  # 0: everything in one page
    cursor: str  # empty: the first page
    offer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Wait, then say Due; whatever was open ends."""

    seconds: float
    reason: str  # what made us wait: stable CamelCase
    failures: int  # how many in a row; 0: none, only a spread


class Note(enum.Enum):
    """Something worth counting."""

    RELIST = "relist"  # the version was dropped: everything is read again
    FALLBACK = "fallback"  # the server cannot do what was asked for; the next best is used
    UNDECODABLE = "undecodable"
    ODD_EVENT = "odd_event"
    OUT_OF_ORDER = "out_of_order"  # an event older than what the stream has told before


Action: TypeAlias = OpenWatch | OpenList | Wait
Output: TypeAlias = Change | Note | Action
