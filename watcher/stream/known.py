"""What the folds believe to exist, compared with what the server says.

Every function changes `Memory.known` in place (it holds every key of the resource) and returns what
to say about it. Pure otherwise.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from common.kube.wire import version_number
from watcher.stream.change import Change, Op
from watcher.stream.phases import PAGE_LIMIT, Memory
from watcher.stream.signals import Item, Note, Output


def upsert(memory: Memory, item: Item) -> tuple[Output, ...]:
    """Say that an object is there, unless it was said; another uid is another object."""
    old = memory.known.get(item.key)
    if old == (item.uid, item.version) and item.version:
        return ()
    if item.key:
        memory.known[item.key] = (item.uid, item.version)
    said = Change(
        resource=memory.resource,
        op=Op.UPSERT if item.object is not None else Op.UNDECODABLE,
        key=item.key,
        uid=item.uid,
        version=item.version,
        object=item.object,
    )
    notes = () if item.object is not None else (Note.UNDECODABLE,)
    if old is not None and old[0] != item.uid:
        return (_gone(memory, item.key, old, item.version), said, *notes)
    return (said, *notes)


def delete(memory: Memory, item: Item) -> tuple[Output, ...]:
    """Say that an object is gone, if it was said to be there."""
    if not item.key:
        # Something is gone and has no name: only the next reading of everything can tell what.
        return (_nameless(memory), Note.UNDECODABLE)
    old = memory.known.get(item.key)
    if old is None:
        return ()
    if item.uid and old[0] and item.uid != old[0]:
        return (Note.STALE_DELETE,)
    del memory.known[item.key]
    return (_gone(memory, item.key, old, item.version),)


def _gone(memory: Memory, key: str, old: tuple[str, int], version: int) -> Change:
    uid, last = old
    return Change(
        resource=memory.resource, op=Op.DELETE, key=key, uid=uid, version=max(version, last)
    )


def _nameless(memory: Memory) -> Change:
    return Change(resource=memory.resource, op=Op.UNDECODABLE)


def swept(
    memory: Memory, seen: AbstractSet[str], *, blind: bool, version: str
) -> tuple[Memory, tuple[Output, ...]]:
    """End a reading of everything as it was at a version: what was not seen is gone."""
    missing = set() if blind else memory.known.keys() - seen
    deletes = [_gone(memory, key, memory.known.pop(key), 0) for key in sorted(missing)]
    end = Change(
        resource=memory.resource,
        op=Op.RELISTED if memory.synced else Op.SYNCED,
        key=memory.scope,
        version=version_number(version),
    )
    return replace(memory, synced=True, page_limit=PAGE_LIMIT, stuck=0), (*deletes, end)
