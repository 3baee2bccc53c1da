"""What the settings say about findings, as the projectors take it. Pure."""

from __future__ import annotations

from common.settings.image_formats import STATUSES
from common.settings.value import Settings
from worker.project.context import PACKAGE_CLASSES, ReportOptions

_FIXED = "fixed"


def report_options(settings: Settings, *, now_s: float) -> ReportOptions:
    """Return the options that hold at `now_s`, in Unix seconds: ignore rules end."""
    return ReportOptions(
        severities=frozenset(settings.reports.severities),
        ignored_statuses=_ignored_statuses(settings),
        package_classes=frozenset(PACKAGE_CLASSES[kind] for kind in settings.filters.package_types),
        ignored=settings.filters.ignore_rules.active(now_s),
        additional_fields=frozenset(settings.reports.additional_fields),
    )


def _ignored_statuses(settings: Settings) -> frozenset[str]:
    """Return the statuses that are left out: `--ignore-unfixed` is Trivy's short form of a list.

    Where both are set Trivy takes the list, and warns. Source: `pkg/flag/vulnerability_flags.go`.
    """
    if settings.filters.ignore_statuses:
        return frozenset(settings.filters.ignore_statuses)
    return frozenset(STATUSES) - {_FIXED} if settings.reports.ignore_unfixed else frozenset()
