"""Makes one ClusterSbomReport true, or removes what nothing needs any more.

Nobody owns these reports, so no garbage collector follows the workloads: a key whose row is gone is
the order to delete.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, assert_never

from common.model.clusterrow import ClusterRow, SbomRow
from common.model.facts import Fact
from common.model.image import ImageRecord, ImageUse
from common.model.key import ClusterKey, ImageKey, RowKey, cluster_sbom_of
from common.model.workload import Fingerprint
from common.queue.contract import Claim, Finished, Outcome, Settled, Waiting
from common.reports.assemble import ClusterDraft, LabelPolicy, stamp_of
from common.reports.body import ReportBody, body_hash
from common.reports.catalog import CLUSTER_SBOM_REPORT
from common.reports.labels import cluster_annotations, cluster_sbom_labels
from common.state.settled import SettledRow
from worker.project import sbom
from worker.project.context import ReportContext
from worker.project.union import in_order
from worker.subject.cluster.plan import (
    Converge,
    ConvergePartly,
    SbomPlan,
    WaitFor,
    plan,
    uses_of,
)
from worker.write import Writer, Written


class Rows(Protocol):
    """The watcher's rows."""

    def of_cluster(self, key: ClusterKey) -> tuple[ClusterRow, Fingerprint] | None:
        """Return the row with its fingerprint; None: nothing needs a report."""


class SettledRuns(Protocol):
    """What runs that converged left behind."""

    def get(self, key: ClusterKey) -> SettledRow | None:
        """Return the key's row; None: no run of it has converged yet."""


class Claims(Protocol):
    """The queue's record of who works on what."""

    def holds(self, claim: Claim) -> bool:
        """Say whether the claim is current; raises what Redis' absence raises."""


class Images(Protocol):
    """The image table."""

    def follow(self, uses: Sequence[tuple[ImageUse, ImageKey]]) -> list[ImageRecord]:
        """Return the records; the key is woken when one lands or changes."""

    def release(self, workload: RowKey, keep: Collection[ImageKey]) -> int:
        """End the key's uses of all other images; return how many there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReconciler:
    """Reconciles the cluster's keys. Thread-safe as far as its ports are."""

    rows: Rows
    settled: SettledRuns
    claims: Claims
    images: Images
    writer: Writer
    options: str  # digest of the scan options
    labels: LabelPolicy  # its lifetime is that of ClusterSbomReports
    epoch: Callable[[], int]

    def __call__(self, claim: Claim) -> Finished:
        """Run one claim to its end; a fault of the API server or of Redis is raised."""
        key = claim.key
        if not isinstance(key, ClusterKey):
            raise TypeError(f"not a key of the cluster: {key}")
        found = self.rows.of_cluster(key)
        run = _Run(self, key=key, claim=claim)
        if found is None:
            return run.remove()
        row, fingerprint = found
        return run.report(row, fingerprint)


@dataclass(slots=True)
class _Run:
    """One claim of one key."""

    parts: ClusterReconciler
    key: ClusterKey
    claim: Claim
    facts: list[Fact] = field(default_factory=list)

    def remove(self) -> Finished:
        """Delete the report that nothing needs, with all that hangs on it, and forget the rest."""
        before = self.parts.settled.get(self.key)
        shown = set(before.reports) if before is not None else set()
        if name := cluster_sbom_of(self.key):
            shown.add(f"{CLUSTER_SBOM_REPORT}//{name}")
        self._drop(shown)
        self.parts.images.release(self.key, ())
        return self._finished(
            Settled(fingerprint="", epoch=self.parts.epoch(), outcome="Gone"),
        )

    def report(self, row: SbomRow, fingerprint: str) -> Finished:
        """Tell what is known of the images that run under the name."""
        parts = self.parts
        uses = uses_of(row, options=parts.options)
        records = parts.images.follow(uses)
        keys = [key for _, key in uses]
        made = plan(list(zip(keys, records, strict=True)))
        before = parts.settled.get(self.key)
        reports = self._write(row, made)
        match made.end:
            case WaitFor(on=on):
                return self._finished(Waiting(on=str(on)))
            case ConvergePartly(reason=reason):
                kept = {**(before.reports if before is not None else {}), **reports}
                outcome, left = f"Partial:{reason}", kept
            case Converge():
                parts.images.release(self.key, keys)
                self._drop(set(before.reports if before is not None else ()) - reports.keys())
                outcome, left = "Converged", reports
            case _:
                assert_never(made.end)
        return self._finished(
            Settled(fingerprint=fingerprint, epoch=parts.epoch(), outcome=outcome, reports=left)
        )

    def _write(self, row: SbomRow, made: SbomPlan) -> dict[str, str]:
        """Make the report true; return its name and hash, nothing where no image has packages."""
        if not made.images:
            return {}
        images = tuple(in_order(made.images))
        key, record = images[0]
        version = record.inventory.scanner_version if record.inventory is not None else ""
        context = ReportContext(reference=row.reference, digest=key.digest, scanner_version=version)
        body = sbom.project(images, context)
        if body is None:
            return {}
        draft = self._draft(row.name, replace(body, kind=CLUSTER_SBOM_REPORT))
        stamp = stamp_of(
            draft,
            epoch=self.parts.epoch(),
            generation=1,  # the writer predicts the one that its write will give
            inputs=(image for image, _ in images),
            db_version="",
        )
        written = self.parts.writer.apply(draft, stamp, mine=self._mine, expect_absent=False)
        self._note(written)
        return {written.shown: written.content_hash}

    def _draft(self, name: str, body: ReportBody) -> ClusterDraft:
        policy = self.parts.labels
        return ClusterDraft(
            name=name,
            body=body,
            content_hash=body_hash(body),
            labels=cluster_sbom_labels(name, additional=policy.additional),
            annotations=cluster_annotations(body, report_ttl=policy.report_ttl),
        )

    def _mine(self) -> bool:
        """Say whether the key is still ours: we may have slept past our lease."""
        return self.parts.claims.holds(self.claim)

    def _note(self, written: Written) -> None:
        if written.how in ("kept", "left"):
            return
        data = {"report": written.shown, "how": written.how, "bytes": written.size_bytes}
        self.facts.append(Fact(kind="written", key=str(self.key), data=data))

    def _drop(self, shown: Collection[str]) -> None:
        for one in sorted(shown):
            if self.parts.writer.remove_ownerless(one, mine=self._mine):
                data = {"report": one, "how": "deleted", "bytes": 0}
                self.facts.append(Fact(kind="written", key=str(self.key), data=data))

    def _finished(self, outcome: Outcome) -> Finished:
        return Finished(outcome=outcome, facts=tuple(self.facts))
