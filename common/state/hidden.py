"""What ignore policies hid: kept so that no policy is asked twice about the same findings."""

from __future__ import annotations

import msgspec
from redis import Redis

from common.model.bounded import UNREADABLE
from common.state.names import HIDDEN_TTL_S, Names
from common.state.scripts import Scripts

_NUMBERS = msgspec.json.Decoder(frozenset[int])


class HiddenTable:
    """Numbers of hidden findings, by policy and findings."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)

    def get(self, name: str) -> frozenset[int] | None:
        """Return the numbers; None: never asked, longer ago than a week, or not readable."""
        with self._scripts.reading() as redis:
            found = redis.get(self._name(name))
        try:
            return None if found is None else _NUMBERS.decode(found)
        except UNREADABLE:
            return None

    def put(self, name: str, hidden: frozenset[int]) -> None:
        """Keep the numbers for a week."""
        with self._scripts.reading() as redis:
            redis.set(self._name(name), msgspec.json.encode(sorted(hidden)), ex=HIDDEN_TTL_S)

    def _name(self, name: str) -> str:
        return self._scripts.names.own(f"hidden:{name}")
