"""Values for tests of the command line: one Deployment's rows, one key of the queue."""

from __future__ import annotations

from typing import Any

from common.model.key import WorkKey
from common.model.workload import Container, WorkloadRow
from common.queue.contract import Entry, Lane

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
