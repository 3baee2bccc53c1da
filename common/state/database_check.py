"""Asks the matcher to look for a newer database now, and tells when it has looked."""

from __future__ import annotations

from redis import Redis

from common.state.names import Names
from common.state.readable import count_of
from common.state.scripts import Scripts


class DatabaseCheck:
    """A pair of growing numbers: what was asked for, and what was answered."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("control")

    def request(self) -> int:
        """Ask; return the number that `answered` reaches when the matcher has looked."""
        with self._scripts.reading() as redis:
            return int(redis.hincrby(self._name, "check-requested", 1))

    def requested(self) -> int:
        """Return the number of the last request; 0: none. For the matcher, once a second or so."""
        with self._scripts.reading() as redis:
            return count_of(redis.hget(self._name, "check-requested"))

    def answer(self, number: int) -> None:
        """Say that a look which began after request `number` is over, whatever it found."""
        with self._scripts.reading() as redis:
            redis.hset(self._name, "check-answered", str(number))

    def answered(self) -> int:
        """Return the number of the last request that was answered."""
        with self._scripts.reading() as redis:
            return count_of(redis.hget(self._name, "check-answered"))
