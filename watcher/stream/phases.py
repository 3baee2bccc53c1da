"""Where the reflector's machine can stand, and what it remembers. Values only."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from watcher.stream.seenkeys import SeenKeys

PAGE_LIMIT = 500  # client-go's page size


class Empty(msgspec.Struct, frozen=True):
    """Nothing was asked for yet."""


class Syncing(msgspec.Struct, frozen=True, kw_only=True):
    """A watch that sends everything that exists first; then its end bookmark."""

    seen: SeenKeys
    blind: bool = False  # an object's name could not be read: absence proves nothing


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Pages, for servers that cannot send initial events."""

    seen: SeenKeys
    cursor: str = ""
    blind: bool = False


class Watching(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """In step; resuming needs no new reading."""

    resource_version: str
    opened_at: float | None = None  # None: asked for, not answered yet
    events: int = 0  # of this watch


class Doubting(msgspec.Struct, frozen=True, kw_only=True):
    """Asking a server that may be another one how far it is, before a watch goes on."""

    resource_version: str


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Between tries."""

    resource_version: str | None  # None: read everything again


class Stopped(msgspec.Struct, frozen=True):
    """The end."""


Phase: TypeAlias = Empty | Syncing | Listing | Watching | Doubting | Waiting | Stopped


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a phase."""

    resource: str
    scope: str = ""  # the namespace that is watched; empty: all
    offers: int  # how many encodings can be asked for
    synced: bool = False  # at least once
    initial_events: bool = True  # False: this server cannot send them
    offer: int = 0
    doubt: bool = False  # the server may be another than the one that told us the version
    page_limit: int = PAGE_LIMIT
    failures: int = 0  # in a row
    failed_at: float = float("-inf")
    stuck: int = 0  # breaks at one version, without an event in between


class State(msgspec.Struct, frozen=True):
    """Where the machine stands."""

    phase: Phase
    memory: Memory


def initial(resource: str, *, scope: str = "", offers: int) -> State:
    """Return the state before Started."""
    return State(Empty(), Memory(resource=resource, scope=scope, offers=offers))
