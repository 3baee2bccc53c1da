"""The epoch: a growing number, one per generation of settings, schema, Trivy and projection."""

from __future__ import annotations

from redis import Redis

from common.state.names import Names
from common.state.scripts import Scripts


class EpochTable:
    """Publishes and reads the epoch."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("epoch")

    def current(self) -> int:
        """Return the published epoch; 0: none is published."""
        with self._scripts.reading() as redis:
            return int(redis.hget(self._name, "number") or 0)

    def publish(self, digest: str, at_least: int = 0) -> int:
        """Publish a generation and return its number.

        The same digest keeps the number, another one raises it, also when an older digest returns.
        `at_least` is the highest number seen in stamps: after a flush it is taken up again.
        """
        payload = {"key": self._name, "digest": digest, "at_least": at_least}
        return int(self._scripts.run("epoch", payload, repeatable=True))
