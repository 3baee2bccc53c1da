"""In the workers' place: settles every key, and looks at the queue from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from common.model.key import WorkloadKey
from common.queue.contract import Lane, Settled
from common.queue.workqueue import WorkQueue
from common.state.epoch import EpochTable
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.rows import RowTable

_WORKER = "bench-worker"
_CLAIMS = 256
_QUEUED = 100_000  # more keys than any part of the benchmark has
_OLD_S = 3600.0

Reports = Callable[[WorkloadKey], Mapping[str, str]]  # `Kind/namespace/name` to the content hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """What stands in the queue."""

    keys: frozenset[str]
    lanes: Mapping[str, int]


def settle(redis: Redis, names: Names, reports: Reports) -> int:
    """Claim and settle all that is due, as converged long ago; return how many keys that were."""
    queue, rows = WorkQueue(redis, names), RowTable(redis, names)
    epoch = EpochTable(redis, names).current()
    count = 0
    while claims := queue.claim("reconcile", _WORKER, limit=_CLAIMS, lease_s=600):
        done = []
        for claim in claims:
            found = rows.get(claim.key) if isinstance(claim.key, WorkloadKey) else None
            outcome = Settled(fingerprint="", epoch=0, outcome="Gone")
            if found is not None and isinstance(claim.key, WorkloadKey):
                outcome = Settled(
                    fingerprint=found[1],
                    epoch=epoch,
                    outcome="Converged",
                    reports=reports(claim.key),
                )
            done.append((claim, outcome))
        queue.complete(_WORKER, done)
        count += len(claims)
    _age(redis, names)
    return count


def queued(redis: Redis, names: Names) -> Queued:
    """Return the keys that wait, by what the queue itself holds."""
    found = WorkQueue(redis, names).ls("queued", _QUEUED)
    lanes = Counter(entry.lane.label for entry in found)
    return Queued(
        keys=frozenset(str(entry.key) for entry in found),
        lanes={lane.label: lanes[lane.label] for lane in Lane},
    )


def enqueued(redis: Redis, names: Names) -> int:
    """Return how many keys were put into the queue so far, by the ledger's count."""
    return Ledger(redis, names).counts()["enqueued"]


def _age(redis: Redis, names: Names) -> None:
    """Let the settled runs be an hour old: sweeps do not judge young ones by their reports."""
    table = names.own("settled")
    settled: dict[bytes, bytes] = redis.hgetall(table)  # type: ignore[assignment] # bytes here
    aged: dict[Any, Any] = {}
    for key, data in settled.items():
        at, _, body = data.partition(b" ")
        aged[key] = b"%.3f %s" % (float(at) - _OLD_S, body)
    if aged:
        redis.hset(table, mapping=aged)
