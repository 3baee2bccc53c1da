"""How much of the cluster has true reports: a fold over what is wanted and what settled. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from common.model.key import WorkKey, WorkloadKey
from common.model.workload import Fingerprint
from common.state.settled import SettledRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Workloads that need reports, and those whose reports are all true."""

    workloads: int
    true: int
    partial: Mapping[WorkloadKey, str]  # workload -> why its last run could not make every report

    @property
    def share(self) -> float:
        """The part that is true, from 0 to 1; 1 where nothing needs reports."""
        return self.true / self.workloads if self.workloads else 1.0

    @property
    def failing(self) -> dict[str, int]:
        """How many workloads lack reports, by reason."""
        return dict(Counter(self.partial.values()))


def coverage(
    wanted: Mapping[WorkloadKey, Fingerprint],
    settled: Iterable[tuple[WorkKey, SettledRow]],
    *,
    epoch: int,
) -> Coverage:
    """Return the coverage.

    A workload is true if its last run converged with the fingerprint that is wanted now, in the
    epoch of now. One that rests (skipped, retired) needs no reports. One that never ran counts as
    needing them: the share must not look better than it is while a cluster is first scanned.
    """
    resting = true = 0
    partial: dict[WorkloadKey, str] = {}
    for key, row in settled:
        if not isinstance(key, WorkloadKey) or wanted.get(key) != row.fingerprint:
            continue
        if row.outcome.startswith("Rest"):
            resting += 1
        elif row.outcome == "Converged" and row.epoch == epoch:
            true += 1
        elif row.outcome.startswith("Partial"):
            partial[key] = row.outcome.partition(":")[2] or "Unknown"
    return Coverage(workloads=len(wanted) - resting, true=true, partial=partial)
