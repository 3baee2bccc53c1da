"""Pulls of a cold cluster: 1,000 workloads on 50 images with common layers, one worker killed.

Eight scan workers, each with a scanner of its own, meet the queue at once; one of them is killed
with its scanner in the middle of a pull. Counted are requests and bytes by the registry's own log,
against what nobody can go below: each manifest, configuration and layer once. Beside it, the same
with Trivy pulling by itself.

Not measured here: a network that is far (blobs come 0.3 s late), a registry that asks for a login.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from common.model.errors import PreconditionError
from sandbox.faults import Slow
from sandbox.place import Place
from sandbox.processes import Stack
from tests.bench.images_content import Minimum, images, minimum
from tests.bench.images_world import Pair, World, build

RUNS = 1  # a run takes a minute or two
IMAGES, WORKLOADS, WORKERS = 50, 1_000, 8
_GOAL = 0.91
_LIMIT = 1.1
_FAR_S = 0.3  # every blob comes this late: pulls overlap, as they do where a registry is far
_LONG_S = 600.0
_LEDGER = 100_000  # more facts than a run makes


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    images: int = IMAGES
    workloads: int = WORKLOADS
    workers: int = WORKERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulls:
    """What one run gave."""

    size: Size
    minimum: Minimum
    requests: int
    bytes: int
    killed: int  # claims that the killed worker left behind
    inventories: int
    waits: int  # runs that ended because another held a layer
    images: int  # with a record
    reports: int
    seconds: float


def run(runs: int = RUNS) -> dict[str, object]:
    """Measure; `ok` tells whether the results were right, never how fast they came."""
    size = Size(images=int(os.environ.get("SLUICE_BENCH_IMAGES", str(IMAGES))))
    once = [play(size, say=_say) for _ in range(runs)]
    alone = play(size, SLUICE_PULL_PROXY="false", say=_say)
    faults = [fault for one in once for fault in faults_of(one)]
    for fault in faults:
        _say(f"WRONG: {fault}")
    return {
        "name": "images",
        "machine": {"cores": os.cpu_count(), "workers": size.workers},
        "rows": rows(once, alone),
        "ok": not faults,
        "faults": faults,
    }


def play(size: Size, *, say: object = None, **environ: str) -> Pulls:
    """Play one run in a fresh world. Raises PreconditionError when that cannot be had."""
    tell = say if callable(say) else (lambda _: None)
    with Place() as place, Stack() as stack:
        world = build(place, stack, number=size.images, workloads=size.workloads, say=tell)
        world.start("control", "worker", SLUICE_WORKER_POOLS="match,reconcile", **environ)
        world.start("watcher", "watcher")
        if not world.await_until(
            lambda: len(world.images.keys()) >= size.images, timeout_s=_LONG_S
        ):
            raise PreconditionError("the watcher has not seen the images")
        tell(f"starting {size.workers} scan workers")
        began_s = time.monotonic()
        with world.registry.fail(
            Slow(delay_s=_FAR_S), kind="blob", method="GET", repository="sample/*"
        ):
            pairs = [world.start_pair(number, **environ) for number in range(size.workers)]
            _kill_one(world, pairs)
            world.await_until(lambda: world.known() >= size.images, timeout_s=_LONG_S)
        world.await_until(lambda: world.reports() >= size.workloads, timeout_s=_LONG_S)
        return _counted(world, size, time.monotonic() - began_s)


def _kill_one(world: World, pairs: Sequence[Pair]) -> None:
    """Kill a worker with its scanner while it pulls, and wait until that was noticed."""
    victims: list[Pair] = []

    def found() -> bool:
        victims[:] = [pair for pair in pairs if pair.pulls]
        return bool(victims) and world.known() > 0

    world.await_until(found, timeout_s=_LONG_S)
    victims[0].kill()
    world.await_until(lambda: world.ledger.counts()["released"] > 0, timeout_s=60)


def _counted(world: World, size: Size, seconds: float) -> Pulls:
    requests = world.requests()
    counts = world.ledger.counts()
    return Pulls(
        size=size,
        minimum=minimum(images(size.images)),
        requests=len(requests),
        bytes=sum(one.bytes for one in requests),
        killed=counts["released"],
        inventories=counts["inventoried"],
        waits=sum(
            fact.kind == "waiting" and fact.data.get("reason") == "LayersLeased"
            for _, fact in world.ledger.tail(_LEDGER)
        ),
        images=world.known(),
        reports=world.reports(),
        seconds=seconds,
    )


def faults_of(one: Pulls) -> list[str]:
    """Return what is wrong with a run. Pure."""
    faults = []
    if one.images < one.size.images:
        faults.append(f"{one.size.images - one.images} images were lost")
    if one.reports < one.size.workloads:
        faults.append(f"{one.size.workloads - one.reports} workloads have no report")
    if not one.killed:
        faults.append("the worker was killed when it had nothing to do")
    for what, ours, least in (
        ("requests", one.requests, one.minimum.requests),
        ("bytes", one.bytes, one.minimum.bytes),
    ):
        if ours > _LIMIT * least:
            faults.append(f"{ours} {what} to the registry; {least} are enough")
    return faults


def rows(once: Sequence[Pulls], alone: Pulls) -> list[dict[str, object]]:
    """Return the rows: the smallest possible number over ours. Pure."""
    return [
        _row(
            "registry-requests",
            "requests",
            [(one.requests, one.minimum.requests) for one in once],
            beside=f"Trivy by itself {alone.requests}",
        ),
        _row(
            "registry-bytes",
            "bytes",
            [(one.bytes, one.minimum.bytes) for one in once],
            beside=f"Trivy by itself {alone.bytes:,}",
        ),
        _plain("lost-keys", "keys", [one.size.images - one.images for one in once]),
        _plain("waits", "runs", [one.waits for one in once]),
        _plain(
            "until-the-last-report",
            "s",
            [one.seconds for one in once],
            beside=f"Trivy by itself {alone.seconds:.1f}",
        ),
    ]


def _row(
    case: str, unit: str, values: Sequence[tuple[int, int]], *, beside: str
) -> dict[str, object]:
    ours = sorted(one for one, _ in values)
    least = values[0][1]
    middle = ours[len(ours) // 2]
    return {
        **_plain(case, unit, ours, beside=beside),
        "ours": middle,
        "baseline": least,
        "baseline_name": "each manifest, configuration and layer once",
        "ratio": least / middle if middle else None,
        "goal": _GOAL,
    }


def _plain(case: str, unit: str, values: Sequence[float], *, beside: str = "") -> dict[str, object]:
    ours = sorted(values)
    return {
        "case": case,
        "ours": ours[len(ours) // 2],
        "baseline": None,
        "baseline_name": None,
        "unit": unit,
        "ratio": None,
        "goal": None,
        "runs": len(ours),
        "spread": [ours[0], ours[-1]],
        "beside": beside,
    }


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
