"""Values for tests of the command line: one Deployment's rows, one key of the queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from common.model.key import WorkKey
from common.model.workload import Container, WorkloadRow
from common.queue.contract import Entry, Lane
from common.state.settled import SettledRow

NOW_S = 1_795_590_000.0  # 2026-11-25T07:00:00Z


def row(name: str, *, current: bool = True, namespace: str = "shop") -> WorkloadRow:
    """Return a ReplicaSet of Deployment web."""
    return WorkloadRow(
        kind="ReplicaSet",
        namespace=namespace,
        name=name,
        uid=f"uid-{name}",
        api_version="apps/v1",
        created_at=0,
        containers=(Container(name="app", role="container", image="app:1"),),
        current=current,
        top_kind="Deployment",
        top_name="web",
    )


class FakeSettled:
    """What converged runs committed."""

    def __init__(self, reports: Mapping[WorkKey, Sequence[str]] = MappingProxyType({})) -> None:
        self._reports = reports

    def all(self) -> Iterator[tuple[WorkKey, SettledRow]]:
        """Yield a row for each key."""
        for key, names in self._reports.items():
            reports = dict.fromkeys(names, "hash")
            yield key, SettledRow(fingerprint="f", epoch=1, outcome="Converged", reports=reports)


def entry(key: WorkKey, **changes: Any) -> Entry:
    """Return a key of the queue that waits out a registry's limit, but for the changes."""
    given: dict[str, Any] = {
        "key": key,
        "state": "delayed",
        "lane": Lane.BULK,
        "attempts": 2,
        "crashes": 0,
        "since_s": NOW_S - 200,
        "due_s": NOW_S + 60,
        "reason": "RateLimited",
        "message": "429",
        "error_class": "RateLimited",
    }
    return Entry(**{**given, **changes})
