"""Who works: every loop that holds a lease, read by the clock that ends leases."""

from __future__ import annotations

from redis import Redis

from common.state.names import Names
from common.state.scripts import Scripts


class WorkerTable:
    """Reads the leases; only claims and heartbeats write them."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("leases")

    def alive(self) -> tuple[str, ...]:
        """Return the names of the loops whose lease has not ended, in order of their names."""
        with self._scripts.pipeline() as pipe:
            pipe.zrange(self._name, 0, -1, withscores=True)
            pipe.time()
            leases, clock = pipe.execute()
        now_s = clock[0] + clock[1] / 1e6
        return tuple(sorted(name.decode() for name, ends_s in leases if ends_s > now_s))
