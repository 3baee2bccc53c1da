"""How the machine asks: watch and send everything first, list pages, or watch on. Pure."""

from __future__ import annotations

from typing import TypeAlias

from msgspec.structs import replace

from watcher.stream.phases import Doubting, Listing, Memory, State, Syncing, Watching
from watcher.stream.seenkeys import SeenKeys
from watcher.stream.signals import At, Note, OpenList, OpenWatch, Output

# The server ends a watch after 5 to 10 minutes, at a time of its own for each resource (client-go).
WATCH_S = 300

Step: TypeAlias = tuple[State, tuple[Output, ...]]


def read_all(memory: Memory, at: At) -> Step:
    """Read everything that exists, by the best way that this server knows."""
    if memory.initial_events:
        return State(Syncing(seen=SeenKeys()), memory), (_open_watch(memory, None, at),)
    return State(Listing(seen=SeenKeys()), memory), (open_list(memory, ""),)


def resume(memory: Memory, version: str, at: At) -> Step:
    """Watch from a version on, after a look at how far the server is if it may be another one.

    An etcd that was restored counts from before, and a watch from a version that is yet to come is
    no error: the server sends nothing until then, not even a bookmark, and what happens until then
    is never told.
    """
    if memory.doubt:
        look = OpenList(limit=1, cursor="", offer=memory.offer)
        return State(Doubting(resource_version=version), memory), (look,)
    phase = Watching(resource_version=version)
    return State(phase, memory), (_open_watch(memory, version, at),)


def _open_watch(memory: Memory, version: str | None, at: At) -> OpenWatch:
    timeout_s = int(WATCH_S * (1.0 + at.draw))
    return OpenWatch(resource_version=version, timeout_s=timeout_s, offer=memory.offer)


def open_list(memory: Memory, cursor: str) -> OpenList:
    """Get the page that `cursor` names; empty: the first."""
    return OpenList(limit=memory.page_limit, cursor=cursor, offer=memory.offer)


def list_instead(memory: Memory) -> Step:
    """Read pages, now and for ever."""
    memory = replace(memory, initial_events=False)
    return State(Listing(seen=SeenKeys()), memory), (Note.FALLBACK, open_list(memory, ""))
