"""Which watcher leads, and when it was last heard: its sign of life, by Redis' clock."""

from __future__ import annotations

import math

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from common.model.errors import StaleFenceError
from common.model.leader import Leader
from common.state.names import LEADER_TTL_S, Names
from common.state.readable import text_of
from common.state.scripts import Scripts


class LeaderTable:
    """The leading watcher says that it lives; everybody may look."""

    def __init__(self, redis: Redis, names: Names, *, me: str = "") -> None:
        """`me` is who writes, as people should read it; who only looks needs none."""
        self._scripts = Scripts(redis, names)
        self._name = names.own("leader")
        self._me = me

    def alive(self, *, fence: int) -> None:
        """Say that we lead; raises StaleFenceError when another watcher does."""
        payload = {"key": self._name, "holder": self._me, "ttl_s": LEADER_TTL_S, "fence": fence}
        if not self._scripts.run("leader", payload, repeatable=True):
            raise StaleFenceError(f"fence {fence} is not the highest any more: another one leads")

    def last(self) -> Leader | None:
        """Return who led last; None: nobody did for a day, or what stands there is not ours."""
        with self._scripts.pipeline() as pipe:
            pipe.hmget(self._name, "holder", "since", "heard")
            pipe.time()
            found, clock = pipe.execute(raise_on_error=False)
            for answer in (found, clock):
                if isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer):
                    return None
                if isinstance(answer, RedisError):
                    raise answer
        holder, since, heard = found
        now_s = clock[0] + clock[1] / 1e6
        since_s, heard_s = _ago(since, now_s), _ago(heard, now_s)
        if since_s is None or heard_s is None:
            return None
        return Leader(holder=text_of(holder), since_s=since_s, heard_s=heard_s)


def _ago(text: bytes | None, now_s: float) -> float | None:
    try:
        age_s = now_s - float(text or b"")
    except ValueError:
        return None
    return max(0.0, age_s) if math.isfinite(age_s) else None
