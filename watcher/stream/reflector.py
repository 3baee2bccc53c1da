"""The machine that keeps one resource in step with the server, through every known fault.

`advance(state, signal) -> (state, outputs)`; the informer does what the outputs say and tells what
came of it. The rules:

- A version to resume from comes from a list, a bookmark or an event of an established watch; never
  from events of an unfinished first reading.
- 410, in a status line or in an ERROR event, drops the version: everything is read again, after a
  wait, and the end says what was seen, so that deletions that were missed are known then.
- Where the server may be another one than before, it is asked how far it is before a watch goes on;
  a version that it has not reached is dropped: etcd was restored, and counts from before.
- A version at which the stream breaks five times without one event is dropped too, and so is one
  after which an older event comes.
- Every wait is bounded, and no failure is answered at once.

Pure: no clock, dice, I/O or log. One liberty: the `seen` keys are added to in place, because they
hold every key; after `advance` only the returned state may be used.
"""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from common.kube.wire import version_number
from watcher.stream.opening import Step, list_instead, open_list, read_all, resume
from watcher.stream.phases import (
    Doubting,
    Empty,
    Listing,
    Memory,
    State,
    Stopped,
    Syncing,
    Waiting,
    Watching,
)
from watcher.stream.recovery import failed, recover, relist
from watcher.stream.signals import (
    Added,
    At,
    Broken,
    Due,
    Ended,
    Item,
    Marked,
    Note,
    Odd,
    Opened,
    Page,
    Refused,
    Removed,
    Signal,
    Silent,
    Started,
    Stop,
)
from watcher.stream.telling import delete, end, upsert


def advance(state: State, signal: Signal) -> Step:
    """Take one step. Total: a signal that does not fit the phase changes nothing."""
    match signal:
        case Added() | Removed() | Marked() | Odd():
            return _told(state, signal)
        case Ended() | Silent() | Broken() | Refused():
            return recover(state, signal)
        case Page():
            return _page(state, signal)
        case Started(at=at) | Due(at=at):
            return _begin(state, at)
        case Opened(at=at):
            return _opened(state, at)
        case Stop():
            return State(Stopped(), state.memory), ()
        case _:
            assert_never(signal)


def _told(state: State, event: Added | Removed | Marked | Odd) -> Step:
    """Take in an event of a watch."""
    match event:
        case Added(item, at):
            return _added(state, item, at)
        case Removed(item, at):
            return _removed(state, item, at)
        case Marked():
            return _marked(state, event)
        case Odd():
            return state, (Note.ODD_EVENT,)


# --- Opening ------------------------------------------------------------------------------------


def _begin(state: State, at: At) -> Step:
    """Start, or go on after a wait."""
    match state.phase:
        case Empty():
            return read_all(state.memory, at)
        case Waiting(resource_version=str(version)):
            return resume(state.memory, version, at)
        case Waiting():
            return read_all(state.memory, at)
        case _:
            return state, ()


def _opened(state: State, at: At) -> Step:
    """Note when a watch began, to know a short one by."""
    if isinstance(state.phase, Watching):
        return State(replace(state.phase, opened_at=at.now), state.memory), ()
    return state, ()


# --- Objects ------------------------------------------------------------------------------------


def _added(state: State, item: Item, at: At) -> Step:
    """Take an object in; only an event of an established watch moves the version."""
    match state.phase:
        case Watching() as phase if _is_late(phase, item):
            return _disordered(state, at)
        case Watching() as phase:
            outputs = upsert(state.memory, item)
            return _moved(state, phase, item), outputs
        case Syncing() as phase:
            outputs = upsert(state.memory, item)
            return State(_witnessed(phase, item), state.memory), outputs
        case _:
            return state, ()


def _removed(state: State, item: Item, at: At) -> Step:
    """Say that an object is gone."""
    match state.phase:
        case Watching() as phase if _is_late(phase, item):
            return _disordered(state, at)
        case Watching() as phase:
            outputs = delete(state.memory, item)
            return _moved(state, phase, item), outputs
        case Syncing():
            return state, delete(state.memory, item)
        case _:
            return state, ()


def _is_late(phase: Watching, item: Item) -> bool:
    """Say whether an event is older than what the stream has told; 0 is no number, and no order."""
    return 0 < item.version < version_number(phase.resource_version)


def _disordered(state: State, at: At) -> Step:
    """Read everything again: what else came too late, or will not come, nobody can tell.

    The object may have a successor of the same name by now, or a newer state. An API server sends
    in order; etcd before 3.5.8 could say "up to here" too early.
    """
    after, outputs = relist(state.memory, at, "OutOfOrder")
    return after, (Note.OUT_OF_ORDER, *outputs)


def _moved(state: State, phase: Watching, item: Item) -> State:
    """Return the state after an event; an event is progress."""
    moved = Watching(
        resource_version=item.resource_version or phase.resource_version,
        opened_at=phase.opened_at,
        events=phase.events + 1,
    )
    memory = state.memory
    return State(moved, replace(memory, stuck=0) if memory.stuck else memory)


def _witnessed(phase: Syncing, item: Item) -> Syncing:
    """Remember that an object exists."""
    if item.key:
        phase.seen.add(item.key)
        return phase
    return replace(phase, blind=True)


# --- The end of a reading -----------------------------------------------------------------------


def _marked(state: State, mark: Marked) -> Step:
    """Move the version; the mark that ends the initial events ends the reading too."""
    match state.phase:
        case Watching() as phase if mark.resource_version:
            moved = replace(phase, resource_version=mark.resource_version)
            return State(moved, state.memory), ()
        case Syncing() as phase if mark.ends_initial and mark.resource_version:
            memory, outputs = end(
                state.memory, phase.seen, blind=phase.blind, version=mark.resource_version
            )
            # The reading was progress: an end soon after it is no short watch.
            now = Watching(resource_version=mark.resource_version, opened_at=mark.at.now, events=1)
            return State(now, memory), outputs
        case Syncing():
            # A server that knows nothing of initial events sends plain marks, and never that one.
            return list_instead(state.memory)
        case _:
            return state, ()


def _page(state: State, page: Page) -> Step:
    """Take a page in; after the last one, watch from the list's version."""
    match state.phase:
        case Listing() as phase:
            return _listed(state.memory, phase, page)
        case Doubting() as phase:
            return _looked(state.memory, phase, page)
        case _:
            return state, ()


def _looked(memory: Memory, phase: Doubting, page: Page) -> Step:
    """Go on from the version that is known, unless the server is not there yet; 0 is no number."""
    if 0 < version_number(page.resource_version) < version_number(phase.resource_version):
        return relist(memory, page.at, "WentBack")
    return resume(replace(memory, doubt=False), phase.resource_version, page.at)


def _listed(memory: Memory, phase: Listing, page: Page) -> Step:
    """Take in a page of everything."""
    outputs = [output for item in page.items for output in upsert(memory, item)]
    for item in page.items:
        phase.seen.add(item.key)
    blind = phase.blind or any(not item.key for item in page.items)
    if page.cursor:
        following = Listing(seen=phase.seen, cursor=page.cursor, blind=blind)
        return State(following, memory), (*outputs, open_list(memory, page.cursor))
    if not page.resource_version:
        after, wait = failed(memory, page.at, "NoVersion")
        return State(Waiting(resource_version=None), after), (*outputs, wait)
    memory, said = end(memory, phase.seen, blind=blind, version=page.resource_version)
    resumed, opened = resume(memory, page.resource_version, page.at)
    return resumed, (*outputs, *said, *opened)
