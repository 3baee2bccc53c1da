"""Makes a report small enough for the API server. Pure, total."""

from __future__ import annotations

from common.reports.body import ReportBody


def size_bytes(report: object) -> int:
    """Return how many bytes the API server stores for `report`."""
    raise NotImplementedError


def fit(body: ReportBody, limit_bytes: int) -> ReportBody:
    """Return the body, degraded in a fixed order until it is within `limit_bytes`."""
    raise NotImplementedError
