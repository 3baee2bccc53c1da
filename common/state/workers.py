"""Who works: every loop that holds a lease, read by the clock that ends leases."""

from __future__ import annotations

from typing import NamedTuple

from redis import Redis

from common.state.names import RQ, Names
from common.state.readable import text_of
from common.state.scripts import Scripts


class Loop(NamedTuple):
    """A loop that holds a lease, and what it registered of itself."""

    name: str
    digest: str  # of its generation; empty: it has not said, or not yet
    version: str


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
        return tuple(sorted(text_of(name) for name, ends_s in leases if ends_s > now_s))

    def loops(self) -> tuple[Loop, ...]:
        """Return the loops whose lease has not ended, each with its generation."""
        names = self.alive()
        with self._scripts.pipeline() as pipe:
            for name in names:
                pipe.hmget(f"{RQ}:worker:{name}", "s_generation", "s_version")
            found = pipe.execute()
        return tuple(
            Loop(name, *map(text_of, texts)) for name, texts in zip(names, found, strict=True)
        )
