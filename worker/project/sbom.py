"""Projects image records into the body of an SbomReport. Pure.

The document comes with the inventory: no database matters to it.
"""

from __future__ import annotations

from common.reports.body import ReportBody
from common.reports.catalog import SBOM_REPORT
from worker.project.artifact import header, parsed
from worker.project.bom import called, join, read, steady, write
from worker.project.context import Records, ReportContext
from worker.project.union import in_order, inventories


def project(records: Records, context: ReportContext) -> ReportBody | None:
    """Return the body for one container; None when no image of it has packages.

    An empty document would read "nothing inside" where nothing could be looked into.
    Raises ValueError when there is no record, or one without inventory, and
    msgspec.ValidationError for a stored document that is not CycloneDX.
    """
    reference = parsed(context.reference)
    digest = (reference.digest if reference else "") or context.digest
    boms = [
        steady(called(read(found.sbom), text=context.reference, reference=reference, digest=digest))
        for found in inventories(in_order(records))
        if found.has_packages and found.sbom is not None
    ]
    if not boms:
        return None
    bom = join(boms)
    return ReportBody(
        kind=SBOM_REPORT,
        report={
            **header(context),
            # The described image counts too, as trivy-operator counts.
            "summary": {
                "componentsCount": len(bom.components) + 1,
                "dependenciesCount": len(bom.dependencies),
            },
            "components": write(bom, tool_version=context.scanner_version),
        },
    )
