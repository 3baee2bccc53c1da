"""Scenes in which Redis suffers: killed, without its last second, stopped, full, tampered with."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

from common.model.errors import SluiceError, StaleFenceError
from common.model.key import WorkloadKey
from common.queue.contract import Add, Lane
from common.state.fence import FenceTable
from common.state.rows import RowTable
from tests.bench.torture_ground import Ground
from tests.bench.torture_scene import BEYOND_S, LEASE_S, Scene
from tests.queue_values import row

_BUSY = {"loops": 2, "failing": 0.05, "run_s": 0.004}


def redis_dies(scene: Scene) -> None:
    """Kill Redis under load, with `appendfsync always`: nothing may be lost, without any sweep.

    The last time it stays away for longer than a lease, while runs go on: whoever lives renews
    before anybody may be taken for dead.
    """
    keys = scene.many(120, "key")
    held = [scene.one("held-1"), scene.one("held-2")]
    for _ in range(2):
        scene.start(**_BUSY)
    with scene.changing(keys, threads=2):
        for _ in range(max(2, int(4 * scene.size))):
            scene.progress(100, 50)
            scene.ground.server.kill()
            scene.count("kill -9 of Redis")
            scene.ground.server.restart()
    scene.settle()
    with scene.ground.held(*held):
        _run_and_hold(scene, held)
        scene.ground.server.kill()
        scene.count("kill -9 of Redis")
        scene.ground.passes(BEYOND_S)
        scene.ground.server.restart()
        scene.ground.passes(BEYOND_S)
    scene.settle()
    scene.expected |= {key.name: 1 for key in held}
    scene.promise(
        not list(scene.ground.client.scan_iter("rq:job:*")), "nothing stays behind in Redis"
    )


def _run_and_hold(scene: Scene, keys: Sequence[WorkloadKey]) -> None:
    """Let runs of the keys begin one after the other: of one claim for all, only one would run."""
    for key in keys:
        scene.change(key)
        scene.ground.wait_held(key)


def redis_loses_its_last_second(scene: Scene) -> None:
    """Cut the power, with `appendfsync everysec`: adds, claims and ends of a second are gone.

    One pass of the sweep, which adds what the diary says is behind, must bring everything back.
    """
    _an_end_is_lost(scene)
    _a_claim_is_lost(scene)
    keys = scene.many(120, "key")
    for _ in range(2):
        scene.start(**_BUSY)
    with _Lengths(scene.ground) as lengths, scene.changing(keys):
        for _ in range(max(2, int(4 * scene.size))):
            scene.progress(100, 50)
            since, keep_bytes = lengths.ago(scene.dice.random())
            scene.ground.lose_power(keep_bytes=keep_bytes, since=since)
            scene.count("power cuts of Redis")
    scene.settle()
    scene.sweep()


def _an_end_is_lost(scene: Scene) -> None:
    """Bring a claim back as if it lived; its worker does live, so nobody reaps it."""
    key = scene.one("end-lost")
    worker = scene.start()
    with scene.ground.held(key):
        scene.change(key)
        scene.ground.wait_held(key)
        since, keep_bytes = time.monotonic(), scene.ground.server.log_bytes()
    scene.settle()
    scene.ground.lose_power(keep_bytes=keep_bytes, since=since)
    scene.settle()
    scene.promise(worker.process.alive, "the worker lives")
    scene.expected[key.name] = 2
    scene.ground.kill(worker)


def _a_claim_is_lost(scene: Scene) -> None:
    """Let its run go on while another one claims the key: only the later token counts."""
    key = scene.one("claim-lost")
    with scene.ground.held(key):
        scene.change(key)
        since, keep_bytes = time.monotonic(), scene.ground.server.log_bytes()
        first = scene.start()
        scene.ground.wait_held(key)
        with scene.ground.stopped(first):
            scene.ground.lose_power(keep_bytes=keep_bytes, since=since)
            second = scene.start()
            scene.ground.until(lambda: _claims(scene, key) > 1, "the key is claimed again")
        # The first one ends first: it must not be taken for the second.
        scene.ground.diary.open("run", key.name)
        scene.settle()
    for worker in (first, second):
        scene.ground.kill(worker)


def _claims(scene: Scene, key: WorkloadKey) -> int:
    events = scene.ground.diary.events()
    return sum(event.kind == "began" and event.key == key.name for event in events)


class _Lengths:
    """Remembers how long Redis' log was in the last seconds. A context manager."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._seen: deque[tuple[float, int]] = deque(maxlen=400)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="log-length")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def ago(self, seconds: float) -> tuple[float, int]:
        """Return when, at least that long ago, it was looked at, and its length then.

        Never longer than it is now: it was cut in between.
        """
        now, length = time.monotonic(), self._ground.server.log_bytes()
        older = [one for one in self._seen if one[0] <= now - seconds] or [(now, length)]
        at, then = older[-1]
        return at, min(then, length)

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self._seen.append((time.monotonic(), self._ground.server.log_bytes()))


def redis_sleeps(scene: Scene) -> None:
    """Stop Redis for longer than a lease, while runs go on; nobody died."""
    keys = scene.many(60, "key")
    held = [scene.one("held-1"), scene.one("held-2")]
    for _ in range(2):
        scene.start(**_BUSY)
    with scene.ground.held(*held):
        _run_and_hold(scene, held)
        with scene.changing(keys):
            scene.progress(60, 30)
            with scene.ground.redis_stopped():
                scene.count("SIGSTOP of Redis past the lease")
                scene.ground.passes(BEYOND_S)
            scene.progress(60, 30)
    scene.settle()
    scene.expected |= {key.name: 1 for key in held}


def redis_is_full(scene: Scene) -> None:
    """Fill Redis to maxmemory: adds fail loudly, completions pass, for they free memory."""
    held = [scene.one(f"held-{number}") for number in range(3)]
    new = scene.many(10, "new")
    client: Any = scene.ground.client
    scene.start(loops=len(held))
    with scene.ground.held(*held):
        for key in held:
            scene.change(key)
        scene.ground.wait_held(*held)
        client.config_set("maxmemory", 1)  # whatever is freed, it stays full
        scene.count("Redis full")
        scene.expected |= {key.name: 1 for key in held}
        for key in new:
            scene.ground.diary.want(key.name, 1)
            scene.promise(_add_fails(scene.ground, key), f"{key.name}: an add fails loudly")
    scene.settle()
    client.config_set("maxmemory", 0)
    scene.sweep()


def _add_fails(ground: Ground, key: WorkloadKey) -> bool:
    try:
        ground.queue.add([Add(key=key)])
    except SluiceError as error:
        return error.reason == "RedisFull"
    return False


def strangers_meddle(scene: Scene) -> None:
    """Meddle with the queue by hand, and write rows as a watcher that was deposed."""
    _requeue_what_runs(scene)
    _delete_lists(scene)
    _write_as_deposed(scene)


def _requeue_what_runs(scene: Scene) -> None:
    """Put a key that runs into its list, as rq does: it must run afterwards, not twice at once."""
    ground, key = scene.ground, scene.one("requeued")
    with ground.held(key):
        scene.change(key)
        worker = scene.start()
        ground.wait_held(key)
        job, queue = ground.names.job(key), ground.names.rq("queue", "reconcile", Lane.FRESH)
        ground.client.hset(job, "status", "queued")
        ground.client.rpush(queue, ground.names.job_id(key))
        scene.count("running keys requeued by hand")
        other, probe = scene.start(), scene.one("probe")
        scene.change(probe)  # only the other one has a free loop: it stands behind the key
        ground.settle([probe])
    scene.settle()
    scene.expected |= {key.name: 2}
    for one in (worker, other):
        ground.kill(one)


def _delete_lists(scene: Scene) -> None:
    """Delete the queue's lists: a sweep's adds must not believe the hashes that say `queued`."""
    for key in scene.many(20, "unlisted"):
        scene.change(key)
    for lane in Lane:
        scene.ground.client.delete(scene.ground.names.rq("queue", "reconcile", lane))
    scene.count("lists deleted")
    worker = scene.start()
    scene.ground.passes(LEASE_S)
    scene.sweep()
    scene.ground.kill(worker)


def _write_as_deposed(scene: Scene) -> None:
    """Let two watchers write a row; the one with the lower fence must be refused."""
    ground, key = scene.ground, scene.one("fenced")
    fences = FenceTable(ground.client, ground.names)
    old, new = fences.take(), fences.take()
    ground.queue.store_rows([row(key, "app:2")], fence=new)
    try:
        ground.queue.store_rows([row(key, "app:1")], fence=old)
    except StaleFenceError:
        scene.count("table writes refused")
    found = RowTable(ground.client, ground.names).get(key)
    scene.promise(
        found is not None and found[0].containers[0].image == "app:2",
        "a deposed watcher's row is refused",
    )
