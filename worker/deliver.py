"""Events on the workload that a user knows: why there is no (newer) report, and when there is.

An Event is a courtesy: that it cannot be delivered never fails the run, it is counted and logged.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, Protocol

import structlog

from common.kube.events import Event, Subject
from common.model.errors import SluiceError
from common.model.workload import WorkloadRow
from worker.write import Written

_log = structlog.get_logger(__name__)

# The API version of the controllers that stand above the kinds which own reports.
_API_VERSIONS = {
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "CronJob": "batch/v1",
    "Job": "batch/v1",
    "ReplicationController": "v1",
    "Pod": "v1",
}


class EventSink(Protocol):
    """Where Events go."""

    def emit(self, event: Event, *, now: datetime) -> None:
        """Create the Event or count its repetition."""


class KubeAnnouncer:
    """Puts Events on the top controller of a workload."""

    def __init__(self, sink: EventSink, *, now: Callable[[], datetime]) -> None:
        self._sink = sink
        self._now = now

    def failed(self, row: WorkloadRow, *, container: str, reason: str, message: str) -> None:
        """Say that a container's image cannot be scanned."""
        text = f"container {container}: {reason}: {message}"
        self._emit(row, "ScanFailed", text, kind="Warning")

    def recovered(self, row: WorkloadRow) -> None:
        """Say that all its images are scanned again."""
        self._emit(row, "ScanRecovered", "all container images are scanned again", kind="Normal")

    def truncated(self, row: WorkloadRow, written: Written) -> None:
        """Say that a report had to leave something out."""
        left_out = ", ".join(written.truncated)
        text = f"{written.shown} is too large for the API server; left out: {left_out}"
        self._emit(row, "ReportTruncated", text, kind="Warning")

    def _emit(
        self, row: WorkloadRow, reason: str, message: str, *, kind: Literal["Normal", "Warning"]
    ) -> None:
        event = Event(subject=_subject(row), reason=reason, message=message, type=kind)
        try:
            self._sink.emit(event, now=self._now())
        except SluiceError as error:
            _log.warning(
                "event not delivered", key=str(row.key), event_reason=reason, error=str(error)
            )


def _subject(row: WorkloadRow) -> Subject:
    """Return the controller that a user knows, else the workload itself."""
    if row.top_kind and row.top_name:
        return Subject(
            api_version=_API_VERSIONS.get(row.top_kind, row.api_version),
            kind=row.top_kind,
            namespace=row.namespace,
            name=row.top_name,
            uid=row.top_uid,
        )
    return Subject(
        api_version=row.api_version,
        kind=row.kind,
        namespace=row.namespace,
        name=row.name,
        uid=row.uid,
    )
