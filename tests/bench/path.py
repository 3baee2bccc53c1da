"""Time to truth: from a Deployment's creation to the last of its three reports.

40 Deployments on 8 images in 6 namespaces, created as fast as the API server answers, while the
product is running and synced with a database: the workload with which the peer was measured. On a
real node where this host can run one, else with the stand-in for the kubelet, and it says so.

Each run has a world of its own, so nothing is cached from one to the next. Beside it, and in turn,
the same Deployments are created on a node without the product: what a report of what runs cannot
beat. Not measured here: a
network that is far, larger images, the real vulnerability database.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Sequence

from sandbox import node_host
from tests.bench import path_check, path_stages
from tests.bench.path_run import Run, play, play_alone

RUNS = 1  # a run takes about 40 s; the numbers in the docs are medians of three
# The peer on a machine of the same size (docs/benchmarks.md): defaults, and tuned.
_PEER_DEFAULT = {"p50": 71.5, "p99": 111.8}
_PEER_TUNED = {"p50": 22.3, "p99": 40.9}
_AIM = {"p50": 4.4, "p99": 8.2}  # a fifth of the tuned peer's
_SHARES = (("p50", 0.5), ("p99", 0.99))
_PEER_CPU_S = "1.0 to 2.8"
_PEER_API = "16.5 by the operator, 55 by all that it sets going"
_PEER_REGISTRY = "355 requests"


def run(runs: int = RUNS) -> dict[str, object]:
    """Measure; `ok` tells whether the results were right, never how fast they came.

    Raises PreconditionError when not even the stand-in can be had.
    """
    node = _has_node()
    played, alone = [], []
    for _ in range(runs):
        played.append(play(node=node, say=_say))
        if node:
            alone.append(play_alone(say=_say))
    faults = [fault for one in played for fault in path_check.faults(one)]
    for fault in faults:
        _say(f"WRONG: {fault}")
    return {
        "name": "path",
        "machine": {"cores": os.cpu_count(), "kubelet": "real" if node else "stand-in"},
        "rows": [] if faults else [*rows(played), *alone_rows(alone)],
        "ok": not faults,
        "faults": faults,
    }


def rows(played: Sequence[Run]) -> list[dict[str, object]]:
    """Return the rows of one or more runs: the median, with the smallest and the largest. Pure."""
    found = [_time_row(played, name, share) for name, share in _SHARES]
    found += [
        _row(
            f"after-kubelet-{name}",
            [
                path_stages.percentile(map(path_stages.after_kubelet, one.deployed), share)
                for one in played
            ],
            unit="s",
            beside="of it, after the kubelet told what runs",
        )
        for name, share in _SHARES
    ]
    tables = [path_stages.table(one.deployed, one.facts) for one in played]
    found += [
        _row(
            f"stage-{stage}-{name}",
            [path_stages.percentile(table[stage], share) for table in tables],
            unit="s",
        )
        for stage in path_stages.STAGES
        for name, share in _SHARES
    ]
    return [*found, *_cost_rows(played)]


def alone_rows(alone: Sequence[Sequence[float]]) -> list[dict[str, object]]:
    """Return how long the same Deployments take without the product, until something runs. Pure."""
    return [
        _row(
            f"kubelet-alone-{name}",
            [path_stages.percentile(one, share) for one in alone],
            unit="s",
            beside="the same without the product, until the kubelet told what runs",
        )
        for name, share in (_SHARES if alone else ())
    ]


def _time_row(played: Sequence[Run], name: str, share: float) -> dict[str, object]:
    values = [
        path_stages.percentile(map(path_stages.time_to_truth, one.deployed), share)
        for one in played
    ]
    peer = {"peer_tuned": _PEER_TUNED[name], "peer_default": _PEER_DEFAULT[name]}
    beside = f"peer tuned {_PEER_TUNED[name]}, default {_PEER_DEFAULT[name]}; aim {_AIM[name]}"
    row = _row(f"time-to-truth-{name}", values, unit="s", beside=beside)
    return {**row, **peer, "aim": _AIM[name]}


def _cost_rows(played: Sequence[Run]) -> list[dict[str, object]]:
    """Return what a scan costs, a scan being one workload as for the peer."""

    def per_scan(name: str, cost: Callable[[Run], float], unit: str, beside: str) -> None:
        values = [cost(one) / len(one.deployed) for one in played]
        found.append(_row(name, values, unit=unit, beside=beside))

    found: list[dict[str, object]] = []
    per_scan("cpu-per-scan", _cpu_s, "CPU s", f"peer {_PEER_CPU_S}, other parts' share included")
    if played[0].node:
        per_scan("api-requests-per-scan", _api_requests, "requests", f"peer {_PEER_API}")
        per_scan("node-cpu-per-scan", _node_cpu_s, "CPU s", "with the workloads' own creation")
    found.append(
        _row(
            "registry-requests",
            [float(one.after.registry_requests - one.before.registry_requests) for one in played],
            unit="requests",
            beside=f"peer {_PEER_REGISTRY}",
        )
    )
    others = [_others_cpus(one) for one in played]
    found.append(_row("others-cpus", others, unit="cores", beside="busy with something else"))
    return found


def _others_cpus(one: Run) -> float:
    """Return how many cores were busy with what is none of this; above 0.2 it spoils the times."""
    before, after = one.before, one.after
    machine_s = after.machine_cpu_s - before.machine_cpu_s
    return (machine_s - (after.own_cpu_s - before.own_cpu_s)) / (after.at - before.at)


def _cpu_s(one: Run) -> float:
    """Return the CPU seconds of the product's processes and of its Redis."""
    before, after = one.before, one.after
    return after.product_cpu_s - before.product_cpu_s + after.redis_cpu_s - before.redis_cpu_s


def _node_cpu_s(one: Run) -> float:
    return one.after.node_cpu_s - one.before.node_cpu_s


def _api_requests(one: Run) -> float:
    return sum(one.after.api_requests.values()) - sum(one.before.api_requests.values())


def _row(case: str, values: Sequence[float], *, unit: str, beside: str = "") -> dict[str, object]:
    return {
        "case": case,
        "ours": statistics.median(values),
        "baseline": None,
        "baseline_name": None,
        "unit": unit,
        "ratio": None,
        "goal": None,
        "runs": len(values),
        "spread": [min(values), max(values)],
        "beside": beside,
    }


def _has_node() -> bool:
    """Say whether this host can run a node, and tell loudly when it cannot."""
    found = node_host.lacks(node_host.look()) or list(node_host.probes())
    if found:
        _say("NO REAL NODE HERE: the kubelet is a stand-in, these times leave out what it takes")
        for lack in found:
            _say(f"  {lack}")
    return not found


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
