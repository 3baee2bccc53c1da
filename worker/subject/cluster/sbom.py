"""Makes the ClusterSbomReport of one image name true."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from common.model.clusterrow import SbomRow
from common.model.image import ImageUse
from common.model.key import ImageKey, RowKey
from common.queue.contract import Settled, Waiting
from common.reports.assemble import ClusterDraft, LabelPolicy
from common.reports.body import body_hash
from common.reports.catalog import CLUSTER_SBOM_REPORT
from common.reports.labels import cluster_annotations, cluster_sbom_labels
from common.state.images import Looked, distinct_images
from worker.project import sbom
from worker.project.context import Records, ReportContext
from worker.project.union import in_order
from worker.subject.cluster.plan import Converge, ConvergePartly, WaitFor, plan, uses_of
from worker.subject.cluster.writing import Writing


class Images(Protocol):
    """The image table."""

    def follow(self, uses: Sequence[tuple[ImageUse, ImageKey]]) -> list[Looked]:
        """Return the records and where they stand; the key is woken when one lands or changes."""

    def release(self, workload: RowKey, keep: Collection[ImageKey]) -> int:
        """End the key's uses of all other images; return how many there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SbomReporter:
    """Reports on image names. Thread-safe as far as its ports are."""

    images: Images
    options: str  # digest of the scan options
    labels: LabelPolicy  # its lifetime is that of ClusterSbomReports

    def report(
        self, row: SbomRow, fingerprint: str, writing: Writing, *, before: Mapping[str, str]
    ) -> Settled | Waiting:
        """Tell what is known of the images that run under the name; `before`: what was told."""
        uses = uses_of(row, options=self.options)
        found = zip((key for _, key in uses), self.images.follow(uses), strict=True)
        distinct = distinct_images(found)
        made = plan(distinct)
        if made.images:
            self._write(row, tuple(in_order(made.images)), writing)
        match made.end:
            case WaitFor(on=on):
                return Waiting(on=str(on))
            case ConvergePartly(reason=reason):
                outcome, left = f"Partial:{reason}", {**before, **writing.reports}
            case Converge():
                self.images.release(row.key, distinct)
                writing.drop(before.keys() - writing.reports.keys())
                outcome, left = "Converged", dict(writing.reports)
            case _:
                assert_never(made.end)
        return Settled(fingerprint=fingerprint, epoch=writing.epoch, outcome=outcome, reports=left)

    def _write(self, row: SbomRow, images: Records, writing: Writing) -> None:
        """Make the report true; none where no image has packages."""
        key, record = images[0]
        version = record.inventory.scanner_version if record.inventory is not None else ""
        context = ReportContext(reference=row.reference, digest=key.digest, scanner_version=version)
        body = sbom.project(images, context)
        if body is None:
            return
        body = replace(body, kind=CLUSTER_SBOM_REPORT)
        draft = ClusterDraft(
            name=row.name,
            body=body,
            content_hash=body_hash(body),
            labels=cluster_sbom_labels(row.name, additional=self.labels.additional),
            annotations=cluster_annotations(body, report_ttl=self.labels.report_ttl),
        )
        writing.apply(draft, inputs=(image for image, _ in images))
