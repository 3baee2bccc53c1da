"""The resources that the watcher follows, a row each. Pure data.

Metadata alone decides what a report means to us, so no body is asked for. Pods, nodes and workloads
are read in part: status or spec matters. Adding a resource means a row here. They are read in this
order: owners first, so that what they own can share their names.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.kube.paths import REPORTS, object_path
from common.kube.wire import CronJob, Node, PartialObject, Pod, Workload
from common.reports import catalog
from watcher.stream.change import Decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One resource: where it is served and what we read of it."""

    resource: str  # plural, lower-case
    kind: str
    root: str  # /api/v1, /apis/apps/v1, …
    type: type[Decoded]
    namespaced: bool = True
    metadata_only: bool = False

    @property
    def message(self) -> str:
        """The name of what we read in protobuf; metadata alone has one name for all kinds."""
        return "PartialObjectMetadata" if self.metadata_only else self.kind

    def path(self, namespace: str | None) -> str:
        """Return the collection's path: of one namespace, or of the whole cluster (None)."""
        inside = namespace if namespace is not None and self.namespaced else ""
        return object_path(self.root, self.resource, namespace=inside)


def _apps(kind: str) -> Row:
    return Row(resource=f"{kind.lower()}s", kind=kind, root="/apis/apps/v1", type=Workload)


def _report(kind: str) -> Row:
    return Row(
        resource=catalog.BY_KIND[kind].plural,
        kind=kind,
        root=REPORTS,
        type=PartialObject,
        namespaced=catalog.BY_KIND[kind].scope == "Namespaced",
        metadata_only=True,
    )


ROWS: tuple[Row, ...] = (
    Row(resource="nodes", kind="Node", root="/api/v1", type=Node, namespaced=False),
    Row(
        resource="replicationcontrollers",
        kind="ReplicationController",
        root="/api/v1",
        type=Workload,
    ),
    _apps("Deployment"),
    _apps("ReplicaSet"),
    _apps("StatefulSet"),
    _apps("DaemonSet"),
    Row(resource="jobs", kind="Job", root="/apis/batch/v1", type=Workload),
    Row(resource="cronjobs", kind="CronJob", root="/apis/batch/v1", type=CronJob),
    Row(resource="pods", kind="Pod", root="/api/v1", type=Pod),
    *(_report(kind) for kind in catalog.PRODUCED_KINDS),
)
# Reports about the whole cluster; followed where the settings want any of them.
CLUSTER_ROWS: tuple[Row, ...] = tuple(_report(kind) for kind in catalog.CLUSTER_KINDS)

BY_RESOURCE = {row.resource: row for row in (*ROWS, *CLUSTER_ROWS)}
