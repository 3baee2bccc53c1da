"""Which Trivy is trusted to analyse again what an older one analysed."""

from __future__ import annotations

import math

from redis import Redis

from common.model.trivy_version import Trusted
from common.state.names import Names
from common.state.readable import text_of
from common.state.scripts import Scripts


class TrustTable:
    """One row: the trusted version, and since when. Written by the matcher once, then by canaries.

    Two that write at once tell the same: a version that a canary found good.
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("trivy")

    def current(self) -> Trusted | None:
        """Return what is trusted; None: nothing yet, or nothing that can be read."""
        with self._scripts.reading() as redis:
            version, since = map(text_of, redis.hmget(self._name, "version", "since"))
        try:
            since_s = float(since)
        except ValueError:
            return None
        return Trusted(version=version, since_s=since_s) if math.isfinite(since_s) else None

    def trust(self, version: str, *, now_s: float) -> None:
        """Trust `version` from now on."""
        with self._scripts.reading() as redis:
            redis.hset(self._name, mapping={"version": version, "since": repr(now_s)})

    def begin(self, version: str, *, now_s: float) -> None:
        """Trust the first version that a cluster has: there is nothing to compare it with."""
        if self.current() is None:
            self.trust(version, now_s=now_s)
