"""The operator's side of the workqueue: what stands in it, and who may claim. Thread-safe."""

from __future__ import annotations

from collections.abc import Mapping

from redis import Redis

from common.model.key import WorkKey
from common.queue.census import Census, census, depths, totals
from common.queue.contract import Depth, Entry, Lane, Totals
from common.queue.listing import dead_by_reason, entries, entry_of, part_of
from common.state.names import POOLS, RQ, Names
from common.state.scripts import Scripts


class Desk:
    """Looks at the queue, takes keys out, stops and resumes claims."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self.names = names
        self.scripts = Scripts(redis, names)

    def depth(self) -> Mapping[tuple[str, Lane], Depth]:
        """Return how much waits in each lane of each pool."""
        return depths(self.scripts)

    def totals(self) -> Mapping[str, Totals]:
        """Return how many keys of each pool are running, delayed and parked."""
        return totals(self.scripts)

    def census(self) -> Census:
        """Return everything that is served as metrics, in two round trips."""
        return census(self.scripts)

    def ls(self, state: str = "queued", limit: int = 100) -> list[Entry]:
        """Return keys that are queued, running, delayed or parked, the next ones first."""
        return entries(self.scripts, state, limit)

    def part(
        self, state: str, *, pool: str = "", lane: Lane | None = None, start: int, limit: int
    ) -> tuple[list[Entry], int]:
        """Return a page of the keys of a state, and how many there are, whatever pool and lane."""
        places = [
            (name, each)
            for name in POOLS
            for each in Lane
            if pool in ("", name) and lane in (None, each)
        ]
        return part_of(self.scripts, state, places, start=start, limit=limit)

    def entry(self, key: WorkKey) -> Entry | None:
        """Return where one key stands; None: it rests, or is gone."""
        return entry_of(self.scripts, key)

    def dead(self, limit: int = 100) -> list[Entry]:
        """Return parked keys with their reasons."""
        return self.ls("parked", limit)

    def dead_by_reason(self) -> Mapping[str, int]:
        """Return how many parked keys have which reason, most first; of 1,000 a lane at most."""
        return dead_by_reason(self.scripts)

    def drop(self, key: WorkKey) -> bool:
        """Take a key out of the queue; False: it is not there, or it is running."""
        return int(self.scripts.run("drop", {"key": str(key)})) == 1

    def pause(self) -> bool:
        """Stop claims in this cluster; running keys finish. False: they were stopped already."""
        with self.scripts.pipeline() as pipe:
            pipe.exists(self.names.own("paused"), f"{RQ}:suspended")
            pipe.set(self.names.own("paused"), "1")
            return not pipe.execute()[0]

    def resume(self) -> bool:
        """Let claims go on, also when `rq suspend` stopped them. False: they were not stopped."""
        with self.scripts.pipeline() as pipe:
            pipe.delete(self.names.own("paused"), f"{RQ}:suspended")
            for pool in POOLS:
                pipe.lpush(self.names.own(f"wake:{pool}"), "1")
            return bool(pipe.execute()[0])

    def paused(self) -> bool:
        """Say whether claims are stopped, by us or by `rq suspend`."""
        with self.scripts.reading() as redis:
            return bool(redis.exists(self.names.own("paused"), f"{RQ}:suspended"))
