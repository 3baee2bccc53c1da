"""Which keys a change concerns, how urgently, and why. Pure, total: runs for every batch.

    row changed                       its key, with the new row
    row gone                          its key, to be forgotten
    report gone, edited, foreign      the workload that it is about, if that lives
    report as we wrote it             nothing: our own write came back as an event
    object that cannot be decoded     the workload that it most likely touches

What it misses: a report whose workload has no row. Kubernetes' garbage collector takes it away
together with its owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, assert_never

from common.model.key import WorkloadKey
from common.queue.contract import Lane
from watcher.decide.judge import fault
from watcher.fold.delta import FoldFact, ReportGone, ReportSeen, RowChanged, RowGone, Unreadable
from watcher.fold.reports import ReportFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """A key must be looked at."""

    key: WorkloadKey
    lane: Lane
    cause: str  # stable CamelCase: stands in facts

    @property
    def only_if_new(self) -> bool:
        """Whether the wish is granted already when the same row was sent before."""
        return self.cause == ROW_CHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """A key's row is gone."""

    key: WorkloadKey


Wish: TypeAlias = Want | Forget

ROW_CHANGED = "RowChanged"


class Living(Protocol):
    """What must be known of workloads."""

    @property
    def prints(self) -> Mapping[WorkloadKey, str]:
        """The fingerprint of every row."""

    def uid_of(self, key: WorkloadKey) -> str:
        """Return the uid of the living workload; empty: there is none."""


def affected(facts: Iterable[FoldFact], living: Living, *, epoch: int) -> list[Wish]:
    """Return what a batch of facts asks for, in order; a key may come more than once."""
    wishes = (_wish(fact, living, epoch) for fact in facts)
    return [wish for wish in wishes if wish is not None]


def _wish(fact: FoldFact, living: Living, epoch: int) -> Wish | None:
    match fact:
        case RowChanged(key=key, spread=spread):
            return Want(key=key, lane=Lane.BULK if spread else Lane.FRESH, cause=ROW_CHANGED)
        case RowGone(key=key):
            return Forget(key=key)
        case ReportSeen(report=report):
            return _of_report(report, living, epoch=epoch)
        case ReportGone(report=report):
            return _about(report, living, cause="ReportDeleted")
        case Unreadable(key=key):
            return None if key is None else Want(key=key, lane=Lane.FRESH, cause="Undecodable")
        case _:
            assert_never(fact)


def _of_report(report: ReportFact, living: Living, *, epoch: int) -> Want | None:
    """Want the workload of a report that somebody else wrote."""
    key = report.workload
    if key is None:
        return None
    problem = fault(report, owner_uid=living.uid_of(key), epoch=epoch)
    return _about(report, living, cause=f"Report{problem}") if problem else None


def _about(report: ReportFact, living: Living, *, cause: str) -> Want | None:
    """Want the workload that a report is about, by name: its uid may be a dead one's."""
    key = report.workload
    if key is None or key not in living.prints:
        return None
    return Want(key=key, lane=Lane.FRESH, cause=cause)
