"""How the machine goes on after trouble: which wait, and from which version. Pure.

The rows of the failure table, by what happened; the reason for each is at its function.
"""

from __future__ import annotations

from msgspec.structs import replace

from watcher.stream.backoff import HEALTHY_S, delay_s
from watcher.stream.opening import WATCH_S, Step, list_instead, read_all, resume
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
from watcher.stream.signals import At, Broken, Ended, Note, Refused, Silent, Wait

_PAGE_GROWTH = 4  # a list that expired while it was paged is read in larger pages
_PAGE_MAX = 8000  # beyond that: everything in one page
# A watch that ends sooner, without one event, has failed: reconnecting at once would spin.
_SHORT_WATCH_S = 1.0
_SPREAD_S = 0.05  # so that all watches of a server that restarts do not come back in one instant
_STUCK_LIMIT = 5
_TOO_NEW_S = 1.0  # the server's cache lags behind the version; client-go waits as long


def recover(state: State, trouble: Ended | Silent | Broken | Refused) -> Step:
    """Choose how to go on after what was open is not."""
    match trouble:
        case Ended(at=at):
            return _ended(state, at)
        case Silent(at=at):
            return _silent(state, at)
        case Broken():
            return _broken(state, trouble)
        case Refused():
            return _refused(state, trouble)


def failed(memory: Memory, at: At, reason: str, floor_s: float = 0.0) -> tuple[Memory, Wait]:
    """Count a failure; return how long to wait for it."""
    failures = memory.failures if at.now - memory.failed_at < HEALTHY_S else 0
    wait = Wait(
        seconds=delay_s(failures, draw=at.draw, floor_s=floor_s),
        reason=reason,
        failures=failures + 1,
    )
    return replace(memory, failures=failures + 1, failed_at=at.now), wait


def relist(memory: Memory, at: At, reason: str, floor_s: float = 0.0) -> Step:
    """Count a failure that costs the version: wait, then read everything again."""
    memory, wait = failed(memory, at, reason, floor_s)
    memory = replace(memory, stuck=0)
    return State(Waiting(resource_version=None), memory), (Note.RELIST, wait)


def _retry(state: State, at: At, reason: str, *, floor_s: float = 0.0, stuck: bool = False) -> Step:
    """Wait, then go on from the same version; `stuck`: unless it is the version that fails."""
    memory, wait = failed(state.memory, at, reason, floor_s)
    match state.phase:
        case Watching(resource_version=version) if not stuck or memory.stuck + 1 < _STUCK_LIMIT:
            memory = replace(memory, stuck=memory.stuck + stuck, doubt=True)
            return State(Waiting(resource_version=version), memory), (wait,)
        case Watching():
            memory = replace(memory, stuck=0)
            return State(Waiting(resource_version=None), memory), (Note.RELIST, wait)
        case Doubting(resource_version=version):
            return State(Waiting(resource_version=version), memory), (wait,)
        case Syncing() | Listing():
            return State(Waiting(resource_version=None), memory), (wait,)
        case _:
            return state, ()


def _elsewhere(state: State) -> State:
    """Forget what the server refused: another one, or a newer version of it, may answer next.

    If it is the same one after all, that costs a request that it refuses at once, and a list of one
    object: it may have an older state too.
    """
    memory = state.memory
    if isinstance(state.phase, Watching):
        memory = replace(memory, doubt=True)
    return State(state.phase, replace(memory, offer=0))


def _ended(state: State, at: At) -> Step:
    """Resume at once: a clean end is the server's right. One that comes at once is a failure.

    One that comes before the time that we asked for is a server that goes away.
    """
    phase = state.phase
    if not isinstance(phase, Watching):
        return _retry(_elsewhere(state), at, "EndedEarly")
    open_s = at.now - (phase.opened_at or at.now)
    if open_s < WATCH_S:
        state = _elsewhere(state)
    if not phase.events and open_s < _SHORT_WATCH_S:
        return _retry(state, at, "ShortWatch")
    wait = Wait(seconds=at.draw * _SPREAD_S, reason="Ended", failures=0)
    return State(Waiting(resource_version=phase.resource_version), state.memory), (wait,)


def _silent(state: State, at: At) -> Step:
    """Resume a half-open watch at once; list where a reading's end bookmark does not come."""
    state = _elsewhere(state)
    match state.phase:
        case Watching(resource_version=version):
            return resume(state.memory, version, at)
        case Syncing():
            return list_instead(state.memory)
        case _:
            return _retry(state, at, "Silent")


def _broken(state: State, broken: Broken) -> Step:
    """Try the same version again; if the watch was accepted, the version may be to blame."""
    phase = state.phase
    accepted = isinstance(phase, Watching) and phase.opened_at is not None
    after = _otherwise(state) if broken.unreadable else _elsewhere(state)
    return _retry(after, broken.at, broken.reason, stuck=accepted)


def _otherwise(state: State) -> State:
    """Ask for the next encoding, and after the last one for the first again.

    Something on the way may send another one than was asked for, and not say so.
    """
    memory = state.memory
    return State(state.phase, replace(memory, offer=(memory.offer + 1) % memory.offers))


def _refused(state: State, refused: Refused) -> Step:
    """Sort an answer by its status; an ERROR event is sorted as the status it carries."""
    phase, memory = state.phase, state.memory
    watching = isinstance(phase, Watching)
    floor_s = refused.retry_after_s or 0.0
    match refused.code:
        case 410:
            return _expired(state, refused)
        case 400 | 422 if isinstance(phase, Syncing):
            return list_instead(memory)
        case 400 | 422:
            return _retry(state, refused.at, refused.reason, floor_s=floor_s, stuck=watching)
        case 406 | 415 if memory.offer + 1 < memory.offers:
            return _next_offer(state, refused.at)
        case 504:
            floor_s = max(floor_s, _TOO_NEW_S)
            return _retry(state, refused.at, refused.reason, floor_s=floor_s, stuck=watching)
        case _:
            return _retry(state, refused.at, refused.reason, floor_s=floor_s)


def _expired(state: State, refused: Refused) -> Step:
    """Drop the version and read everything again; pages that expired are read in larger ones.

    The cursor in the 410's own body is not used: between its snapshot and the first pages' changes
    would be missed.
    """
    phase, memory = state.phase, state.memory
    if isinstance(phase, Empty | Waiting | Stopped):
        return state, ()
    if isinstance(phase, Listing) and phase.cursor:
        limit = memory.page_limit * _PAGE_GROWTH
        memory = replace(memory, page_limit=limit if 0 < limit <= _PAGE_MAX else 0)
    return relist(memory, refused.at, refused.reason, refused.retry_after_s or 0.0)


def _next_offer(state: State, at: At) -> Step:
    """Ask for the next encoding, at once: the server said no to the words, not to us.

    Remembered until another server may answer: `_elsewhere`.
    """
    memory = replace(state.memory, offer=state.memory.offer + 1)
    match state.phase:
        case Watching(resource_version=version) | Doubting(resource_version=version):
            reopened, outputs = resume(memory, version, at)
        case Syncing() | Listing():
            reopened, outputs = read_all(memory, at)
        case _:
            return state, ()
    return reopened, (Note.FALLBACK, *outputs)
