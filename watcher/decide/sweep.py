"""The sweep: which keys do not agree, when rows, reports, settled runs and the queue are joined.

It contradicts every memory that may suppress work: a fingerprint that was stored but never queued,
an entry that the queue lost, a report that changed while nobody watched. A key is accepted when its
last run settled this very row in this epoch and, if that run converged, every report that it made
is stored as it made it. A key that does not agree but waits in the queue (queued, running, delayed
or parked) is accepted too, unless its row changed: adding it again marks a running one dirty.

Pure: chunks of keys in, decisions out; O(reports of the chunk).

What it misses: a report of ours that no settled run names (left by a removed container, after a
flush of Redis). It is collected with its owner. Reports about the cluster have none: those that
nothing needs are forgotten like rows without a workload, and a worker deletes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from common.model.key import RowKey, WorkloadKey
from watcher.decide.affected import ROW_CHANGED
from watcher.decide.judge import fault
from watcher.fold.reportfacts import ReportFact

CONVERGED = "Converged"


class Settlement(Protocol):
    """What a run that converged committed."""

    @property
    def fingerprint(self) -> str:
        """The row's that it read."""

    @property
    def epoch(self) -> int:
        """The one in which it ran."""

    @property
    def outcome(self) -> str:
        """`Converged`, `Partial:<Reason>` or `Rest:<Why>`."""

    @property
    def at(self) -> float:
        """Unix seconds by Redis' clock."""

    @property
    def reports(self) -> Mapping[str, str]:
        """`Kind/namespace/name` to the content hash."""


class Known(Protocol):
    """What the folds know."""

    @property
    def prints(self) -> Mapping[RowKey, str]:
        """The fingerprint of every row."""

    @property
    def unreadable(self) -> Collection[WorkloadKey]:
        """Workloads that may exist although no row can be built."""

    def uid_of(self, key: RowKey) -> str:
        """Return the uid of the living workload; empty: there is none."""

    def report(self, shown: str) -> ReportFact | None:
        """Return the report `Kind/namespace/name`, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """What is the same for all keys of one sweep."""

    epoch: int
    # Rows settled later are too young to be judged by their reports: the event of the write may
    # still be on its way to the fold. Unix seconds by Redis' clock.
    settled_before_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A key that must be looked at, and why."""

    key: RowKey
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do about one chunk of keys."""

    add: tuple[Disagreement, ...]  # with the row, unless they wait already
    store: tuple[RowKey, ...]  # the row alone: nothing is to be done for it


def judge(
    keys: Iterable[RowKey],
    known: Known,
    *,
    settled: Mapping[RowKey, Settlement],
    stored: Mapping[RowKey, str],
    instant: Instant,
) -> Verdict:
    """Join the rows of `keys` with what Redis knows of them.

    `stored` are the fingerprints in Redis' table of rows.
    """
    add: list[Disagreement] = []
    store: list[RowKey] = []
    for key in keys:
        wanted = known.prints.get(key)
        if wanted is None:
            continue  # it went between two chunks: the live loop forgets it
        cause = _disagreement(key, wanted, known, settled.get(key), instant)
        if cause:
            add.append(Disagreement(key=key, cause=cause))
        elif stored.get(key) != wanted:
            store.append(key)
    return Verdict(add=tuple(add), store=tuple(store))


def not_waiting(
    verdict: Verdict,
    known: Known,
    *,
    stored: Mapping[RowKey, str],
    waiting: Collection[RowKey],
) -> tuple[Disagreement, ...]:
    """Return the adds that the queue does not hold already with the row as it is now."""
    return tuple(
        one
        for one in verdict.add
        if one.key not in waiting or stored.get(one.key) != known.prints.get(one.key)
    )


def gone(
    keys: Iterable[RowKey], known: Known, *, waiting: Collection[RowKey] = ()
) -> tuple[RowKey, ...]:
    """Return the keys that Redis knows and the cluster does not.

    A workload that cannot be decoded is not gone. `waiting` are keys whose clean-up waits already.
    """
    living = known.unreadable
    return tuple(
        key for key in keys if key not in known.prints and key not in living and key not in waiting
    )


def _disagreement(
    key: RowKey,
    wanted: str,
    known: Known,
    settled: Settlement | None,
    instant: Instant,
) -> str:
    """Return why the last run does not answer for the row; empty: it does."""
    if settled is None:
        return "NeverSettled"
    if settled.fingerprint != wanted:
        return ROW_CHANGED
    if settled.epoch < instant.epoch:
        return "EpochChanged"
    if settled.outcome != CONVERGED or settled.at >= instant.settled_before_s:
        return ""  # what it keeps or leaves alone it does not answer for
    uid = known.uid_of(key)
    for shown, content_hash in settled.reports.items():
        problem = _difference(known.report(shown), content_hash, uid=uid, epoch=instant.epoch)
        if problem:
            return f"Report{problem}"
    return ""


def _difference(report: ReportFact | None, content_hash: str, *, uid: str, epoch: int) -> str:
    """Return how a stored report differs from the one that was made; empty: it does not.

    A newer stamp is never overwritten, so it must not bring its workload back either.
    """
    if report is None:
        return "Missing"
    problem = fault(report, owner_uid=uid, epoch=epoch)
    if problem == "NewerEpoch":
        return ""
    return problem or ("" if report.gist.content_hash == content_hash else "Changed")
