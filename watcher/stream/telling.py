"""What the machine says about objects, and about the end of a reading. Pure.

It remembers no object: whoever folds what it says knows what there was. So an object may be said
again, and a deletion may be one of an object that nobody knew.
"""

from __future__ import annotations

from msgspec.structs import replace

from common.kube.wire import version_number
from watcher.stream.change import Change, Op
from watcher.stream.phases import PAGE_LIMIT, Memory
from watcher.stream.seenkeys import SeenKeys
from watcher.stream.signals import Item, Note, Output


def upsert(memory: Memory, item: Item) -> tuple[Output, ...]:
    """Say that an object is there, or that one is there and cannot be read."""
    if item.object is None:
        return (_unreadable(memory, item), Note.UNDECODABLE)
    return (
        Change(
            resource=memory.resource,
            op=Op.UPSERT,
            key=item.key,
            uid=item.uid,
            version=item.version,
            object=item.object,
        ),
    )


def delete(memory: Memory, item: Item) -> tuple[Output, ...]:
    """Say that an object is gone."""
    if not item.key:
        # Something is gone and has no name: only the next reading of everything can tell what.
        return (_unreadable(memory, item), Note.UNDECODABLE)
    change = Change(
        resource=memory.resource, op=Op.DELETE, key=item.key, uid=item.uid, version=item.version
    )
    return (change,)


def end(
    memory: Memory, seen: SeenKeys, *, blind: bool, version: str
) -> tuple[Memory, tuple[Output, ...]]:
    """Say that a reading of everything, as of a version, ends: what it has not seen is gone."""
    change = Change(
        resource=memory.resource,
        op=Op.RELISTED if memory.synced else Op.SYNCED,
        key=memory.scope,
        version=version_number(version),
        seen=None if blind else seen,
    )
    read = replace(memory, synced=True, page_limit=PAGE_LIMIT, stuck=0, doubt=False)
    return read, (change,)


def _unreadable(memory: Memory, item: Item) -> Change:
    return Change(
        resource=memory.resource,
        op=Op.UNDECODABLE,
        key=item.key,
        uid=item.uid,
        version=item.version,
    )
