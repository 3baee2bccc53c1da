"""What the settings say about findings, as the projectors take it. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from common.model.image import DETAILS
from common.model.vex import indexed
from common.settings.image_formats import STATUSES
from common.settings.value import Settings
from worker.project.context import PACKAGE_CLASSES, ReportOptions

_FIXED = "fixed"


class Filtering:
    """The report options by the time: an ignore rule may end. Thread-safe: it may compute twice."""

    def __init__(self, settings: Settings) -> None:
        filters = settings.filters
        self._rules = filters.ignore_rules
        self._ends_s = filters.ignore_rules.expiries_s
        self._plain = ReportOptions(
            severities=frozenset(settings.reports.severities),
            ignored_statuses=_ignored_statuses(settings),
            package_classes=frozenset(PACKAGE_CLASSES[kind] for kind in filters.package_types),
            vex=indexed(filters.vex_documents),
            additional_fields=frozenset(settings.reports.additional_fields),
        )
        self._kept: tuple[int, ReportOptions] | None = None

    def at(self, now_s: float) -> ReportOptions:
        """Return what holds at `now_s`, in Unix seconds."""
        ended = bisect_left(self._ends_s, now_s)
        kept = self._kept
        if kept is None or kept[0] != ended:
            kept = (ended, replace(self._plain, ignored=self._rules.active(now_s)))
            self._kept = kept
        return kept[1]


def details_of(settings: Settings) -> frozenset[str]:
    """Return which of `DETAILS` are worth keeping: those that reports show, or policies look at.

    A policy may look at everything that the command line would show it.
    """
    if settings.filters.ignore_policies:
        return frozenset(DETAILS)
    return frozenset(DETAILS) & frozenset(settings.reports.additional_fields)


def _ignored_statuses(settings: Settings) -> frozenset[str]:
    """Return the statuses that are left out: `--ignore-unfixed` is Trivy's short form of a list.

    Where both are set Trivy takes the list, and warns. Source: `pkg/flag/vulnerability_flags.go`.
    """
    if settings.filters.ignore_statuses:
        return frozenset(settings.filters.ignore_statuses)
    return frozenset(STATUSES) - {_FIXED} if settings.reports.ignore_unfixed else frozenset()
