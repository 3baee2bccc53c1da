"""Judging a stored report by its metadata: is it still what our last run made it? Pure, total."""

from __future__ import annotations

from common.reports.stamp import is_newer
from watcher.fold.reportfacts import ReportFact


def fault(report: ReportFact, *, owner_uid: str, epoch: int) -> str:
    """Return what is wrong with a report about a workload that lives; empty: nothing.

    `owner_uid` is the living workload's. Told apart by the stamp alone, so it does not matter
    whether the event of our own write comes before or after the run's completion.
    """
    if not report.stamped:
        return "NoStamp"
    if report.edited:
        return "Edited"
    if report.owner is None or report.owner.uid != owner_uid:  # both empty: it needs none
        return "ForeignOwner"
    if is_newer(report.gist.epoch, epoch):
        return "NewerEpoch"
    # Below the epoch: a worker leaves what a later version wrote, so nothing would put it right.
    if report.unreadable or report.gist.epoch > epoch:
        return "NoStamp"
    return "" if report.gist.labelled else "Mislabelled"


def restamped(report: ReportFact, before: ReportFact) -> bool:
    """Whether somebody changed the stamped hash alone.

    A write of ours that changes the hash changes the body, and with it the generation.
    """
    return (
        report.stamped
        and before.stamped
        and report.gist.generation == before.gist.generation
        and report.gist.content_hash != before.gist.content_hash
    )
