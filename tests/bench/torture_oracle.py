"""Decides, from the diary alone, what a torture found. Pure.

A claim is valid from its reply to its end, and no longer than the lease that its worker renewed. So
two runs of one key may overlap only where the first one's worker could not renew in time: it was
stopped, cut off, starved of CPU, or Redis forgot the claim (the diary's excuses). Even then the
first one's completion must be refused, and it must not begin another run of the batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.bench.torture_diary import Event

_NEVER = float("inf")


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a key."""

    key: str
    token: int
    pid: int
    claimed: float
    began: float = _NEVER
    ended: float = _NEVER
    completing: float = _NEVER
    version: int = 0
    settled: bool = False
    verdict: str = ""  # accepted | refused | unknown; empty: it was never told

    @property
    def counts(self) -> bool:
        """Say whether the queue took its end, or may have: a worker was killed at that moment."""
        return self.settled and self.completing < _NEVER and self.verdict != "refused"


def runs_of(events: Sequence[Event]) -> dict[str, list[Run]]:
    """Return the claims of each key in the order of their tokens; those never run have no begin."""
    runs: dict[tuple[str, int, int], Run] = {}
    killed = {event.pid: event.at for event in events if event.kind == "killed"}
    for event in events:
        who = (event.key, event.token, event.pid)
        if event.kind == "claimed":
            runs[who] = Run(key=event.key, token=event.token, pid=event.pid, claimed=event.at)
        elif who in runs:
            _tell(runs[who], event)
    by_key: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs.values(), key=lambda run: (run.token, run.claimed)):
        run.ended = min(run.ended, killed.get(run.pid, _NEVER))
        by_key[run.key].append(run)
    return by_key


def _tell(run: Run, event: Event) -> None:
    match event.kind:
        case "began":
            run.began = event.at
            run.version = event.version
        case "ended":
            run.ended = event.at
            run.version = event.version or run.version
            run.settled = event.settled
        case "completing":
            run.completing = event.at  # of several tries only the last one can be accepted
        case "accepted" | "refused" | "unknown":
            run.verdict = event.kind
        case _:
            pass


def unanswered(events: Sequence[Event], living: Collection[int]) -> bool:
    """Say whether a living process still waits for the answer to a completion."""
    waiting = set()
    for event in events:
        who = (event.key, event.token, event.pid)
        if event.kind == "completing" and event.pid in living:
            waiting.add(who)
        elif event.kind in ("accepted", "refused", "unknown"):
            waiting.discard(who)
    return bool(waiting)


def lost(events: Sequence[Event], wanted: Mapping[str, int]) -> list[str]:
    """Return the keys whose last change no run saw that the queue took for done."""
    runs = runs_of(events)
    return [
        f"{key}: version {version} was never seen"
        for key, version in sorted(wanted.items())
        if not any(run.counts and run.version >= version for run in runs.get(key, ()))
    ]


def doubled(events: Sequence[Event], *, lease_s: float) -> list[str]:
    """Return every pair of runs of one key that must not have been."""
    excuses = [event for event in events if event.kind == "excuse"]
    found = []
    for key, runs in runs_of(events).items():
        for one, other in pairwise(runs):
            if one.token == other.token:
                found.append(f"{key}: token {one.token} was given out twice")
        for place, one in enumerate(runs):
            for other in runs[place + 1 :]:
                found += _fault(key, one, other, excuses, lease_s)
    return found


def _fault(
    key: str, one: Run, other: Run, excuses: Sequence[Event], lease_s: float
) -> Iterable[str]:
    """Yield what two claims did wrong to each other; `other` has the higher token."""
    shown = f"{key}: run {one.token} of {one.pid} and run {other.token} of {other.pid}"
    forgotten = [
        e for e in excuses if e.lost_log and e.at < other.claimed and e.until > one.claimed
    ]
    if one.verdict == "accepted" and other.claimed < one.completing and not forgotten:
        yield f"{shown}: the first was accepted after the second was claimed"
    first, second = sorted((one, other), key=lambda run: run.began)
    if second.began == _NEVER or second.began >= first.ended:
        return
    if not any(_excuses(excuse, first, second, lease_s) for excuse in excuses):
        yield f"{shown}: both ran at the same time, and nothing had ended the first one's lease"


def _excuses(excuse: Event, first: Run, second: Run, lease_s: float) -> bool:
    """Say whether the first run's claim may have ended, unknown to it, before the second began.

    Only while it ran: a run that begins after the excuse is over must know better.
    """
    if excuse.pid not in (0, first.pid) or excuse.at >= second.began:
        return False
    if excuse.lost_log:
        return first.claimed >= excuse.at - lease_s and first.claimed <= excuse.until
    # Two of three heartbeats must be missed; the third may have been on its way.
    return excuse.until > first.began and excuse.until - excuse.at >= lease_s / 2


def follow_ups(events: Sequence[Event], expected: Mapping[str, int]) -> list[str]:
    """Return the keys that did not run exactly as often as the changes ask for."""
    runs = runs_of(events)
    found = []
    for key, times in sorted(expected.items()):
        began = sum(run.began < _NEVER for run in runs.get(key, ()))
        if began != times:
            found.append(f"{key}: {began} runs instead of {times}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One state of a report, as a watch outside saw it."""

    name: str
    object_version: str
    version: int  # of the key that the content is of
    epoch: int  # in the stamp


def stale(
    history: Iterable[Stored],
    events: Sequence[Event],
    epochs: Mapping[int, frozenset[int]],
) -> list[str]:
    """Return the writes that took a report back, or that name another generation as their own.

    `epochs` tells which numbers a worker process may put into its stamps.
    """
    written = {event.object_version: event.pid for event in events if event.kind == "stored"}
    last: dict[str, Stored] = {}
    found = []
    for state in history:
        before = last.get(state.name)
        if before is not None and state.epoch < before.epoch:
            found.append(f"{state.name}: epoch {state.epoch} over {before.epoch}")
        if before is not None and state.version < before.version:
            found.append(f"{state.name}: version {state.version} over {before.version}")
        allowed = epochs.get(written.get(state.object_version, 0))
        if allowed is not None and state.epoch not in allowed:
            found.append(f"{state.name}: epoch {state.epoch} by a writer of {sorted(allowed)}")
        last[state.name] = state
    return found
