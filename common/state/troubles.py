"""Which workloads were told that an image of theirs cannot be scanned, and not yet that it can."""

from __future__ import annotations

from redis import Redis

from common.model.key import WorkloadKey
from common.state.names import Names
from common.state.scripts import Scripts


class TroubleTable:
    """A set of workloads; `clear` answers once, so recovery is told once."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("troubles")

    def mark(self, workload: WorkloadKey) -> None:
        """Note that failure was told."""
        with self._scripts.reading() as redis:
            redis.sadd(self._name, str(workload))

    def clear(self, workload: WorkloadKey) -> bool:
        """Forget it; return whether failure had been told."""
        with self._scripts.reading() as redis:
            return bool(redis.srem(self._name, str(workload)))
