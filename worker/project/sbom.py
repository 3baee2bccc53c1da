"""Projects image records into the body of an SbomReport. Pure.

The document comes with the inventory: no database matters to it.
"""

from __future__ import annotations

from common.model.evidence import left_out
from common.reports.body import ReportBody
from common.reports.catalog import SBOM_REPORT
from worker.project.artifact import header, parsed
from worker.project.bom import called, join, read, steady, write
from worker.project.context import Records, ReportContext
from worker.project.union import in_order, inventories


def project(records: Records, context: ReportContext) -> ReportBody | None:
    """Return the body for one container; None when no image of it has packages.

    An empty document would read "nothing inside" where nothing could be looked into. One that was
    too long to be kept is told by its counts alone, and marked so.
    Raises ValueError when there is no record, or one without inventory, and
    msgspec.ValidationError for a stored document that is not CycloneDX.
    """
    reference = parsed(context.reference)
    digest = (reference.digest if reference else "") or context.digest
    documents = [
        found.sbom
        for found in inventories(in_order(records))
        if found.has_packages and found.sbom is not None
    ]
    if not documents:
        return None
    boms = [
        steady(called(read(one), text=context.reference, reference=reference, digest=digest))
        for one in documents
    ]
    bom = join(boms)
    components, dependencies = map(sum, zip(*map(left_out, documents), strict=True))
    return ReportBody(
        kind=SBOM_REPORT,
        report={
            **header(context),
            # The described image counts too, as trivy-operator counts.
            "summary": {
                "componentsCount": len(bom.components) + 1 + components,
                "dependenciesCount": len(bom.dependencies) + dependencies,
            },
            "components": write(bom, tool_version=context.scanner_version),
        },
        truncated=("dependencies", "details") if components or dependencies else (),
    )
