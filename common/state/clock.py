"""Redis' clock: the one that all processes of a cluster share (a worker's own may be hours off)."""

from __future__ import annotations

from redis import Redis

from common.state.names import Names
from common.state.scripts import Scripts


class RedisClock:
    """Tells the time."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)

    def now_s(self) -> float:
        """Return Unix seconds."""
        with self._scripts.reading() as redis:
            seconds, micros = redis.time()
        return float(seconds) + float(micros) / 1e6
