"""How much of everything there is: depths, totals and counters, read together in two round trips.

Reads only. Lanes hold entries, not keys: a promotion leaves one behind until its turn. So a depth
may be too high, and the oldest is looked for among the first few entries that are no such ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoPermissionError

from common.model.counts import details_counted, facts_counted
from common.model.errors import SluiceError
from common.queue.contract import Depth, Lane, Totals
from common.queue.needed import judged
from common.state.circuits import Trouble, troubles_of
from common.state.database import DatabaseRow, decode_database
from common.state.ledger import numbers
from common.state.names import POOLS, RQ, Names
from common.state.readable import fields_of, unix_of
from common.state.scripts import Scripts

# Entries at a lane's front that are looked at for the oldest: what is given back goes to the front
# with a new age, at most a batch of it, and left-behind entries go with the next claim.
_FRONT = 16
_JOB = f"{RQ}:job:".encode()
_LANES = tuple((pool, lane) for pool in POOLS for lane in Lane)
_SETS = ("wip", "scheduled", "failed")  # running, delayed, dead


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """One cluster at one instant."""

    depths: Mapping[tuple[str, Lane], Depth]
    totals: Mapping[str, Totals]
    paused: bool
    facts: Mapping[str, int]  # by kind, since Redis was flushed
    details: Mapping[str, Mapping[str, int]]  # see common.model.counts
    troubles: Sequence[Trouble]
    database: DatabaseRow | None  # None: no matcher has published yet
    workers: int  # loops whose lease has not ended
    now_s: float  # Unix seconds, Redis' clock
    server: Mapping[str, object] | None = None  # what INFO says; None: our user may not ask


def depths(scripts: Scripts) -> Mapping[tuple[str, Lane], Depth]:
    """Return length and age of the oldest entry, per pool and lane."""
    with scripts.pipeline() as pipe:
        _ask_lanes(pipe, scripts.names)
        pipe.time()
        *found, clock = pipe.execute()
    return _depths(scripts, found, _unix_s(clock))


def totals(scripts: Scripts) -> Mapping[str, Totals]:
    """Return how many keys of each pool are running, delayed and parked."""
    with scripts.pipeline() as pipe:
        _ask_totals(pipe, scripts.names)
        return _totals(pipe.execute())


def census(scripts: Scripts) -> Census:
    """Return everything that is served as metrics. Raises SourceUnavailableError."""
    try:
        return _census(scripts, with_info=True)
    except SluiceError as exc:
        if not isinstance(exc.__cause__, NoPermissionError):
            raise
        return _census(scripts, with_info=False)


def _census(scripts: Scripts, *, with_info: bool) -> Census:
    names = scripts.names
    with scripts.pipeline() as pipe:
        _ask_lanes(pipe, names)
        _ask_totals(pipe, names)
        pipe.exists(names.own("paused"), f"{RQ}:suspended")
        pipe.hgetall(names.own("counts"))
        pipe.hgetall(names.own("circuits"))
        pipe.hget(names.own("database"), "row")
        pipe.zrange(names.own("leases"), 0, -1, withscores=True)
        pipe.time()
        if with_info:
            pipe.info()
        answers = pipe.execute()
        server = answers.pop() if with_info else None
        *found, paused, counts, circuits, database, leases, clock = answers
    now_s, counted = _unix_s(clock), numbers(counts)
    lanes, sets = found[: 2 * len(_LANES)], found[2 * len(_LANES) :]
    return Census(
        depths=_depths(scripts, lanes, now_s),
        totals=_totals(sets),
        paused=bool(paused),
        facts=facts_counted(counted),
        details=details_counted(counted),
        troubles=judged(scripts, troubles_of(circuits, now_s)),
        database=decode_database(database),
        workers=sum(ends_s > now_s for _, ends_s in leases),
        now_s=now_s,
        server=server,
    )


def _ask_lanes(pipe: Any, names: Names) -> None:  # noqa: ANN401 # redis-py's own type
    for pool, lane in _LANES:
        pipe.llen(names.rq("queue", pool, lane))
        pipe.lrange(names.rq("queue", pool, lane), 0, _FRONT - 1)


def _ask_totals(pipe: Any, names: Names) -> None:  # noqa: ANN401 # redis-py's own type
    for pool in POOLS:
        for kind in _SETS:
            for lane in Lane:
                pipe.zcard(names.rq(kind, pool, lane))


def _totals(found: Sequence[int]) -> Mapping[str, Totals]:
    both = [fresh + bulk for fresh, bulk in zip(found[::2], found[1::2], strict=True)]
    each = zip(POOLS, both[0::3], both[1::3], both[2::3], strict=True)
    return {
        pool: Totals(running=running, delayed=delayed, dead=dead)
        for pool, running, delayed, dead in each
    }


def _depths(
    scripts: Scripts, found: Sequence[Any], now_s: float
) -> Mapping[tuple[str, Lane], Depth]:
    fronts = dict(zip(_LANES, found[1::2], strict=True))
    oldest = _oldest_s(scripts, fronts)
    return {
        place: Depth(queued=queued, oldest_age_s=max(0.0, now_s - oldest.get(place, now_s)))
        for place, queued in zip(_LANES, found[::2], strict=True)
    }


def _oldest_s(
    scripts: Scripts, fronts: Mapping[tuple[str, Lane], Sequence[bytes]]
) -> Mapping[tuple[str, Lane], float]:
    """Return since when the oldest of the first entries waits; none where nothing waits."""
    asked = [(place, job) for place, jobs in fronts.items() for job in jobs]
    if not asked:
        return {}
    with scripts.pipeline() as pipe:
        for _, job in asked:
            pipe.hmget(_JOB + job, "status", "origin", "enqueued_at", "created_at")
        found = [fields_of(one, 4) for one in pipe.execute(raise_on_error=False)]
    oldest: dict[tuple[str, Lane], float] = {}
    for (place, _), (status, origin, again, created) in zip(asked, found, strict=True):
        queue = scripts.names.queue(*place).encode()
        since_s = unix_of(again) or unix_of(created)
        if status == b"queued" and origin == queue and since_s:
            oldest[place] = min(since_s, oldest.get(place, since_s))
    return oldest


def _unix_s(clock: tuple[int, int]) -> float:
    return clock[0] + clock[1] / 1e6
