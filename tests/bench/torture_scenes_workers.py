"""Scenes in which workers suffer: killed, stopped past their lease, cut off from Redis."""

from __future__ import annotations

from common.model.key import WorkloadKey
from common.queue.contract import Lane
from tests.bench.torture_cable import Cable
from tests.bench.torture_ground import Worker
from tests.bench.torture_scene import BEYOND_S, LEASE_S, Scene

_BUSY = {"loops": 2, "failing": 0.05, "run_s": 0.004}


def changes_during_a_run(scene: Scene) -> None:
    """Change keys 0, 1 and 7 times while their runs are held open: 1, 2 and 2 runs.

    The runs last longer than a lease, but their worker renews it: an idle one must not touch them.
    """
    counts = {scene.one(f"changed-{times}"): times for times in (0, 1, 7)}
    holder = scene.start(loops=len(counts))
    with scene.ground.held(*counts):
        for key in counts:
            scene.change(key)
        scene.ground.wait_held(*counts)
        probe = scene.one("probe")
        scene.start()
        scene.change(probe)
        scene.ground.settle([probe])  # the other one is at work, and may bury whoever is silent
        for key, times in counts.items():
            for number in range(times):
                scene.change(key, Lane.BULK if number % 2 else Lane.FRESH)
        scene.ground.passes(2 * LEASE_S)
        scene.expected |= {key.name: 2 if times else 1 for key, times in counts.items()}
    scene.settle()
    scene.promise(holder.process.alive, "the worker lives")


def workers_die(scene: Scene) -> None:
    """Kill workers in the middle of everything."""
    keys = scene.many(200, "key")
    workers = [scene.start(**_BUSY) for _ in range(3)]
    with scene.changing(keys, threads=2):
        for _ in range(max(2, int(6 * scene.size))):
            scene.progress(100, 60)
            victim = scene.dice.randrange(len(workers))
            scene.ground.kill(workers[victim])
            scene.count("SIGKILL of a worker")
            workers[victim] = scene.start(**_BUSY)
    scene.settle()


def a_worker_sleeps(scene: Scene) -> None:
    """Stop one beyond its lease: while it runs the first key of a batch, and before it runs one.

    It goes on while another worker runs the same key: what it ran was in vain, and it begins
    nothing more of what it had claimed.
    """
    sleeper = _warm(scene)
    first, *rest = batch = [scene.one(f"batch-{number}") for number in range(5)]
    with scene.ground.held(first):
        _together(scene, sleeper, batch)
        scene.ground.wait_held(first)
        other = _overtaken(scene, sleeper, first, point="run")
    _refused(scene, sleeper, first.name)
    scene.ground.diary.open("run", first.name, pid=other.pid)
    scene.settle()
    scene.ground.kill(other)
    scene.expected |= {first.name: 2} | {key.name: 1 for key in rest}

    asleep, after = scene.one("claimed"), scene.one("after")
    with scene.ground.held(asleep, point="claim"):
        scene.change(asleep)
        scene.ground.wait_held(asleep, point="claim")
        other = _overtaken(scene, sleeper, asleep, point="claim")
    scene.change(after)  # only the sleeper has a free loop: when this ran, it has gone on
    scene.ground.settle([after])
    scene.ground.diary.open("run", asleep.name, pid=other.pid)
    scene.settle()
    scene.expected |= {asleep.name: 1, after.name: 1}


def _overtaken(scene: Scene, sleeper: Worker, key: WorkloadKey, *, point: str) -> Worker:
    """Let it sleep at a point until another worker runs its key; return that one, held there."""
    diary = scene.ground.diary
    with scene.ground.stopped(sleeper):
        scene.count("SIGSTOP past the lease")
        scene.change(key)
        other = scene.start()
        diary.shut("run", key.name, pid=other.pid)
        diary.open(point, key.name)
        scene.ground.wait_held(key, pid=other.pid)
    return other


def _warm(scene: Scene) -> Worker:
    """Return a worker that has seen quick runs, so that it claims in batches."""
    worker = scene.start(run_s=0.0)
    warm = scene.many(20, "warm")
    for key in warm:
        scene.change(key)
    scene.ground.settle(warm)
    return worker


def _together(scene: Scene, worker: Worker, batch: list[WorkloadKey]) -> None:
    """Let the worker find all the keys at once."""
    with scene.ground.stopped(worker):
        for key in batch:
            scene.change(key)


def _refused(scene: Scene, worker: Worker, key: str) -> None:
    """Wait until a completion of that worker was answered, which must be a refusal."""
    diary = scene.ground.diary

    def verdicts() -> list[str]:
        return [
            event.kind
            for event in diary.events()
            if event.pid == worker.pid
            and event.key == key
            and event.kind in ("accepted", "refused", "unknown")
        ]

    scene.ground.until(verdicts, f"the sleeper hears about {key}")
    scene.promise(verdicts() == ["refused"], f"{key}: the sleeper's completion is refused")


def a_worker_is_cut_off(scene: Scene) -> None:
    """Hold its network past the lease: what it sent arrives late, and is refused."""
    port = int(scene.ground.server.url.rpartition(":")[2].partition("/")[0])
    slow = scene.one("slow")
    with Cable(port) as cable:
        far = scene.start(url=cable.url)
        with scene.ground.held(slow):
            scene.change(slow)
            scene.ground.wait_held(slow)
            with scene.ground.excused(far):
                cable.become("held")
                scene.count("network held past the lease")
                scene.change(slow)
                scene.ground.diary.open("run", slow.name)
                scene.start()
                scene.ground.settle([slow])  # the far one waits for its answer still
        cable.become("whole")
        _refused(scene, far, slow.name)
        _flap(scene, far, cable)
    scene.expected |= {slow.name: 2}


def _flap(scene: Scene, far: Worker, cable: Cable) -> None:
    """Break its network again and again while it works: replies are lost, and connections."""
    keys = scene.many(60, "flap")
    with scene.changing(keys):
        for number in range(max(2, int(6 * scene.size))):
            scene.progress(40, 20)
            with scene.ground.excused(far):
                if number % 2:
                    cable.become("swallows")
                    scene.ground.passes(LEASE_S / 10)
                cable.become("cut")
                scene.count("network cut")
                scene.ground.passes(LEASE_S / 4 if number % 3 else BEYOND_S)
                cable.become("whole")
    scene.settle()
