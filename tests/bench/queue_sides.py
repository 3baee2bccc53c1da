"""The systems that are compared: how each is filled, run, and seen to be done."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rq import Queue

from common.model.key import WorkloadKey
from common.queue.contract import Add
from common.state.names import Names
from tests.bench.queue_noop import noop
from tests.bench.queue_order import Order
from tests.bench.queue_server import CLUSTER, Server
from tests.bench.queue_venv import python_with

_PART = 500
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One system with its no-op job."""

    name: str
    label: str
    keys: int  # of one run: some seconds of work
    fill: Callable[[Server, int], None]
    argv: Callable[[Server, Path], tuple[str, ...]]  # of its worker process
    left: tuple[tuple[str, str], ...]  # commands that count the keys that are not done
    ends: bool  # its worker ends by itself when nothing is left


def keys_of(count: int) -> list[WorkloadKey]:
    """Return that many keys with names of usual length."""
    return [
        WorkloadKey(kind="ReplicaSet", namespace="shop", name=f"web-{number:06}")
        for number in range(count)
    ]


def sides() -> tuple[Side, ...]:
    """Return ours and the three it is compared with; makes missing environments.

    Raises PreconditionError when an environment cannot be made.
    """
    return (ours(), _rq(), _foreign("saq", keys=6_000), _foreign("arq", keys=6_000))


def ours() -> Side:
    """Return our own queue."""
    names = Names(CLUSTER)

    def fill(server: Server, count: int) -> None:
        server.queue().add([Add(key=key, cause="created") for key in keys_of(count)])

    def argv(server: Server, report: Path) -> tuple[str, ...]:
        order = Order(url=server.url, cluster=CLUSTER, report=str(report))
        text = msgspec.json.encode(order).decode()
        return (sys.executable, "-m", "tests.bench.queue_ours", text)

    lane = (names.rq("queue", "reconcile", 0), names.rq("wip", "reconcile", 0))
    return Side(
        name="ours",
        label="ours",
        keys=40_000,
        fill=fill,
        argv=argv,
        left=(("LLEN", lane[0]), ("ZCARD", lane[1])),
        ends=False,
    )


def _rq() -> Side:
    def fill(server: Server, count: int) -> None:
        queue = Queue("default", connection=server.redis)
        jobs = [
            Queue.prepare_data(noop, (str(key),), job_id=Names(CLUSTER).job_id(key))
            for key in keys_of(count)
        ]
        for start in range(0, count, _PART):
            queue.enqueue_many(jobs[start : start + _PART])

    def argv(server: Server, report: Path) -> tuple[str, ...]:
        return (sys.executable, "-m", "tests.bench.queue_rq", server.url, str(report))

    return Side(
        name="rq",
        label="rq SimpleWorker",
        keys=1_500,
        fill=fill,
        argv=argv,
        left=(("LLEN", "rq:queue:default"), ("ZCARD", "rq:wip:default")),
        ends=True,
    )


def _foreign(name: str, *, keys: int) -> Side:
    """Return a side whose code runs in an environment of its own."""
    # Not isolated from this folder, its `queue` would stand before the standard library's.
    program = (str(python_with(name)), "-P", str(_HERE / f"queue_{name}.py"))

    def fill(server: Server, count: int) -> None:
        subprocess.run([*program, "fill", server.url, str(count)], check=True)

    def argv(server: Server, report: Path) -> tuple[str, ...]:
        return (*program, "work", server.url, str(report))

    left = {"saq": "saq:default:incomplete", "arq": "arq:queue"}[name]
    return Side(
        name=name,
        label=name,
        keys=keys,
        fill=fill,
        argv=argv,
        left=(("ZCARD", left),),
        ends=name == "arq",
    )
