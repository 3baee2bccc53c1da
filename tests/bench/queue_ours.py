"""A worker of ours for the benchmark: `python -m tests.bench.queue_ours JSON`.

The product's host, lease, loop, log lines and metrics over a reconcile that does nothing, waits, or
hangs. It works until SIGTERM, and then leaves its report.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from pathlib import Path

import msgspec

from common.model.redis_address import parse_redis_url
from common.ops import logs, metrics
from common.ops.startup import stop_on_signals
from common.queue.contract import Claim, Finished, Settled
from common.state.connect import connect
from common.state.names import Names
from tests.bench.queue_order import FRESH, Order, report_of, write
from tests.queue_values import judged
from worker.counted import counted
from worker.host import Crew, Host
from worker.metrics import WorkerMetrics
from worker.ports import Ports

_DONE = Settled(fingerprint="5f0c2ba1e9d3476c", epoch=1, outcome="Converged")


def main(order: Order) -> int:
    """Work until SIGTERM, as one process of the product with one loop does."""
    logs.configure(log_format="json", level="info", component="worker-reconcile")
    ran: Counter[str] = Counter()
    stamps: dict[str, float] = {}

    def reconcile(claim: Claim) -> Finished:
        name = str(claim.key).rpartition("/")[2]
        if name.startswith(FRESH):
            stamps[name] = time.monotonic()
        if order.hang_after and ran.total() == order.hang_after:
            write(report_of(ran), Path(order.report))
            threading.Event().wait()
        if order.run_s:
            time.sleep(order.run_s)
        ran[name] += 1
        return Finished(outcome=_DONE)

    stopping = threading.Event()
    stop_on_signals(stopping.set)
    registry = metrics.new_registry(component="worker-reconcile", version="0")
    counters = WorkerMetrics(registry, ("reconcile",))
    with connect(parse_redis_url(order.url)) as client:
        host = Host(
            client,
            Names(order.cluster),
            ports=Ports(monotonic_s=time.monotonic, judge=judged, hooks=counters),
        )
        crew = Crew(pool="reconcile", loops=1, reconcile=counted(reconcile, counters))
        drained = host.run([crew], stopping)
    write(report_of(ran, stamps), Path(order.report))
    return 0 if drained else 1


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=Order)))
