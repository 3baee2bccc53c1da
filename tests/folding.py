"""Clusters folded from changes, for tests."""

from __future__ import annotations

from common.model.workload import WorkloadRow
from common.settings.parse import parse
from watcher.compose import fold_options
from watcher.fold.cluster import Cluster
from watcher.stream.change import Change


def empty(server_version: str = "", **environ: str) -> Cluster:
    """Return a fold of nothing, with the settings that the environment variables make.

    Without the API server's version nothing is told of the cluster's own software.
    """
    return Cluster(fold_options(parse(environ), server_version))


def folded(*changes: Change, **environ: str) -> Cluster:
    """Return the fold of the changes, one after the other."""
    cluster = empty(**environ)
    for change in changes:
        cluster.apply([change])
    return cluster


def only_row(cluster: Cluster) -> WorkloadRow:
    """Return the one row that there is."""
    (found,) = cluster.prints
    row = cluster.row(found)
    assert isinstance(row, WorkloadRow)
    return row


def whole_state(cluster: Cluster) -> dict[str, object]:
    """Return everything that a fold knows, as values that can be compared."""
    tables = cluster._tables
    pods = {(pod.namespace, pod.name): pod for pod in tables.pods}
    return {
        "fingerprints": dict(cluster.prints),
        "rows": {key.shown: cluster.row(key) for key in cluster.prints},
        "pods": pods,
        "workloads": {key.shown: tables.workloads.get(key) for key in tables.workloads},
        "reports": {(one.kind, one.namespace, one.name): one for one in cluster.reports},
        "platforms": {pod.node: tables.nodes.platform_of(pod.node) for pod in pods.values()},
        "default platform": tables.nodes.default_platform,
        "unreadable": dict(tables.unreadable),
    }
