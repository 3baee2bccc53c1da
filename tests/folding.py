"""Clusters folded from changes, for tests."""

from __future__ import annotations

from common.model.workload import WorkloadRow
from common.settings.parse import parse
from watcher.decide.predicate import selection
from watcher.fold.cluster import Cluster
from watcher.fold.tables import Options
from watcher.stream.change import Change


def empty(**environ: str) -> Cluster:
    """Return a fold of nothing, with the settings that the environment variables make."""
    settings = parse(environ)
    options = Options(
        selection=selection(settings.scope),
        copied_labels=settings.reports.resource_labels,
        only_current_revisions=settings.scope.only_current_revisions,
    )
    return Cluster(options)


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
