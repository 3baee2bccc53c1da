"""Makes the reports about one subject of the cluster true, or removes what nothing needs any more.

Nobody owns these reports, so no garbage collector follows the workloads: a key whose row is gone is
the order to delete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from common.model.clusterrow import ClusterRow, SbomRow
from common.model.key import ClusterKey, cluster_sbom_of
from common.model.workload import Fingerprint
from common.queue.contract import Claim, Finished, Settled
from common.state.settled import SettledRow
from worker.subject.cluster.kbom import KbomReporter, reports_of
from worker.subject.cluster.sbom import SbomReporter
from worker.subject.cluster.writing import Claims, Writing
from worker.write import Writer


class Rows(Protocol):
    """The watcher's rows."""

    def of_cluster(self, key: ClusterKey) -> tuple[ClusterRow, Fingerprint] | None:
        """Return the row with its fingerprint; None: nothing needs a report."""


class SettledRuns(Protocol):
    """What runs that converged left behind."""

    def get(self, key: ClusterKey) -> SettledRow | None:
        """Return the key's row; None: no run of it has converged yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReconciler:
    """Reconciles the cluster's keys. Thread-safe as far as its ports are."""

    rows: Rows
    settled: SettledRuns
    claims: Claims
    writer: Writer
    sbom: SbomReporter
    kbom: KbomReporter
    epoch: Callable[[], int]

    def __call__(self, claim: Claim) -> Finished:
        """Run one claim to its end; a fault of the API server or of Redis is raised."""
        key = claim.key
        if not isinstance(key, ClusterKey):
            raise TypeError(f"not a key of the cluster: {key}")
        found, settled = self.rows.of_cluster(key), self.settled.get(key)
        before = settled.reports if settled is not None else {}
        writing = Writing(
            writer=self.writer, claims=self.claims, key=key, claim=claim, epoch=self.epoch()
        )
        if found is None:
            return self._remove(key, writing, before)
        row, fingerprint = found
        if isinstance(row, SbomRow):
            outcome = self.sbom.report(row, fingerprint, writing, before=before)
        else:
            outcome = self.kbom.report(row, fingerprint, writing)
        return Finished(outcome=outcome, facts=tuple(writing.facts))

    def _remove(self, key: ClusterKey, writing: Writing, before: Mapping[str, str]) -> Finished:
        """Delete the report that nothing needs, with all that hangs on it, and forget the rest."""
        name = cluster_sbom_of(key)
        writing.drop(before.keys() | (reports_of(name) if name else set()))
        self.sbom.images.release(key, ())
        outcome = Settled(fingerprint="", epoch=writing.epoch, outcome="Gone")
        return Finished(outcome=outcome, facts=tuple(writing.facts))
