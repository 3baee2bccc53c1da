"""Projects image records into a report body. Pure."""

from __future__ import annotations

from common.reports.body import ReportBody
from worker.project.context import Records, ReportContext


def project(records: Records, context: ReportContext) -> ReportBody | None:
    """Return the body."""
    raise NotImplementedError
