"""What an operator sees of the queue: depths, totals and single keys. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice

from common.queue.contract import Depth, Entry, Lane, Totals
from common.state.names import POOLS, RQ
from common.state.scripts import Scripts

_STATES = {"queued": "queued", "started": "running", "scheduled": "delayed", "failed": "parked"}
_FIELDS = (
    "status",
    "origin",
    "s_token",
    "s_attempts",
    "s_crashes",
    "created_at",
    "enqueued_at",
    "worker_name",
    "exc_info",
)


def _unix(text: bytes | None) -> float:
    return datetime.fromisoformat(text.decode()).timestamp() if text else 0.0


def depths(scripts: Scripts) -> Mapping[tuple[str, Lane], Depth]:
    """Return length and age of the oldest entry, per pool and lane."""
    lanes = [(pool, lane) for pool in POOLS for lane in Lane]
    names = scripts.names
    with scripts.pipeline() as pipe:
        for pool, lane in lanes:
            pipe.llen(names.rq("queue", pool, lane))
            pipe.lindex(names.rq("queue", pool, lane), 0)
        pipe.time()
        *found, clock = pipe.execute()
    now = clock[0] + clock[1] / 1e6
    result: dict[tuple[str, Lane], Depth] = {}
    for (pool, lane), queued, head in zip(lanes, found[::2], found[1::2], strict=True):
        age_s = 0.0
        if head is not None:
            with scripts.reading() as redis:
                created, again = redis.hmget(
                    f"{RQ}:job:{head.decode()}", ["created_at", "enqueued_at"]
                )
            since = _unix(again or created)
            age_s = max(0.0, now - since) if since else 0.0
        result[pool, lane] = Depth(queued=queued, oldest_age_s=age_s)
    return result


def totals(scripts: Scripts) -> Mapping[str, Totals]:
    """Return how many keys of each pool are running, delayed and parked."""
    names = scripts.names
    with scripts.pipeline() as pipe:
        for pool in POOLS:
            for kind in ("wip", "scheduled", "failed"):
                for lane in Lane:
                    pipe.zcard(names.rq(kind, pool, lane))
        counts = pipe.execute()
    result: dict[str, Totals] = {}
    for index, pool in enumerate(POOLS):
        at = index * 6
        running, delayed, dead = (sum(counts[at + i : at + i + 2]) for i in (0, 2, 4))
        result[pool] = Totals(running=running, delayed=delayed, dead=dead)
    return result


def entries(scripts: Scripts, state: str, limit: int) -> list[Entry]:
    """Return up to `limit` keys of a state (queued, running, delayed, parked), next ones first."""
    kind = {"queued": "queue", "running": "wip", "delayed": "scheduled", "parked": "failed"}[state]
    names = scripts.names
    found: list[bytes] = []
    with scripts.reading() as redis:
        for pool in POOLS:
            for lane in Lane:
                key = names.rq(kind, pool, lane)
                if kind == "queue":
                    found += redis.lrange(key, 0, limit - 1)
                else:
                    found += redis.zrange(key, 0, limit - 1)
    ids = [job.decode().partition(":")[0] for job in found]
    described = (_described(scripts, job) for job in dict.fromkeys(ids))
    # Lazily: each one is two round trips, and up to four lanes were read.
    found_now = (entry for entry in described if entry is not None and entry.state == state)
    return list(islice(found_now, limit))


def _described(scripts: Scripts, job: str) -> Entry | None:
    with scripts.reading() as redis:
        values = redis.hmget(f"{RQ}:job:{job}", _FIELDS)
    fields = dict(zip(_FIELDS, values, strict=True))
    if fields["status"] is None:
        return None
    return _entry(scripts, job, fields)


def _entry(scripts: Scripts, job: str, fields: Mapping[str, bytes | None]) -> Entry:
    names = scripts.names
    key = names.key_of(job)
    origin = (fields["origin"] or b"").decode()
    pool, lane = next((p, ln) for p in POOLS for ln in Lane if names.queue(p, ln) == origin)
    status = (fields["status"] or b"").decode()
    state = "running" if fields["s_token"] else _STATES.get(status, status)
    reason, _, message = (fields["exc_info"] or b"").decode().partition(": ")
    return Entry(
        key=key,
        state=state,
        lane=lane,
        attempts=int(fields["s_attempts"] or 0),
        crashes=int(fields["s_crashes"] or 0),
        since_s=_unix(fields["created_at"]),
        due_s=_due(scripts, job, pool, lane, state),
        worker=(fields["worker_name"] or b"").decode(),
        reason=reason,
        message=message,
    )


def _due(scripts: Scripts, job: str, pool: str, lane: Lane, state: str) -> float:
    names = scripts.names
    with scripts.reading() as redis:
        if state == "delayed":
            return float(redis.zscore(names.rq("scheduled", pool, lane), job) or 0)
        if state == "parked":
            return float(redis.zscore(names.own(f"probe:{pool}"), job) or 0)
    return 0.0
