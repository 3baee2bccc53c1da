"""Says what is wrong in a run's results; how long it took is never wrong. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from sandbox.demo.world import REPORTS
from tests.bench.path_run import Run

_WORKLOAD = "trivy-operator.resource.name"


def faults(run: Run) -> list[str]:
    """Return every wrong result as a sentence; empty: the times may be believed."""
    return [*_missing(run), *_digests(run), *_counts(run), *_work(run)]


def _missing(run: Run) -> Iterator[str]:
    for one in run.deployed:
        for kind in sorted(REPORTS.keys() - one.reported_at.keys()):
            yield f"{one.namespace}/{one.name} has no {kind}"


def _digests(run: Run) -> Iterator[str]:
    """Name each Deployment whose report is of another image."""
    reported = {
        (report["metadata"]["namespace"], report["metadata"]["labels"].get(_WORKLOAD, "")): report
        for report in run.reports
    }
    for one in run.deployed:
        report = reported.get((one.namespace, one.workload))
        if report is not None and report["report"]["artifact"]["digest"] != one.digest:
            yield f"{one.namespace}/{one.name} has a report of another image than its own"


def _counts(run: Run) -> Iterator[str]:
    """Name each image whose users were told different things."""
    told: dict[str, set[str]] = defaultdict(set)
    for report in run.reports:
        body = report["report"]
        told[body["artifact"]["digest"]].add(str(sorted(body["summary"].items())))
    for digest, summaries in told.items():
        if len(summaries) > 1:
            yield f"{digest} has {len(summaries)} different summaries"


def _work(run: Run) -> Iterator[str]:
    distinct = len({one.digest for one in run.deployed})
    done = Counter(fact.kind for fact in run.facts)
    for kind in ("inventoried", "matched"):
        if done[kind] != distinct:
            yield f"{done[kind]} times {kind} for {distinct} distinct images"
