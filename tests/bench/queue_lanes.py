"""How long a fresh key waits for its run behind 50,000 bulk keys, while one worker works."""

from __future__ import annotations

import time
from dataclasses import dataclass

from common.model.key import WorkloadKey
from common.queue.contract import Add, Lane
from common.state.names import Names
from tests.bench.queue_order import FRESH, Order, read
from tests.bench.queue_rows import percentile
from tests.bench.queue_server import CLUSTER, Server

_WAITING = 50_000
_SAMPLES = 400
_EVERY_S = 0.01
_MARGIN = 60_000  # more bulk keys than a worker can run meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """One run."""

    p50_s: float
    p99_s: float
    samples: int
    least_waiting: int  # bulk keys that still waited at the last sample
    faults: list[str]


def waits(server: Server, *, run_s: float) -> Waits:
    """Add a fresh key every 10 ms while a worker works the bulk lane; a bulk run takes `run_s`."""
    server.clear()
    queue = server.queue()
    bulk = _WAITING + (_MARGIN if run_s == 0 else int(2 * _SAMPLES * _EVERY_S / run_s))
    keys = [_key(f"bulk-{number:06}") for number in range(bulk)]
    queue.add([Add(key=key, lane=Lane.BULK, cause="swept") for key in keys])
    report = server.file("lanes")
    order = Order(url=server.url, cluster=CLUSTER, report=str(report), run_s=run_s)
    process = server.start_ours(order)
    lane = ("LLEN", Names(CLUSTER).rq("queue", "reconcile", Lane.BULK))
    server.wait(process, lambda: server.left(lane) < bulk)
    added: dict[str, float] = {}
    while len(added) < _SAMPLES and (left := server.left(lane)) > _WAITING:
        name = f"{FRESH}{len(added)}"
        added[name] = time.monotonic()
        queue.add([Add(key=_key(name), cause="changed")])
        time.sleep(_EVERY_S)
    jobs = [Names(CLUSTER).job(_key(name)) for name in added]
    server.wait(process, lambda: server.redis.exists(*jobs) == 0)
    process.stop()
    told = read(report)
    took = [told.stamps[name] - at for name, at in added.items() if name in told.stamps]
    left = sum(depth.queued for depth in queue.depth().values())
    wrong = len(took) != len(added) or told.most != 1 or told.keys + left != bulk + len(added)
    fault = f"lanes: {len(took)} of {len(added)} fresh keys ran, {told.keys} in all, {left} left"
    return Waits(
        p50_s=percentile(took, 0.5),
        p99_s=percentile(took, 0.99),
        samples=len(took),
        least_waiting=left,
        faults=[fault] if wrong else [],
    )


def _key(name: str) -> WorkloadKey:
    return WorkloadKey(kind="ReplicaSet", namespace="shop", name=name)
