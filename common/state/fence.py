"""The fence: a growing integer that a watcher takes each time it wins the Lease."""

from __future__ import annotations

from redis import Redis

from common.state.names import Names
from common.state.scripts import Scripts


class FenceTable:
    """Hands out fences; every table write of a watcher carries the one it took."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)

    def take(self) -> int:
        """Return a fence above every other one; from now on lower ones are refused.

        It is microseconds of Redis' clock or more, so that it grows across a flush too.
        """
        return int(self._scripts.run("fence", {}, repeatable=True))
