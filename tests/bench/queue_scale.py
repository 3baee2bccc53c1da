"""64 worker processes whose work is a wait of 100 ms: what the coordination costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from common.queue.contract import Add
from common.state.names import Names
from sandbox.processes import Process
from tests.bench.process_tree import Others, cpu_seconds_of
from tests.bench.queue_order import Order, faults, read
from tests.bench.queue_server import CLUSTER, Load, Server
from tests.bench.queue_sides import keys_of

WORKERS = 64
RUN_S = 0.1
IDEAL = WORKERS / RUN_S  # keys a second
_ROUNDS = 100  # runs of each worker: 10 s, so that the last round weighs 1 %
_KEYS = WORKERS * _ROUNDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One run."""

    rate: float  # keys a second, from the add to the last completion
    load: Load  # of Redis; what the benchmark asked is left out
    workers_cpu_s: float  # of all workers together
    others_cores: float  # busy with something else meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Workers that were started once, for all runs."""

    start_s: float
    start_cpu_s: float
    runs: list[Scale]
    faults: list[str]


def scale(server: Server, runs: int) -> Fleet:
    """Start the workers, then run keys through them `runs` times; each key must run once a time."""
    server.clear()
    reports = [server.file("scale") for _ in range(WORKERS)]
    began_s = time.monotonic()
    workers = [
        server.start_ours(Order(url=server.url, cluster=CLUSTER, report=str(report), run_s=RUN_S))
        for report in reports
    ]
    leases = Names(CLUSTER).own("leases")
    server.wait(workers[-1], lambda: server.redis.zcard(leases) == WORKERS, every_s=0.05)
    start_s, start_cpu_s = time.monotonic() - began_s, _cpu_s(workers)
    measured = [_run(server, workers, number) for number in range(runs)]
    for worker in workers:
        worker.stop()
    wrong = faults(
        [read(report) for report in reports], keys=_KEYS * runs, who=f"{WORKERS} workers"
    )
    return Fleet(start_s=start_s, start_cpu_s=start_cpu_s, runs=measured, faults=wrong)


def _run(server: Server, workers: list[Process], number: int) -> Scale:
    names = Names(CLUSTER)
    keys = keys_of(_KEYS * (number + 1))[_KEYS * number :]  # of no earlier run
    others = Others()
    cpu_s, before, polls = _cpu_s(workers), server.load(), server.own_polls
    began_s = time.monotonic()
    server.queue().add([Add(key=key, cause="created") for key in keys])
    left = (
        ("LLEN", names.rq("queue", "reconcile", 0)),
        ("ZCARD", names.rq("wip", "reconcile", 0)),
    )
    server.wait(workers[0], lambda: server.left(*left) == 0, every_s=0.01)
    took_s = time.monotonic() - began_s
    load, polls = server.load().since(before), server.own_polls - polls
    return Scale(
        rate=_KEYS / took_s,
        load=Load(
            at=took_s,
            commands=load.commands - 2 * polls,
            reads=load.reads - polls - 1,
            cpu_s=load.cpu_s,
        ),
        workers_cpu_s=_cpu_s(workers) - cpu_s,
        others_cores=others.cores(),
    )


def _cpu_s(workers: list[Process]) -> float:
    return cpu_seconds_of(worker.pid for worker in workers)
