"""What a worker counts: runs by pool and outcome, failures by reason, writes, inventories, matches.

Every series whose labels are known beforehand stands at 0 from the start.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from common.model.errors import SluiceError
from common.model.facts import Fact
from common.ops import metrics

_OUTCOMES = ("settled", "waiting", "handed", "after", "retry", "hold", "park")
_HOW = ("created", "replaced", "stamped", "deleted")


def _reasons(error: type[SluiceError] = SluiceError) -> set[str]:
    """Return the reasons of all error classes."""
    return {error.reason}.union(*(_reasons(child) for child in error.__subclasses__()))


class WorkerMetrics:
    """Listens to the loops of one process; see `worker.ports.Hooks`. Thread-safe."""

    def __init__(self, registry: CollectorRegistry, pools: Iterable[str]) -> None:
        known = tuple(pools)
        self._claims = metrics.counter(
            registry, "sluice_claims_total", "Keys claimed.", labels={"pool": known}
        )
        self._runs = metrics.counter(
            registry,
            "sluice_reconciles_total",
            "Runs that ended, by outcome.",
            labels={"pool": known, "outcome": _OUTCOMES},
        )
        self._failures = metrics.counter(
            registry,
            "sluice_failures_total",
            "Runs that failed, by the error's reason.",
            labels={"pool": known, "reason": sorted(_reasons())},
        )
        self._seconds = metrics.histogram(
            registry, "sluice_reconcile_seconds", "Time of one run.", labels={"pool": known}
        )
        self._refused = metrics.counter(
            registry,
            "sluice_completions_refused_total",
            "Completions that came after the lease had ended.",
            labels={"pool": known},
        )
        self._writes = metrics.counter(
            registry, "sluice_report_writes_total", "Reports written.", labels={"how": _HOW}
        )
        self._inventories = metrics.counter(
            registry, "sluice_inventories_total", "Images analysed."
        )
        self._matches = metrics.counter(
            registry, "sluice_matches_total", "Inventories matched against the database."
        )

    def claimed(self, pool: str, keys: int) -> None:
        """Count claims."""
        self._claims.labels(pool).inc(keys)

    def finished(self, pool: str, *, outcome: str, reason: str, seconds: float) -> None:
        """Count a run; what an image's failure did to a workload counts as a failure too."""
        self._runs.labels(pool, outcome).inc()
        self._seconds.labels(pool).observe(seconds)
        if outcome in ("retry", "hold", "park"):
            self._failures.labels(pool, reason).inc()
        elif reason.startswith("Partial:"):
            self._failures.labels(pool, reason.removeprefix("Partial:")).inc()

    def refused(self, pool: str, keys: int) -> None:
        """Count completions that were refused."""
        self._refused.labels(pool).inc(keys)

    def count(self, facts: Iterable[Fact]) -> None:
        """Count what a run did besides ending."""
        for fact in facts:
            if fact.kind == "written":
                self._writes.labels(str(fact.data["how"])).inc()
            elif fact.kind == "inventoried":
                self._inventories.inc()
            elif fact.kind == "matched":
                self._matches.inc()
