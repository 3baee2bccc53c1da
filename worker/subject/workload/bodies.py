"""Which projector makes which kind of report. Pure."""

from __future__ import annotations

from common.reports.body import ReportBody
from common.reports.catalog import EXPOSED_SECRET_REPORT, SBOM_REPORT, VULNERABILITY_REPORT
from worker.project import sbom, secret, vulnerability
from worker.project.context import Records, ReportContext

_PROJECTORS = {
    VULNERABILITY_REPORT: vulnerability.project,
    EXPOSED_SECRET_REPORT: secret.project,
    SBOM_REPORT: sbom.project,
}


def body_of(kind: str, records: Records, context: ReportContext) -> ReportBody | None:
    """Return the body of one report; None: the images give no such report.

    Raises KeyError for a kind without a projector.
    """
    return _PROJECTORS[kind](records, context)
