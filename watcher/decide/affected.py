"""Which keys a change concerns, how urgently, and why. Pure, total: runs for every batch.

    row changed                       its key, with the new row
    row gone                          its key, to be forgotten
    report gone, edited, foreign      the workload that it is about, if that lives, and the others
                                      that it was about or whose name its labels bear
    report as we wrote it             nothing: our own write came back as an event
    object that cannot be decoded     the workload that it most likely touches

What it misses: a report whose workload has no row. Kubernetes' garbage collector takes it away
together with its owner; what has no owner, the sweep finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, assert_never

from common.model.key import RowKey
from common.queue.contract import Lane
from watcher.decide.judge import fault, restamped
from watcher.fold.delta import FoldFact, ReportGone, ReportSeen, RowChanged, RowGone, Unreadable
from watcher.fold.reportfacts import ReportFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """A key must be looked at."""

    key: RowKey
    lane: Lane
    cause: str  # stable CamelCase: stands in facts

    @property
    def only_if_new(self) -> bool:
        """Whether the wish is granted already when the same row was sent before."""
        return self.cause == ROW_CHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """A key's row is gone."""

    key: RowKey


Wish: TypeAlias = Want | Forget

ROW_CHANGED = "RowChanged"


class Living(Protocol):
    """What must be known of workloads."""

    @property
    def prints(self) -> Mapping[RowKey, str]:
        """The fingerprint of every row."""

    def uid_of(self, key: RowKey) -> str:
        """Return the uid of the living workload; empty: there is none."""


def affected(facts: Iterable[FoldFact], living: Living, *, epoch: int) -> list[Wish]:
    """Return what a batch of facts asks for, in order; a key may come more than once."""
    return [wish for fact in facts for wish in _wishes(fact, living, epoch)]


def _wishes(fact: FoldFact, living: Living, epoch: int) -> Iterator[Wish]:
    match fact:
        case RowChanged(key=key, spread=spread):
            yield Want(key=key, lane=Lane.BULK if spread else Lane.FRESH, cause=ROW_CHANGED)
        case RowGone(key=key):
            yield Forget(key=key)
        case ReportSeen(report=report, before=before):
            yield from _of_report(report, before, living, epoch=epoch)
        case ReportGone(report=report):
            yield from _about((report.about, report.claimed), living, cause="ReportDeleted")
        case Unreadable(key=key):
            if key is not None:
                yield Want(key=key, lane=Lane.FRESH, cause="Undecodable")
        case _:
            assert_never(fact)


def _of_report(
    report: ReportFact, before: ReportFact | None, living: Living, *, epoch: int
) -> Iterator[Want]:
    """Want the workload of a report that somebody else wrote, and those that lost it thereby.

    A report that has another owner now is missing to the workload that it belonged to, and to the
    one that its labels still name: no later event of it needs to lead there.
    """
    key = report.about
    if key is not None:
        problem = fault(report, owner_uid=living.uid_of(key), epoch=epoch)
        if not problem and before is not None and restamped(report, before):
            problem = "Changed"
        if problem:
            yield from _about((key,), living, cause=f"Report{problem}")
    losers = (before.about if before is not None else None, report.claimed)
    yield from _about(
        (loser for loser in losers if loser != key), living, cause="ReportForeignOwner"
    )


def _about(keys: Iterable[RowKey | None], living: Living, *, cause: str) -> Iterator[Want]:
    """Want workloads that a report is about, by name: its uid may be a dead one's."""
    for key in dict.fromkeys(keys):
        if key is not None and key in living.prints:
            yield Want(key=key, lane=Lane.FRESH, cause=cause)
