"""How long keys of a worker that was killed wait until another one has run them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from common.queue.contract import Add
from common.state.names import Names
from sandbox.processes import Process
from tests.bench.queue_order import Order, Report, faults, read
from tests.bench.queue_server import Server
from tests.bench.queue_sides import keys_of
from worker.host import HostSettings

LEASE_S = HostSettings().lease_s  # the product's default
_KEYS = 64
_BEAT_S = LEASE_S / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """One kill."""

    held: int  # claims of the worker that died
    took_s: float  # until all of them had run elsewhere
    lease_s: float  # of it, until the lease had ended
    faults: list[str]


def recoveries(server: Server, runs: int) -> list[Recovery]:
    """Kill a worker in each of several clusters at different times after its last heartbeat.

    The clusters share Redis and wait at the same time: all that happens is waiting.
    """
    server.clear()
    scenes = [_Scene(server, number) for number in range(runs)]
    for scene in scenes:
        scene.begin()
    for number, scene in enumerate(scenes):
        scene.kill_at_s = time.monotonic() + _BEAT_S * number / runs
    waiting = scenes
    while waiting:
        waiting = [scene for scene in waiting if not scene.look()]
        time.sleep(0.005)
    return [scene.result() for scene in scenes]


class _Scene:
    """A victim that hangs in its second run, and one that lives."""

    def __init__(self, server: Server, number: int) -> None:
        self.kill_at_s = 0.0
        self._server = server
        self._cluster = f"crash-{number}"
        self._names = Names(self._cluster)
        self._reports = [server.file(self._cluster), server.file(self._cluster)]
        self._killed_s = 0.0
        self._done_s = 0.0
        self._lease_s = 0.0
        self._held = 0

    def begin(self) -> None:
        """Let the victim hold all keys but the first, which it ran; start the other worker."""
        self._server.queue(self._cluster).add([Add(key=key, cause="x") for key in keys_of(_KEYS)])
        self._victim = self._start(0, hang_after=1)
        self._server.wait(self._victim, self._reports[0].exists)
        self._other = self._start(1)
        self._server.wait(self._other, lambda: self._server.redis.zcard(self._leases) == 2)

    def look(self) -> bool:
        """Kill when it is time; say whether all keys have run since."""
        now_s = time.monotonic()
        if not self._killed_s:
            if now_s >= self.kill_at_s:
                self._kill()
            return False
        if not self._done_s and not self._left():
            self._done_s = now_s
        if not self._other.alive or now_s > self._killed_s + 10 * LEASE_S:
            raise self._other.failure("did not take over what another one had claimed")
        return bool(self._done_s)

    def result(self) -> Recovery:
        """End the worker that lives, and count."""
        self._other.stop()
        ran: list[Report] = [read(report) for report in self._reports]
        return Recovery(
            held=self._held,
            took_s=self._done_s - self._killed_s,
            lease_s=self._lease_s,
            faults=faults(ran, keys=_KEYS, who=f"{self._held} claims of a killed worker"),
        )

    @property
    def _leases(self) -> str:
        return self._names.own("leases")

    def _start(self, place: int, *, hang_after: int = 0) -> Process:
        order = Order(
            url=self._server.url,
            cluster=self._cluster,
            report=str(self._reports[place]),
            hang_after=hang_after,
        )
        return self._server.start_ours(order)

    def _kill(self) -> None:
        redis = self._server.redis
        self._held = redis.zcard(self._names.rq("wip", "reconcile", 0))
        ends = {
            name.decode(): at
            for name, at in redis.zrange(self._leases, 0, -1, withscores=True)
            if f"-{self._victim.pid}-" in name.decode()
        }
        (until_s,) = ends.values()
        seconds, micros = redis.time()
        self._lease_s = until_s - seconds - micros / 1e6
        self._killed_s = time.monotonic()
        self._victim.kill()

    def _left(self) -> int:
        queue = self._names.rq("queue", "reconcile", 0)
        return self._server.left(("LLEN", queue), ("ZCARD", self._names.rq("wip", "reconcile", 0)))
