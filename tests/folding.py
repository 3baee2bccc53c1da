"""Clusters folded from changes, for tests."""

from __future__ import annotations

from common.model.workload import WorkloadRow
from common.settings.parse import parse
from watcher.compose import fold_options
from watcher.fold.cluster import Cluster
from watcher.stream.change import Change


def empty(**environ: str) -> Cluster:
    """Return a fold of nothing, with the settings that the environment variables make."""
    return Cluster(fold_options(parse(environ)))


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
    assert row is not None
    return row
