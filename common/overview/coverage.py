"""How much of the cluster has true reports, and why the rest lacks them.

A fold over what is wanted, what settled, and where the queue holds the rest. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from common.model.key import WorkKey, WorkloadKey
from common.model.workload import Fingerprint
from common.overview.lacking import Lack
from common.queue.standing import Stand
from common.state.settled import SettledRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Workloads that need reports, and those whose reports are all true."""

    workloads: int
    true: int
    lacking: Mapping[WorkloadKey, Lack]  # all that are not true
    resting: frozenset[WorkloadKey] = frozenset()  # that need none, and are not counted

    @property
    def share(self) -> float:
        """The part that is true, from 0 to 1; 1 where nothing needs reports."""
        return self.true / self.workloads if self.workloads else 1.0

    @property
    def failing(self) -> dict[str, int]:
        """How many workloads lack reports because of an image, by reason."""
        reasons = (lack.reason for lack in self.lacking.values() if lack.why == "failed")
        return dict(Counter(reasons))

    @property
    def unqueued(self) -> list[WorkloadKey]:
        """Those that lack reports and stand nowhere."""
        return [key for key, lack in self.lacking.items() if lack.why == "unqueued"]

    def explained(self, waits: Mapping[WorkKey, WorkKey]) -> Coverage:
        """Return it with what stands nowhere because it waits for another key's end."""
        found = {
            key: Lack(why="waiting", reason=_kind(waits[key]))
            for key in self.unqueued
            if key in waits
        }
        return replace(self, lacking={**self.lacking, **found})

    def corrected(self, keys: Collection[WorkloadKey], later: Coverage) -> Coverage:
        """Return it with a later look at some of those that lack reports."""
        others = {key: lack for key, lack in self.lacking.items() if key not in keys}
        return Coverage(
            workloads=self.workloads - len(keys) + later.workloads,
            true=self.true + later.true,
            lacking={**others, **later.lacking},
            resting=self.resting | later.resting,
        )


def coverage(
    wanted: Mapping[WorkloadKey, Fingerprint],
    settled: Iterable[tuple[WorkKey, SettledRow]],
    stands: Mapping[WorkKey, Stand],
    *,
    epoch: int,
) -> Coverage:
    """Return the coverage.

    A workload is true if its last run converged with the fingerprint that is wanted now, in the
    epoch of now, and no later run failed. One that rests (skipped, retired) needs no reports. One
    that never ran counts as needing them: the share must not look better than it is while a
    cluster is first scanned.
    """
    open_, partial = dict(wanted), {}
    resting: set[WorkloadKey] = set()
    true = 0
    for key, row in settled:
        if not isinstance(key, WorkloadKey) or open_.get(key) != row.fingerprint:
            continue
        if row.outcome.startswith("Rest"):
            del open_[key]
            resting.add(key)
        elif row.outcome == "Converged" and row.epoch == epoch and not _fails(stands.get(key)):
            del open_[key]
            true += 1
        elif row.outcome.startswith("Partial"):
            partial[key] = row.outcome.partition(":")[2] or "Unknown"
    return Coverage(
        workloads=len(wanted) - len(resting),
        true=true,
        lacking={key: _lack(stands.get(key), partial.get(key)) for key in open_},
        resting=frozenset(resting),
    )


def _fails(stand: Stand | None) -> bool:
    return stand is not None and stand.failed


def _lack(stand: Stand | None, partial: str | None) -> Lack:
    """Return the reason: a failure of its own first, then an image's."""
    if stand is not None and stand.failed:
        return _failed(stand)
    if partial is not None:
        return Lack(why="failed", reason=partial)
    if stand is not None:
        return Lack(why=stand.state, reason=stand.reason)
    return Lack(why="unqueued")


def _failed(stand: Stand) -> Lack:
    if stand.state == "parked":
        return Lack(why="parked", reason=stand.reason)
    if stand.source:
        return Lack(why="held", reason=stand.source)
    return Lack(why="retried", reason=stand.reason)


def _kind(key: WorkKey) -> str:
    return "successor" if isinstance(key, WorkloadKey) else "image"
