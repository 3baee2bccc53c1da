"""How far the leading watcher has read the cluster, for the one that leads after it."""

from __future__ import annotations

from collections.abc import Mapping

from redis import Redis
from redis.exceptions import ResponseError

from common.kube.wire import version_number
from common.model.errors import StaleFenceError
from common.state.names import Names
from common.state.readable import text_of
from common.state.scripts import Scripts


class SeenTable:
    """The version up to which each stream was read before anything was written because of it."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("seen")

    def read(self) -> dict[str, int]:
        """Return the version by stream (`resource`, or `resource/namespace`).

        What is no version by anybody's hand counts as absent.
        """
        with self._scripts.reading() as redis:
            try:
                found = redis.hgetall(self._name)
            except ResponseError as exc:
                if "WRONGTYPE" not in str(exc):
                    raise
                found = {}
        return {
            text_of(stream): number
            for stream, version in found.items()
            if (number := version_number(text_of(version)))
        }

    def record(self, versions: Mapping[str, int], *, whole: bool = False, fence: int) -> None:
        """Remember versions; `whole`: they are all, and others are forgotten.

        Raises StaleFenceError when another watcher leads.
        """
        # As text: Lua's numbers would round a large one.
        told = {stream: str(version) for stream, version in versions.items()}
        payload = {"key": self._name, "versions": told, "whole": whole, "fence": fence}
        if not self._scripts.run("seen", payload, repeatable=True):
            raise StaleFenceError(
                f"fence {fence} is not the highest any more: another one reads on"
            )
