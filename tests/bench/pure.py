"""What one call of each pure function on a report's way costs.

`run` returns the benchmark's JSON. The compare is measured against what a client without hashes
must do: copy the cached object once, as a shared cache demands, and compare it deeply. Two rows:
with the hash of a body that was just built, as a worker compares, and with hashes alone, as the
sweep compares. Medians of interleaved runs; nothing here fails because a machine is slow.
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from common.reports.assemble import Draft, LabelPolicy, assemble, draft, stamp_of
from common.reports.body import ReportBody, body_hash
from common.reports.crds import definitions
from common.reports.fit import fit
from common.reports.labels import spec_hash
from common.reports.naming import container_report_name
from common.reports.stamp import parse, render
from tests.fakes.report_builders import (
    NOW,
    context,
    finding,
    golden,
    image_key,
    record,
    record_of,
    row,
    secret,
)
from worker.project import sbom, vulnerability
from worker.project import secret as secrets

FINDINGS = 100  # of the compare's goal
RUNS = 7
_BATCH_S = 0.02  # long enough that the clock's resolution does not matter
_COMPARE_GOAL = 20.0

Call = Callable[[], object]


def run(runs: int = RUNS) -> dict[str, object]:
    """Measure everything; `ok` tells whether the results were right, never how fast they came."""
    body = _body()
    rows = _compares(body, runs)
    rows += [_row(case, [_us(call) for _ in range(runs)]) for case, call in _calls(body).items()]
    return {
        "name": "pure",
        "machine": {"cores": os.cpu_count()},
        "rows": rows,
        "ok": body_hash(body) == body_hash(_body()),
    }


def _body() -> ReportBody:
    """Return a report of 100 findings with the texts of a real one."""
    return vulnerability.project([(image_key(), _record())], context())


def _record() -> Any:
    found = [
        finding(
            f"CVE-2024-{number:05}",
            resource=f"package-{number}",
            fixed_version="3.0.2",
            title="openssl: Excessive time spent checking DH keys and parameters",
            primary_link=f"https://avd.aquasec.com/nvd/cve-2024-{number:05}",
            published="2023-07-19T12:15:10Z",
            modified="2023-07-19T12:15:10Z",
            score=7.5,
            purl=f"pkg:apk/alpine/package-{number}@3.0.1?arch=x86_64&distro=3.18.2",
        )
        for number in range(FINDINGS)
    ]
    return record(*found, secrets=tuple(secret(target=f"/app/{number}") for number in range(5)))


def _compares(body: ReportBody, runs: int) -> list[dict[str, object]]:
    """Measure the ways to find two reports equal, in turn."""
    stored, known = copy.deepcopy(body.report), body_hash(body)
    annotations = render(_stamp(draft(row(), "app", body, policy=LabelPolicy())))

    def built() -> bool:
        return body_hash(body) == known

    def stamped() -> bool:
        stamp = parse(annotations)
        return stamp is not None and stamp.content_hash == known

    def deep() -> bool:
        return copy.deepcopy(stored) == body.report

    turns = [(_us(built), _us(stamped), _us(deep)) for _ in range(runs)]
    baseline = statistics.median(turn[2] for turn in turns)
    return [
        {
            **_row(case, [turn[place] for turn in turns]),
            "baseline": baseline,
            "baseline_name": "one deepcopy and ==",
            "ratio": baseline / statistics.median(turn[place] for turn in turns),
            "goal": _COMPARE_GOAL,
        }
        for place, case in enumerate(("compare-equal-reports", "compare-equal-stamps"))
    ]


def _calls(body: ReportBody) -> dict[str, Call]:
    """Return one call per pure function on the path, by name."""
    evidence = [(image_key(), _record())]
    document = golden("sbomreport.json")["components"]
    packages = [(image_key(), record_of(golden("trivy_alpine_app.json"), sbom=document))]
    view, policy, owner = context(), LabelPolicy(report_ttl="24h0m0s"), row()
    wanted = draft(owner, "app", body, policy=policy)
    stamp = _stamp(wanted)
    annotations = render(stamp)
    return {
        "project-vulnerability": lambda: vulnerability.project(evidence, view),
        "project-secret": lambda: secrets.project(evidence, view),
        "project-sbom": lambda: sbom.project(packages, view),
        "body-hash": lambda: body_hash(body),
        "fit": lambda: fit(body),
        "draft": lambda: draft(owner, "app", body, policy=policy),
        "stamp-of": lambda: _stamp(wanted),
        "stamp-render": lambda: render(stamp),
        "stamp-parse": lambda: parse(annotations),
        "assemble": lambda: assemble(wanted, stamp, now=NOW),
        "report-name": lambda: container_report_name("ReplicaSet", owner.name, "app"),
        "report-name-hashed": lambda: container_report_name("ReplicaSet", "x" * 64, "app"),
        "spec-hash": lambda: spec_hash(owner),
        "definitions": definitions,
    }


def _stamp(wanted: Draft) -> Any:
    return stamp_of(wanted, epoch=1, generation=1, inputs=[image_key()], db_version="")


def _row(case: str, measured_us: list[float]) -> dict[str, object]:
    return {
        "case": case,
        "ours": statistics.median(measured_us),
        "baseline": None,
        "baseline_name": None,
        "unit": "us",
        "ratio": None,
        "goal": None,
        "runs": len(measured_us),
        "spread": [min(measured_us), max(measured_us)],
    }


def _us(call: Call) -> float:
    """Return the microseconds of one call, over a batch that takes about 20 ms."""
    started = time.perf_counter()
    call()
    once = max(time.perf_counter() - started, 1e-7)
    times = max(1, int(_BATCH_S / once))
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times * 1e6
