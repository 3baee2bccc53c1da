"""Requests between processes: sweep now; and which life of Redis this is."""

from __future__ import annotations

from redis import Redis

from common.model.errors import StaleFenceError
from common.state.names import Names
from common.state.readable import count_of
from common.state.scripts import Scripts


class Control:
    """Asks the watcher for a sweep and tells when it is done."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("control")

    def request_sweep(self) -> int:
        """Ask for a sweep; return its number, which `swept` reaches when it is done."""
        with self._scripts.reading() as redis:
            return int(redis.hincrby(self._name, "requested", 1))

    def sweep_requested(self) -> int:
        """Return the number of the last sweep that was asked for; 0: none."""
        with self._scripts.reading() as redis:
            return count_of(redis.hget(self._name, "requested"))

    def sweep_done(self, number: int, *, fence: int) -> None:
        """Say that a sweep which began after request `number` is done.

        Raises StaleFenceError when another watcher leads: it may have answered later requests.
        """
        payload = {"key": self._name, "number": number, "fence": fence}
        if not self._scripts.run("swept", payload, repeatable=True):
            raise StaleFenceError(f"fence {fence} is not the highest any more: the sweep is void")

    def swept(self) -> int:
        """Return the number of the last sweep that is done."""
        with self._scripts.reading() as redis:
            return count_of(redis.hget(self._name, "swept"))

    def run_id(self) -> str:
        """Return Redis' run id: another one means a restart, so look whether the data is there."""
        with self._scripts.reading() as redis:
            return str(redis.info("server")["run_id"])
