"""What others do to the queue behind its back, as values: rq's tools, and people's hands.

A strike is drawn by Hypothesis, printed when it breaks something, and applied to one key and the
lists, sets and hashes of its pool.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from hypothesis import strategies as st
from redis import Redis
from rq.exceptions import DeserializationError, InvalidJobOperation, NoSuchJobError

from common.model.key import WorkKey, pool_of
from common.state.names import RQ, Names
from tests.queue_strategies import PODS, WORKERS
from tests.rq_tools import HARMLESS, ON_ALL, ON_ONE, Act, RqTools

# Places by what stands there; a number is the lane.
LISTS = ("queue:0", "queue:1")
SETS = ("wip:0", "wip:1", "scheduled:0", "scheduled:1", "failed:0", "failed:1", "probe", "leases")
CLAIMS = tuple(f"claims:{worker}" for worker in WORKERS)
HASHES = (*CLAIMS, "running", "heads", "counts", "job")
OTHERS = ("token", "ledger", "paused", "queues", "wake")
PLACES = (*LISTS, *SETS, *HASHES, *OTHERS)

# The fields that the scripts read.
FIELDS = (
    "status",
    "origin",
    "s_token",
    "s_dirty",
    "s_attempts",
    "s_tallies",
    "s_crashes",
    "s_suspect",
    "s_pos",
    "worker_name",
    "created_at",
    "enqueued_at",
)
NONSENSE = ("x", "", "-1", "7", "0.5", "1e300", "nan", "inf", "é", "somebody-elses", *WORKERS)
STATUSES = ("queued", "started", "scheduled", "failed", "canceled", "finished", "deferred", "x")
OWN_ORIGINS = ("reconcile", "reconcile-bulk", "scan", "scan-bulk", "rematch", "rematch-bulk")
ORIGINS = (*OWN_ORIGINS, "somebody-elses", "")


def named(names: Names, key: WorkKey, place: str) -> str:
    """Return the Redis key of a place."""
    kind, _, lane = place.partition(":")
    if place == "job":
        return names.job(key)
    if place == "queues":
        return f"{RQ}:queues"
    if kind in ("queue", "wip", "scheduled", "failed"):
        return names.rq(kind, pool_of(key), int(lane))
    if place in ("probe", "wake"):
        return names.own(f"{place}:{pool_of(key)}")
    return names.own(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A command of rq's, a button of rq-dashboard's, or a stock worker."""

    act: Act
    lane: int
    pickled: bool

    @property
    def touches(self) -> str:
        """Say whose state it may change: nobody's, one key's or all keys'."""
        return "one" if self.act in ON_ONE else "all" if self.act in ON_ALL else "none"

    def apply(self, redis: Any, names: Names, key: WorkKey) -> None:
        """Do it. It may refuse, or its worker die of our data."""
        refusals = (NoSuchJobError, InvalidJobOperation, DeserializationError)
        with contextlib.suppress(*refusals):
            tools = RqTools(redis, names, pickled=self.pickled)
            self.act(tools, names.job_id(key), names.queue(pool_of(key), self.lane))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """`DEL`."""

    place: str

    def apply(self, redis: Any, names: Names, key: WorkKey) -> None:
        redis.delete(named(names, key, self.place))


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """`LREM`, `ZREM` or `HDEL` of one entry, if there is one."""

    place: str
    at: int

    def apply(self, redis: Any, names: Names, key: WorkKey) -> None:
        name = named(names, key, self.place)
        kind = redis.type(name)
        if kind == b"list":
            found = redis.lrange(name, 0, -1)
            redis.lrem(name, 1, found[self.at % len(found)])
        elif kind == b"zset":
            found = redis.zrange(name, 0, -1)
            redis.zrem(name, found[self.at % len(found)])
        elif kind == b"hash":
            found = sorted(redis.hkeys(name))
            redis.hdel(name, found[self.at % len(found)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """`RENAME` to another place of the same kind, which is lost by that."""

    place: str
    to: str

    def apply(self, redis: Any, names: Names, key: WorkKey) -> None:
        if redis.exists(named(names, key, self.place)):
            redis.rename(named(names, key, self.place), named(names, key, self.to))


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameJob:
    """`RENAME` of the key's hash to that of another key."""

    to: WorkKey

    def apply(self, redis: Any, names: Names, key: WorkKey) -> None:
        if redis.exists(names.job(key)):
            redis.rename(names.job(key), names.job(self.to))


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """`LPUSH`, `RPUSH` or `ZADD` of an id, or of something that is none; long due in a set."""

    place: str
    member: str  # empty: the key's id
    front: bool

    def apply(self, redis: Any, names: Names, key: WorkKey) -> None:
        name = named(names, key, self.place)
        member = self.member or names.job_id(key)
        if self.place not in LISTS:
            redis.zadd(name, {member: 1.0})
        elif self.front:
            redis.lpush(name, member)
        else:
            redis.rpush(name, member)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scribble:
    """`HSET` of a field of the key's hash."""

    field: str
    value: str

    def apply(self, redis: Any, names: Names, key: WorkKey) -> None:
        value = self.value
        if self.field == "origin" and value in OWN_ORIGINS:
            value = f"{names.cluster}-{value}"
        if redis.exists(names.job(key)):
            redis.hset(names.job(key), self.field, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwrite:
    """Nonsense where the scripts keep a number, a token or an id."""

    place: str
    value: str

    def apply(self, redis: Any, names: Names, key: WorkKey) -> None:
        name = named(names, key, self.place)
        if not redis.exists(name):
            return
        if self.place == "token":
            redis.set(name, self.value)
        else:
            for field in redis.hkeys(name):
                redis.hset(name, field, self.value)


ByHand: TypeAlias = Delete | Remove | Rename | RenameJob | Put | Scribble | Overwrite
Strike: TypeAlias = Tool | ByHand


def _evenly(*choices: st.SearchStrategy[Strike]) -> st.SearchStrategy[Strike]:
    """Draw from each with the same weight; `one_of` would flatten them first."""
    return st.integers(0, len(choices) - 1).flatmap(lambda at: choices[at])


def _tools(*acts: Act) -> st.SearchStrategy[Strike]:
    # Most keys are in the fresh lane.
    lane = st.sampled_from([0, 0, 0, 1])
    return st.builds(Tool, act=st.sampled_from(acts), lane=lane, pickled=st.booleans())


_fields: st.SearchStrategy[Strike] = st.one_of(
    st.builds(Scribble, field=st.sampled_from(FIELDS), value=st.sampled_from(NONSENSE)),
    st.builds(Scribble, field=st.just("status"), value=st.sampled_from(STATUSES)),
    st.builds(Scribble, field=st.just("origin"), value=st.sampled_from(ORIGINS)),
)
_values: st.SearchStrategy[Strike] = st.builds(
    Overwrite,
    place=st.sampled_from((*CLAIMS, "running", "heads", "counts", "token")),
    value=st.sampled_from(NONSENSE),
)
_deletions: st.SearchStrategy[Strike] = st.one_of(
    st.builds(Delete, place=st.sampled_from(PLACES)),
    st.builds(Remove, place=st.sampled_from(PLACES), at=st.integers(0, 3)),
)
_names: st.SearchStrategy[Strike] = st.one_of(
    st.builds(Rename, place=st.sampled_from(LISTS), to=st.sampled_from(LISTS)),
    st.builds(Rename, place=st.sampled_from(SETS), to=st.sampled_from(SETS)),
    st.builds(Rename, place=st.sampled_from(CLAIMS), to=st.sampled_from(CLAIMS)),
    st.builds(RenameJob, to=st.sampled_from(PODS)),
)
_entries: st.SearchStrategy[Strike] = st.builds(
    Put,
    place=st.sampled_from((*LISTS, *LISTS, *SETS)),
    member=st.sampled_from(["", "", "not-ours", "é"]),
    front=st.booleans(),
)
gentle = _evenly(_tools(*HARMLESS), _tools(*ON_ONE), _tools(*ON_ONE))
rough = _evenly(
    _tools(*ON_ONE), _tools(*ON_ALL), _fields, _fields, _values, _deletions, _names, _entries
)


def every() -> Iterator[Strike]:
    """Yield every strike once, as far as they differ for one key."""
    for act in (*HARMLESS, *ON_ONE, *ON_ALL):
        yield from (Tool(act=act, lane=lane, pickled=act is RqTools.requeue_all) for lane in (0, 1))
    for place in PLACES:
        yield Delete(place=place)
        yield Remove(place=place, at=0)
    for group in (LISTS, SETS, CLAIMS):
        yield from (Rename(place=a, to=b) for a, b in pairwise((*group, group[0])))
    yield RenameJob(to=PODS[1])
    for place in (*LISTS, *SETS):
        yield from (Put(place=place, member=member, front=True) for member in ("", "é"))
    for field in FIELDS:
        yield from (Scribble(field=field, value=value) for value in NONSENSE[:8])
    yield from (Scribble(field="status", value=value) for value in STATUSES)
    yield from (Scribble(field="origin", value=value) for value in ORIGINS)
    for place in (*CLAIMS, "running", "heads", "counts", "token"):
        yield from (Overwrite(place=place, value=value) for value in NONSENSE[:8])


def break_type(redis: Redis, names: Names, key: WorkKey, place: str) -> str:
    """Put something of another type in a place, and return its name in Redis."""
    name = named(names, key, place)
    redis.delete(name)
    if place in ("token", "paused"):
        redis.rpush(name, "x")
    else:
        redis.set(name, "x")
    return name
