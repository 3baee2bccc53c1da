"""The workqueue's speed: against rq, saq and arq in the same run, and what 64 workers cost.

Every system runs a no-op job in one worker process of its own on the same Valkey (unix socket,
append-only file, no eviction); ours is the product's host with lease, fencing, ledger, log lines
and metrics. The runs of the systems take turns. Each measurement counts how often each key ran, and
a count that is not what it should be makes the result wrong; slowness never does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.bench import queue_rows
from tests.bench.process_tree import Others
from tests.bench.queue_adds import Adds, adds_of_ours, adds_of_rq
from tests.bench.queue_crash import LEASE_S, Recovery, recoveries
from tests.bench.queue_lanes import Waits, waits
from tests.bench.queue_scale import IDEAL, WORKERS, Fleet, scale
from tests.bench.queue_server import Server
from tests.bench.queue_sides import sides
from tests.bench.queue_through import Through, through

RUNS = 3  # about four minutes
_RUN_GOALS = {"rq": 20.0, "saq": 3.0, "arq": 3.0}
_ADD_GOAL, _BYTES_GOAL, _SCALE_GOAL = 20.0, 3.0, 0.95
_BULK_RUNS_S = {"": 0.0, "-1ms": 0.001}  # what a bulk run takes, by the name in the case

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything, run by run."""

    through: Mapping[str, Sequence[Through]]  # by system
    labels: Mapping[str, str]  # of systems
    adds: Sequence[Adds]
    adds_of_rq: Sequence[Adds]
    waits: Mapping[str, Sequence[Waits]]
    recoveries: Sequence[Recovery]
    fleet: Fleet
    others_cores: float  # busy with something else, on average over everything


def run(runs: int = RUNS) -> dict[str, object]:
    """Measure; `ok` tells whether the results were right, never how fast they came.

    Raises PreconditionError when there is no server, or no environment for saq or arq.
    """
    measured = measure(runs)
    wrong = list(faults(measured))
    for fault in wrong:
        _say(f"WRONG: {fault}")
    return {
        "name": "queue",
        "machine": {"cores": os.cpu_count(), "lease_s": LEASE_S},
        "rows": rows(measured),
        "ok": not wrong,
        "faults": wrong,
    }


def measure(runs: int) -> Measured:
    """Do everything `runs` times, the systems in turn."""
    systems = sides()
    found: dict[str, list[Through]] = {side.name: [] for side in systems}
    ours, of_rq = [], []
    lanes: dict[str, list[Waits]] = {name: [] for name in _BULK_RUNS_S}
    others = Others()
    with Server() as server:
        for number in range(1, runs + 1):
            _say(f"run {number} of {runs}")
            for side in systems:
                found[side.name].append(through(server, side))
            ours.append(adds_of_ours(server))
            of_rq.append(adds_of_rq(server))
            for name, run_s in _BULK_RUNS_S.items():
                lanes[name].append(waits(server, run_s=run_s))
        _say(f"killing workers ({LEASE_S:g} s of lease)")
        recovered = recoveries(server, runs)
        _say(f"starting {WORKERS} workers")
        fleet = scale(server, runs)
        others_cores = others.cores()
    return Measured(
        through=found,
        labels={side.name: side.label for side in systems},
        adds=ours,
        adds_of_rq=of_rq,
        waits=lanes,
        recoveries=recovered,
        fleet=fleet,
        others_cores=others_cores,
    )


def faults(measured: Measured) -> Iterator[str]:
    """Yield what is wrong in any run. Pure."""
    for several in measured.through.values():
        yield from (fault for one in several for fault in one.faults)
    for adds in (*measured.adds, *measured.adds_of_rq):
        yield from adds.faults
    for lanes in measured.waits.values():
        yield from (fault for one in lanes for fault in one.faults)
    yield from (fault for one in measured.recoveries for fault in one.faults)
    yield from measured.fleet.faults


def rows(measured: Measured) -> list[Row]:
    """Return all rows: the medians, with the smallest and the largest. Pure."""
    return [
        *_through_rows(measured),
        *_cost_rows(measured),
        *_add_rows(measured),
        *_lane_rows(measured),
        *_crash_rows(measured.recoveries),
        *_scale_rows(measured.fleet),
        queue_rows.row(
            "others-cores", [measured.others_cores], unit="cores", beside="busy with something else"
        ),
    ]


def _through_rows(measured: Measured) -> Iterator[Row]:
    for name, goal in _RUN_GOALS.items():
        yield queue_rows.against(
            f"run-vs-{name}",
            [one.rate for one in measured.through["ours"]],
            [one.rate for one in measured.through[name]],
            name=measured.labels[name],
            unit="keys/s",
            goal=goal,
        )


def _cost_rows(measured: Measured) -> Iterator[Row]:
    costs: dict[str, tuple[str, Callable[[Through], float]]] = {
        "commands-vs-rq": ("commands a key", lambda one: one.load.commands / one.keys),
        "round-trips-vs-rq": ("round trips a key", lambda one: one.load.reads / one.keys),
        "redis-cpu-vs-rq": ("us a key", lambda one: one.load.cpu_s / one.keys * 1e6),
        "worker-cpu-vs-rq": ("us a key", lambda one: one.cpu_s / one.keys * 1e6),
    }
    for case, (unit, cost) in costs.items():
        yield queue_rows.against(
            case,
            [cost(one) for one in measured.through["ours"]],
            [cost(one) for one in measured.through["rq"]],
            name=measured.labels["rq"],
            unit=unit,
            less_is_better=True,
        )


def _add_rows(measured: Measured) -> Iterator[Row]:
    ours, theirs = measured.adds, measured.adds_of_rq
    against = partial(queue_rows.against, name="rq enqueue(unique=True)")
    new, duplicate = [one.new for one in theirs], [one.duplicate for one in theirs]
    each = [one.bytes_each for one in theirs]
    yield against("add-vs-rq-unique", [one.new for one in ours], new, unit="adds/s", goal=_ADD_GOAL)
    yield against("add-with-row-vs-rq-unique", [one.with_row for one in ours], new, unit="adds/s")
    yield against(
        "duplicate-vs-rq-unique",
        [one.duplicate for one in ours],
        duplicate,
        unit="adds/s",
        goal=_ADD_GOAL,
    )
    memory = partial(against, unit="bytes", less_is_better=True)
    yield memory("bytes-vs-rq", [one.bare_bytes_each for one in ours], each, goal=_BYTES_GOAL)
    yield memory("bytes-with-fact-vs-rq", [one.bytes_each for one in ours], each)


def _lane_rows(measured: Measured) -> Iterator[Row]:
    for name, several in measured.waits.items():
        samples, least = (
            min(one.samples for one in several),
            min(one.least_waiting for one in several),
        )
        beside = f"{samples} keys a run, behind {least:,} or more"
        for share, took in (
            ("p50", [one.p50_s for one in several]),
            ("p99", [one.p99_s for one in several]),
        ):
            yield queue_rows.row(f"fresh-behind-bulk{name}-{share}", took, unit="s", beside=beside)


def _crash_rows(recovered: Sequence[Recovery]) -> Iterator[Row]:
    held = min(one.held for one in recovered)
    yield queue_rows.row(
        "recovery-after-kill",
        [one.took_s for one in recovered],
        unit="s",
        beside=f"{held} claims, lease of {LEASE_S:g} s",
    )
    yield queue_rows.row(
        "recovery-lease-share",
        [one.lease_s / one.took_s for one in recovered],
        unit="of it",
        beside="until the lease ended; then until a heartbeat of another worker",
    )


def _scale_rows(fleet: Fleet) -> Iterator[Row]:
    yield queue_rows.against(
        f"overhead-{WORKERS}-workers",
        [one.rate for one in fleet.runs],
        [IDEAL],
        name="ideal",
        unit="keys/s",
        goal=_SCALE_GOAL,
    )
    per = f"-{WORKERS}-workers"
    for case, values, unit in (
        ("redis-cpu", [one.load.cpu_s / one.load.at for one in fleet.runs], "cores"),
        ("others", [one.others_cores for one in fleet.runs], "cores"),
        ("workers-cpu", [one.workers_cpu_s / one.load.at for one in fleet.runs], "cores"),
        ("commands", [one.load.commands / one.load.at / one.rate for one in fleet.runs], "a key"),
        ("round-trips", [one.load.reads / one.load.at / one.rate for one in fleet.runs], "a key"),
        ("start", [fleet.start_s], "s"),
        ("start-cpu", [fleet.start_cpu_s], "s"),
    ):
        yield queue_rows.row(f"{case}{per}", values, unit=unit)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
