"""Scenes with the product's own reconciler: reports at a real API server, and two generations."""

from __future__ import annotations

import random
from collections.abc import Callable

from common.model.key import WorkloadKey
from tests.bench.torture_cable import Cable
from tests.bench.torture_ground import Worker
from tests.bench.torture_report_scene import NEW, OLD, ReportScene
from tests.bench.torture_scene import BEYOND_S, LEASE_S, Scene

_BELIEVED_S = 1.3  # a published epoch is believed for a second


def a_writer_sleeps(scene: ReportScene) -> None:
    """Stop a worker in four runs at once, let others write, and let it go on, in vain.

    One has read its row, one its report, one is about to replace and one to create a report.
    """
    points = {"row": "row", "read": "read", "write": "write", "new": "write"}
    keys = {name: scene.one(name) for name in points}
    old = scene.start(loops=len(keys))
    for name in ("row", "read", "write"):
        scene.change(keys[name])
    scene.settle()
    for name, point in points.items():
        scene.ground.diary.shut(point, keys[name].name)
        scene.change(keys[name])
    for name, point in points.items():
        scene.ground.wait_held(keys[name], point=point)
    with scene.ground.stopped(old):
        scene.count("SIGSTOP past the lease")
        for name, point in points.items():
            scene.change(keys[name])
            scene.ground.diary.open(point, keys[name].name)
        scene.start(loops=len(keys))
        scene.settle()
    scene.ground.until(lambda: _refusals(scene, old) == len(keys), "the sleeper's ends are refused")
    scene.settle()


def _refusals(scene: Scene, worker: Worker) -> int:
    events = scene.ground.diary.events()
    return sum(event.kind == "refused" and event.pid == worker.pid for event in events)


def two_generations(scene: ReportScene) -> None:
    """Roll out another generation, and back.

    The one that is not published stands back; none stamps with the other's number, or touches what
    a later one wrote.
    """
    keys = [steady, late, newer] = [scene.one(name) for name in ("steady", "late", "newer")]
    old = scene.start(severities=OLD)
    for key in keys:
        scene.change(key)
    scene.settle()
    with scene.ground.held(late, point="row"):
        scene.change(late)
        scene.ground.wait_held(late, point="row")
        scene.publish(NEW)
        scene.ground.passes(_BELIEVED_S)
    scene.settle()
    before = _begun(scene, old)
    scene.change(steady)
    scene.start(severities=NEW)
    scene.settle()
    _write_as_a_later_generation(scene, newer)
    for key in keys:
        scene.change(key)
    scene.settle()
    scene.promise(_begun(scene, old) == before, "the old generation began nothing while it stood")
    scene.publish(OLD)
    scene.count("generations published", 3)
    scene.ground.passes(_BELIEVED_S)
    scene.change(steady)
    scene.settle()
    scene.promise(_begun(scene, old) > before, "the old generation works again")


def _begun(scene: Scene, worker: Worker) -> int:
    events = scene.ground.diary.events()
    return sum(event.kind == "began" and event.pid == worker.pid for event in events)


def _write_as_a_later_generation(scene: ReportScene, key: WorkloadKey) -> None:
    """Replace a report as a release would that nobody here has heard of."""
    path = f"{scene.reported.reports_path}/pod-{key.name}-app"
    annotations = scene.reported.api.get(path)["metadata"]["annotations"]
    stamp = annotations["kube-sluice/stamp"].replace('"epoch":', '"epoch":1000')
    later = {"metadata": {"annotations": {"kube-sluice/stamp": stamp}}}
    scene.reported.api.patch(path, later)


def everything_at_once(scene: ReportScene) -> None:
    """Keep reports true under every fault, in any order."""
    keys = scene.many(16, "pod")
    ground = scene.ground
    port = int(ground.server.url.rpartition(":")[2].partition("/")[0])
    with Cable(port) as cable:
        far = scene.start(url=cable.url)
        near = [scene.start(), scene.start()]
        faults: list[Callable[[], None]] = [
            lambda: _kill(scene, near),
            lambda: _sleep(scene, scene.dice.choice(near)),
            lambda: _cut(scene, far, cable),
            lambda: _kill_redis(scene),
            lambda: _stop_redis(scene),
        ]
        with scene.changing(keys):
            for _ in range(max(1, int(2 * scene.size))):
                for fault in scene.dice.sample(faults, len(faults)):
                    scene.progress(20, 20)
                    fault()
        scene.settle()


def _kill(scene: Scene, near: list[Worker]) -> None:
    place = scene.dice.randrange(len(near))
    scene.ground.kill(near[place])
    scene.count("SIGKILL of a worker")
    near[place] = scene.start()


def _sleep(scene: Scene, worker: Worker) -> None:
    with scene.ground.stopped(worker):
        scene.count("SIGSTOP past the lease")
        scene.ground.passes(BEYOND_S)


def _cut(scene: Scene, far: Worker, cable: Cable) -> None:
    with scene.ground.excused(far):
        cable.become(random.Random(scene.changes).choice(("held", "swallows")))  # noqa: S311
        scene.count("network cut")
        scene.ground.passes(LEASE_S)
        cable.become("cut")
        scene.ground.passes(LEASE_S)
        cable.become("whole")


def _kill_redis(scene: Scene) -> None:
    scene.ground.server.kill()
    scene.count("kill -9 of Redis")
    scene.ground.server.restart()


def _stop_redis(scene: Scene) -> None:
    with scene.ground.redis_stopped():
        scene.count("SIGSTOP of Redis past the lease")
        scene.ground.passes(BEYOND_S)
