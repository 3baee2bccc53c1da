"""Image names: their rows are what the rows of all workloads say, after every batch."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from common.model.clusterrow import ClusterRow, SbomRow
from common.model.key import ClusterKey, cluster_sbom_key
from common.model.workload import Running, WorkloadRow
from common.reports.naming import image_sbom_name
from tests.folding import empty
from tests.property.test_fold_properties import changes
from watcher.fold.cluster import Cluster
from watcher.fold.delta import RowChanged, RowGone
from watcher.stream.change import Change

ON = {"OPERATOR_CLUSTER_SBOM_CACHE_ENABLED": "true"}


def _told(cluster: Cluster) -> dict[ClusterKey, ClusterRow]:
    """Return what the workloads' rows say, by going through all of them."""
    found: dict[str, set[tuple[str, Running]]] = defaultdict(set)
    for key in cluster.prints:
        row = cluster.row(key)
        if not isinstance(row, WorkloadRow):
            continue
        for container in row.containers:
            for running in container.running:
                found[image_sbom_name(container.image)].add((container.image, running))
    return {
        cluster_sbom_key(name): SbomRow(
            name=name,
            reference=min(image for image, _ in uses),
            images=tuple(sorted({running for _, running in uses})),
        )
        for name, uses in found.items()
    }


def _kept(cluster: Cluster) -> dict[ClusterKey, ClusterRow | None]:
    keys = [key for key in cluster.prints if isinstance(key, ClusterKey)]
    return {key: cluster.row(key) for key in keys}


@given(st.lists(changes, max_size=4))
def test_every_name_that_runs_has_the_row_that_the_workloads_tell(
    batches: list[list[Change]],
) -> None:
    """Counted up and down, one by one, as objects come and go in any order."""
    cluster = empty(**ON)
    for batch in batches:
        before = dict(cluster.prints)
        facts = cluster.apply(batch)
        assert _kept(cluster) == _told(cluster)
        changed = {key for key, now in cluster.prints.items() if before.get(key) != now}
        assert {fact.key for fact in facts if isinstance(fact, RowChanged)} == changed
        gone = before.keys() - cluster.prints.keys()
        assert {fact.key for fact in facts if isinstance(fact, RowGone)} == gone


@given(changes)
def test_loaded_at_once_they_are_the_same(sequence: list[Change]) -> None:
    """A watcher that starts must not bring anything back."""
    cluster, loaded = empty(**ON), empty(**ON)
    cluster.apply(sequence)
    loaded.load(sequence)
    loaded.settle()
    assert _kept(loaded) == _kept(cluster)


@given(changes)
def test_switched_off_there_is_none(sequence: list[Change]) -> None:
    """And nothing is remembered for it."""
    cluster = empty()
    cluster.apply(sequence)
    assert _kept(cluster) == {}
