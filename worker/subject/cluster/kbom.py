"""Makes the two reports about the cluster's own software true: what it is, and what is known of it.

A new database re-matches it, as it re-matches images; trivy-operator scans it once and never again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from common.model.canonical import content_hash
from common.model.clusterrow import KbomRow
from common.model.errors import ConflictError, DatabaseNotReadyError
from common.model.facts import Fact
from common.model.key import ClusterKey
from common.queue.contract import Settled, Waiting
from common.reports.assemble import ClusterDraft, LabelPolicy
from common.reports.body import body_hash
from common.reports.catalog import CLUSTER_SBOM_REPORT
from common.reports.labels import cluster_annotations, kbom_labels, kbom_vulnerability_labels
from common.reports.naming import kbom_vulnerability_name
from worker.evidence.cluster.match import ClusterMatcher
from worker.project import kbom
from worker.project.context import ReportContext, ReportOptions
from worker.subject.cluster.writing import Writing

# Publishing a database wakes who waits for it.
DATABASE = ClusterKey(what="database")


class Waiters(Protocol):
    """Who is woken by whose end."""

    def await_settled(self, successor: ClusterKey, waiter: ClusterKey) -> object:
        """Have `waiter` queued when something ends, here: when a database is published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KbomReporter:
    """Reports on the cluster's own software. Thread-safe as far as its ports are."""

    waiters: Waiters
    matcher: ClusterMatcher
    options: Callable[[], ReportOptions]  # those that hold now
    labels: LabelPolicy  # its lifetime is that of VulnerabilityReports

    def report(self, row: KbomRow, fingerprint: str, writing: Writing) -> Settled | Waiting:
        """Run once; a fault of the match server is raised, and the key tries again."""
        # Before the match: a database that is published meanwhile brings the key back.
        self.waiters.await_settled(DATABASE, row.key)
        try:
            found = self.matcher.match(str(row.key), kbom.packages(row))
        except DatabaseNotReadyError:
            return Waiting(on=str(DATABASE))
        writing.facts.append(
            Fact(
                kind="matched",
                key=str(row.key),
                data={
                    "db_version": found.match.db_version,
                    "findings": len(found.match.findings),
                },
            )
        )
        context = kbom.context_of(row, scanner_version=found.trivy_version, options=self.options())
        bill = self._bill(row, context)
        writing.apply(bill)
        uid = writing.writer.uid_of(bill.shown)
        if not uid:
            raise ConflictError(f"{bill.shown} was deleted while it was reported on")
        body = kbom.vulnerabilities(row, found.match, context)
        draft = ClusterDraft(
            name=kbom_vulnerability_name(row.name),
            body=body,
            content_hash=body_hash(body),
            labels=kbom_vulnerability_labels(
                row.name,
                spec=content_hash(msgspec.to_builtins(row)),
                additional=self.labels.additional,
            ),
            annotations=cluster_annotations(body, report_ttl=self.labels.report_ttl),
            owner_name=row.name,
            owner_uid=uid,
        )
        writing.apply(draft, db_version=found.match.db_version)
        return Settled(
            fingerprint=fingerprint,
            epoch=writing.epoch,
            outcome="Converged",
            reports=dict(writing.reports),
        )

    def _bill(self, row: KbomRow, context: ReportContext) -> ClusterDraft:
        body = kbom.bill(row, context)
        return ClusterDraft(
            name=row.name,
            body=body,
            content_hash=body_hash(body),
            labels=kbom_labels(row.name),
            annotations=cluster_annotations(body, report_ttl=""),
        )


def reports_of(name: str) -> set[str]:
    """Return all reports that may hang on the ClusterSbomReport `name`, itself among them."""
    return {
        f"{CLUSTER_SBOM_REPORT}//{name}",
        f"ClusterVulnerabilityReport//{kbom_vulnerability_name(name)}",
    }
