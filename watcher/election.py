"""Who of several watchers leads: one candidate's side of an election by Lease, as a machine.

`advance(state, signal, moment) -> (state, action)`; `candidate` does what the action says and tells
what came of it. The semantics are those of client-go's `leaderelection`:

- The holder renews every `retry_s`. One that could not for `renew_deadline_s`, counted from when
  the last successful renewal was *sent*, leads no more, by its own clock and without a request.
- Others may take the Lease `lease_s` after they saw it change last, by their own clock. So two
  never lead at a time, however wrong their clocks are; only their speeds must not differ by half.
- Times in the Lease are other machines' and for people: they are compared for equality alone.
- Whoever stops leading on purpose empties `holderIdentity`, and the next may take it at once.

Ours beyond that: a candidate stands only while Redis answers it, and gives the Lease back when
Redis has not answered for a whole lease: another one may reach it. One that was refused by a higher
fence stands back for a lease, so that two who do not see the same Lease do not fight.

Pure: no clock, dice, I/O or log.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from common.model.lease import LeaseRecord
from watcher.ballot import (
    NEVER,
    Beaten,
    Done,
    Due,
    Failed,
    Found,
    Look,
    Missing,
    Moment,
    Resigned,
    Rest,
    Signal,
    State,
    Step,
    Stopped,
    Stored,
    Write,
)

# client-go's: a candidate waits 1 to 2.2 retry periods between two looks.
_JITTER = 1.2
# Another version's leases may be longer than ours, but not by that.
_LONGEST_LEASES = 4
_INT32 = 2**31  # of `leaseTransitions`: a larger number is refused


def advance(state: State, signal: Signal, at: Moment) -> Step:
    """Take one step. Total: a signal that does not fit changes nothing."""
    match signal:
        case Due():
            return _due(state, at)
        case Found() | Missing() | Stored() | Beaten() | Failed():
            return _answered(state, signal, at)
        case Resigned():
            barred = replace(state, barred_until_s=at.now_s + state.pace.lease_s)
            return _give_back(barred) if state.is_holder else _wait(_deposed(barred), at)
        case Stopped():
            stopping = replace(state, stopping=True)
            return _give_back(stopping) if state.is_holder else (_deposed(stopping), Done())
        case _:
            assert_never(signal)


def _answered(state: State, answer: Found | Missing | Stored | Beaten | Failed, at: Moment) -> Step:
    """Take in what came of a request."""
    match answer:
        case Found(record=record):
            return _found(_observed(state, record, at), at)
        case Missing():
            return _missing(replace(state, record=None), at)
        case Stored():
            return _stored(state, answer, at)
        case Beaten() if state.leads(at.now_s) or state.stopping:
            return state, Look()  # our last write's answer was lost, perhaps: then it was ours
        case _:
            return _wait(state, at)


def _due(state: State, at: Moment) -> Step:
    if state.record is None or not state.leads(at.now_s):
        return _deposed(state), Look()
    if at.redis_age_s > state.pace.lease_s:
        return _give_back(state)
    return state, _claim(state, state.record)


def _found(state: State, at: Moment) -> Step:
    """Judge the Lease as it is now; `state.record` is what was just read."""
    record = state.record
    if record is None or (state.stopping and not state.is_holder):
        return _wait(_deposed(state), at)
    if state.stopping:
        return _give_back(state)
    if state.leads(at.now_s) and state.is_holder:
        return state, _claim(state, record)
    state = _deposed(state)
    if not _may_stand(state, at):
        return _give_back(state) if state.is_holder else _wait(state, at)
    # A Lease that says more than any of ours would was written by hand, or by somebody else.
    duration_s = min(record.duration_s, _LONGEST_LEASES * state.pace.lease_s)
    expires_at_s = state.observed_at_s + duration_s
    if state.other and at.now_s < expires_at_s:
        return _wait(state, at)
    return state, _claim(state, record)


def _missing(state: State, at: Moment) -> Step:
    """Create the Lease; a leader whose Lease was deleted goes on leading."""
    if state.stopping or not (state.leads(at.now_s) or _may_stand(state, at)):
        return _wait(_deposed(state), at)
    return state, _claim(state, LeaseRecord())


def _stored(state: State, stored: Stored, at: Moment) -> Step:
    led = state.leads(stored.sent_at_s)
    state = _observed(state, stored.record, at)
    if not state.is_holder:
        return _wait(_deposed(state), at)
    until_s = stored.sent_at_s + state.pace.renew_deadline_s
    term = state.term if led else state.term + 1
    return _wait(replace(state, leads_until_s=until_s, term=term), at)


def _observed(state: State, record: LeaseRecord, at: Moment) -> State:
    """Remember what the Lease says, and since when if that is new."""
    same = record.says_the_same_as(state.record)
    return replace(state, record=record, observed_at_s=state.observed_at_s if same else at.now_s)


def _may_stand(state: State, at: Moment) -> bool:
    return at.redis_age_s <= state.pace.stands_s and at.now_s >= state.barred_until_s


def _claim(state: State, record: LeaseRecord) -> Write:
    """Return the write that takes the Lease, or keeps it."""
    changes_hands = record.holder != state.me
    # As client-go counts: a new Lease has not changed hands yet.
    transitions = (record.transitions + (1 if changes_hands and record.version else 0)) % _INT32
    claimed = replace(
        record, holder=state.me, duration_s=state.pace.lease_s, transitions=transitions
    )
    return Write(record=claimed, acquired=changes_hands)


def _give_back(state: State) -> Step:
    """Stop leading now, then tell the others."""
    record = state.record or LeaseRecord()
    # client-go's: an empty holder, and a duration that is over at once.
    emptied = replace(record, holder="", duration_s=1)
    return _deposed(state), Write(record=emptied, acquired=False)


def _deposed(state: State) -> State:
    return replace(state, leads_until_s=NEVER)


def _wait(state: State, at: Moment) -> Step:
    if state.stopping:
        return state, Done()
    spread = 0.0 if state.leads(at.now_s) else _JITTER * at.draw
    return state, Rest(seconds=state.pace.retry_s * (1 + spread))
