"""What Redis holds about the keys of a stateful test, in the model's words."""

from __future__ import annotations

from itertools import islice
from typing import Any

from common.model.key import WorkKey
from common.queue.contract import Lane
from common.state.names import POOLS, Names
from tests.queue_strategies import KEYS, WORKERS

_STATES = {"queued": "queued", "started": "running", "scheduled": "delayed", "failed": "parked"}


class Seen:
    """Everything that Redis holds about the keys, read in one round trip."""

    def __init__(self, redis: Any, names: Names) -> None:
        self.names = names
        pools_lanes = [(pool, lane) for pool in POOLS for lane in Lane]
        with redis.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.hgetall(names.own("running"))
            pipe.hgetall(names.own("counts"))
            for key in KEYS:
                pipe.hgetall(names.job(key))
            for kind in ("wip", "scheduled", "failed"):
                for pool, lane in pools_lanes:
                    pipe.zrange(names.rq(kind, pool, lane), 0, -1, withscores=True)
            for pool in POOLS:
                pipe.zrange(names.own(f"probe:{pool}"), 0, -1, withscores=True)
            for worker in WORKERS:
                pipe.hgetall(names.own(f"claims:{worker}"))
            clock, running, counts, *rest = pipe.execute()
        hashes, rest = rest[: len(KEYS)], rest[len(KEYS) :]
        replies, sizes = iter(rest), (*3 * (len(pools_lanes),), len(POOLS), len(WORKERS))
        self.wip, self.scheduled, self.failed, self.probes, self.claims = (
            self._keys(list(islice(replies, size))) for size in sizes
        )
        self.running = {k.decode(): names.key_of(v.decode()) for k, v in running.items()}
        self.counts = {k.decode(): int(v) for k, v in counts.items()}
        now = clock[0] + clock[1] / 1e6
        due = self.scheduled | self.probes
        self.jobs = {
            key: _described(
                {name.decode(): value.decode() for name, value in fields.items()},
                round((due[key] - now) / 10) if key in due else 0,
            )
            for key, fields in zip(KEYS, hashes, strict=True)
        }

    def _keys(self, groups: list[Any]) -> dict[WorkKey, float]:
        pairs = [pair for group in groups for pair in (dict(group)).items()]
        return {
            self.names.key_of(member.decode().partition(":")[0]): float(score)
            for member, score in pairs
        }

    def registered(self) -> dict[str, set[WorkKey]]:
        """Return who stands in rq's registries; ours must name the same keys."""
        assert self.wip.keys() == self.claims.keys()
        assert self.failed.keys() == self.probes.keys()
        return {
            "running": set(self.wip),
            "delayed": set(self.scheduled),
            "parked": set(self.failed),
        }


def _described(fields: dict[str, str], due: int) -> tuple[Any, ...] | None:
    if not fields:
        return None
    dirty = fields.get("s_dirty")
    return (
        _STATES[fields["status"]],
        Lane.BULK if fields["origin"].endswith("-bulk") else Lane.FRESH,
        int(fields.get("s_attempts", 0)),
        int(fields.get("s_crashes", 0)),
        fields.get("s_suspect") == "1",
        fields.get("worker_name", "") if "s_token" in fields else "",
        None if dirty is None else Lane(int(dirty)),
        due,
    )
