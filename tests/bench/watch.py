"""The watcher: what it costs to see everything, and whether it passes on what matters, no more.

CPU and the owner index are measured against other clients of the same real API server, in the same
run; counts and memory at 50,000 workloads against a scripted server, which only the watcher asks.
Each part starts `python -m watcher`: the whole of it, with a Redis beside it.
"""

from __future__ import annotations

import os
import sys

from common.kube.cluster import Cluster
from common.kube.session import Session
from common.reports.crds import definitions
from sandbox.controlplane import PROGRAMS, ControlPlane
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.programs import find
from sandbox.valkey import Valkey
from tests.bench import (
    watch_cpu,
    watch_encodings,
    watch_index,
    watch_memory,
    watch_precision,
    watch_restart,
)

RUNS = 3


def run(runs: int = RUNS) -> dict[str, object]:
    """Measure; `ok` tells whether the results were right, never how fast they came.

    Raises PreconditionError when a program cannot be had.
    """
    rows: list[dict[str, object]] = []
    right: dict[str, bool] = {}

    def keep(part: str, found: tuple[list[dict[str, object]], bool]) -> None:
        rows.extend(found[0])
        right[part] = found[1]
        _say(f"{part}: {'right' if found[1] else 'WRONG'}")

    with Place() as place, Stack() as stack:
        plane = ControlPlane(place, find(PROGRAMS, say=_say), stack).start()
        valkey = Valkey(place, stack).start()
        _install(plane)
        keep("cpu", watch_cpu.measure(place, plane, valkey, windows=runs, say=_say))
        keep("precision", watch_precision.measure(place, plane, valkey, say=_say))
        keep("index", watch_index.measure(plane, runs=runs, say=_say))
        with watch_encodings.populated(plane) as bench:
            keep("encodings", watch_encodings.measure(bench, runs=runs))
    with Place() as place, Stack() as stack:
        valkey = Valkey(place, stack).start()
        keep("restart", watch_restart.measure(place, valkey, say=_say))
        keep("memory", watch_memory.measure(place, valkey, say=_say))
    faults = sorted(part for part, is_right in right.items() if not is_right)
    return {
        "name": "watch",
        "machine": {"cores": os.cpu_count()},
        "rows": rows,
        "ok": not faults,
        "faults": faults,
    }


def _install(plane: ControlPlane) -> None:
    session = Session.from_kubeconfig(str(plane.kubeconfig))
    try:
        Cluster(session).install_crds(definitions())
    finally:
        session.close()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
