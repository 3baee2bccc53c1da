"""What an operator sees of single keys: where each stands, what it waits for, what failed.

Reads only. `s_why` of a job says what a delayed or parked key waits for: `retry <class>`,
`hold <source>`, `after <reason>`, `park <class>`; it is empty where somebody asked for a later run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from common.model.key import WorkKey, pool_of
from common.queue.contract import Entry, Lane
from common.queue.encode import decode_tallies
from common.state.names import POOLS, RQ
from common.state.readable import (
    STOCK_WORKER,
    count_of,
    failure_of,
    fields_of,
    score_of,
    text_of,
    unix_of,
)
from common.state.scripts import Scripts

_STATES = {"queued": "queued", "started": "running", "scheduled": "delayed", "failed": "parked"}
_KINDS = {"queued": "queue", "running": "wip", "delayed": "scheduled", "parked": "failed"}
_FIELDS = (
    "status",
    "origin",
    "s_token",
    "s_attempts",
    "s_crashes",
    "s_tallies",
    "s_why",
    "created_at",
    "worker_name",
    "exc_info",
)
# Keys in one round trip: a hundredth of a second of Redis at most.
_PAGE = 500
# Parked keys per lane whose reasons are counted; beyond that the sum is what it is.
_REASONS = 1000

Place: TypeAlias = tuple[str, Lane]


def entries(scripts: Scripts, state: str, limit: int) -> list[Entry]:
    """Return up to `limit` keys of a state (queued, running, delayed, parked), next ones first."""
    places = _ids(scripts, _KINDS[state], limit)
    found = (entry for entry in described(scripts, places) if entry.state == state)
    return list(islice(found, limit))


def part_of(
    scripts: Scripts, state: str, places: Sequence[Place], *, start: int, limit: int
) -> tuple[list[Entry], int]:
    """Return up to `limit` keys of a state behind the first `start`, and how many there are.

    However many there are, no more are read. A key that was promoted leaves its entry in the other
    lane behind until that comes to the front: it is counted twice, and told once.
    """
    sizes = _sizes(scripts, _KINDS[state], places)
    wanted: dict[str, Place] = {}
    at = 0
    for place, size in zip(places, sizes, strict=True):
        low, high = max(start - at, 0), min(start + limit - at, size)
        if low < high:
            for job in _members(scripts, _KINDS[state], place, low, high):
                wanted.setdefault(job, place)
        at += size
    found = (entry for entry in described(scripts, wanted) if entry.state == state)
    return list(found), sum(sizes)


def _sizes(scripts: Scripts, kind: str, places: Sequence[Place]) -> list[int]:
    with scripts.pipeline() as pipe:
        for place in places:
            key = scripts.names.rq(kind, *place)
            if kind == "queue":
                pipe.llen(key)
            else:
                pipe.zcard(key)
        return [int(size) for size in pipe.execute()]


def _members(scripts: Scripts, kind: str, place: Place, low: int, high: int) -> list[str]:
    key = scripts.names.rq(kind, *place)
    with scripts.reading() as redis:
        if kind == "queue":
            found = redis.lrange(key, low, high - 1)
        else:
            found = redis.zrange(key, low, high - 1)
    return [text_of(member).partition(":")[0] for member in found]


def entry_of(scripts: Scripts, key: WorkKey) -> Entry | None:
    """Return where one key stands; None: nowhere."""
    job, found = scripts.names.job_id(key), None
    for lane in Lane:  # the one where it stands knows when it is due
        for found in described(scripts, {job: (pool_of(key), lane)}):
            if found.lane == lane:
                return found
    return found


def dead_by_reason(scripts: Scripts) -> dict[str, int]:
    """Return how many parked keys have which reason, of at most 1,000 per lane."""
    ids = list(_ids(scripts, "failed", _REASONS))
    with scripts.pipeline() as pipe:
        for job in ids:
            pipe.hmget(f"{RQ}:job:{job}", "exc_info")
        found = [fields_of(one, 1) for one in pipe.execute(raise_on_error=False)]
    reasons = (failure_of(value)[0] for (value,) in found)
    return dict(Counter(reason or STOCK_WORKER for reason in reasons).most_common())


def _ids(scripts: Scripts, kind: str, limit: int) -> dict[str, Place]:
    """Return job ids in their order, each once, with the place where it was found."""
    found: dict[str, Place] = {}
    places = [(pool, lane) for pool in POOLS for lane in Lane]
    with scripts.pipeline() as pipe:
        for place in places:
            key = scripts.names.rq(kind, *place)
            if kind == "queue":
                pipe.lrange(key, 0, limit - 1)
            else:
                pipe.zrange(key, 0, limit - 1)
        lists = pipe.execute()
    for place, members in zip(places, lists, strict=True):
        for member in members:
            found.setdefault(text_of(member).partition(":")[0], place)
    return found


def described(scripts: Scripts, places: Mapping[str, Place]) -> Iterator[Entry]:
    """Yield the keys that are still there; a page is read when it is needed."""
    names, asked = scripts.names, list(places.items())
    for at in range(0, len(asked), _PAGE):
        page = asked[at : at + _PAGE]
        with scripts.pipeline() as pipe:
            for job, place in page:
                pipe.hmget(f"{RQ}:job:{job}", _FIELDS)
                pipe.zscore(names.rq("scheduled", *place), job)
                pipe.zscore(names.own(f"probe:{place[0]}"), job)
            found = pipe.execute(raise_on_error=False)
            hashes = [fields_of(one, len(_FIELDS)) for one in found[0::3]]
            dues, probes = ([score_of(one) for one in found[at::3]] for at in (1, 2))
        answers = zip(page, hashes, dues, probes, strict=True)
        for (job, place), values, due, probe in answers:
            fields = dict(zip(_FIELDS, values, strict=True))
            key = _key(scripts, job)
            if fields["status"] is not None and key is not None:
                by_state = {"delayed": due, "parked": probe}
                yield _entry(scripts, (key, place), fields, by_state)


def _key(scripts: Scripts, job: str) -> WorkKey | None:
    """Return the key whose id this is; None: somebody else put a job of theirs into our queue."""
    try:
        return scripts.names.key_of(job)
    except ValueError:
        return None


def _entry(
    scripts: Scripts,
    found: tuple[WorkKey, Place],
    fields: Mapping[str, bytes | None],
    dues: Mapping[str, float],
) -> Entry:
    key, place = found
    texts = {name: text_of(value) for name, value in fields.items()}
    lanes = {scripts.names.queue(place[0], lane): lane for lane in Lane}
    state = "running" if texts["s_token"] else _STATES.get(texts["status"], texts["status"])
    word, _, what = texts["s_why"].partition(" ") if state in dues else ("", "", "")
    reason, message = failure_of(fields["exc_info"])
    if state == "parked":
        reason = reason or STOCK_WORKER
    if word == "after":  # it failed before, and waits for something else now
        reason, message = what, ""
    return Entry(
        key=key,
        state=state,
        lane=lanes.get(texts["origin"], place[1]),
        attempts=count_of(fields["s_attempts"]),
        crashes=count_of(fields["s_crashes"]),
        since_s=unix_of(fields["created_at"]),
        due_s=dues.get(state, 0.0),
        worker=texts["worker_name"],
        reason=reason,
        message=message,
        error_class=what if word in ("retry", "park") else "",
        source=what if word == "hold" else "",
        failures=_failures(texts["s_tallies"]),
    )


def _failures(tallies: str) -> Mapping[str, int]:
    found = decode_tallies(tallies).items()
    return {budget: tally.failures for budget, tally in found}
