"""Trap 26: which keys a change of the settings brings back, in bulk: those that it concerns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import worker
from common.ops.version import VERSION
from common.queue.contract import Lane
from common.reports.naming import cluster_sbom_name, image_sbom_name
from common.settings.parse import parse
from common.settings.table import ROWS
from common.state.epoch import generation_digest
from tests import builders as b
from tests.fakes.watch_tables import FakeTables
from tests.folding import empty
from watcher.fold.cluster import Cluster
from watcher.stream.change import Change
from watcher.sweeper import Ports, Sweep

KIND = "VulnerabilityReport"
KBOM = cluster_sbom_name("k8s.io", "kubernetes", "1.36.3")


def _changes() -> list[Change]:
    """Return a Deployment of two revisions, workloads with labels and elsewhere, and a Pod."""
    web = b.controlled_by("Deployment", "web")
    dev = (b.in_namespace("dev"), b.about("ReplicaSet", "tool"), b.stamped())
    return [
        b.upsert(b.deployment("web", b.revision(2)), kind="Deployment"),
        b.upsert(b.replica_set("web-1", web, b.revision(1)), kind="ReplicaSet"),
        b.upsert(b.replica_set("web-2", web, b.revision(2)), kind="ReplicaSet"),
        b.upsert(b.replica_set("db", b.labelled({"team": "red"})), kind="ReplicaSet"),
        b.upsert(
            b.replica_set("tool", b.in_namespace("dev"), b.container("tool", "tool:1")),
            kind="ReplicaSet",
        ),
        b.upsert(b.report(KIND, "replicaset-tool-app", *dev), kind=KIND),
        b.upsert(b.pod("bare", b.container("first", "first:1", role="init"))),
        b.upsert(b.pod("ran", b.container("app", "ran:1"), b.runs("app", b.digest("a")))),
    ]


def _folded(environ: Mapping[str, str]) -> Cluster:
    cluster = empty("v1.36.3", **environ)
    cluster.load(_changes())
    cluster.settle()
    return cluster


def _swept(tables: FakeTables, cluster: Cluster, environ: Mapping[str, str]) -> None:
    """Lead with the settings, and sweep once."""
    epoch = tables.publish(generation_digest(parse(environ).projection_digest(), VERSION), fence=0)
    ports = Ports(
        queue=tables,
        rows=tables,
        settled=tables,
        known=cluster,
        references=tables,
        images=tables.images,
    )
    sweep = Sweep(ports, fence=0, epoch=epoch, now_s=tables.now)
    while sweep.step(1_000):
        pass


# Another value of each setting that rows tell, and what it concerns.
CONCERNED = {
    "OPERATOR_CLUSTER_SBOM_CACHE_ENABLED": ("true", {image_sbom_name("ran:1")}),
    "SLUICE_RESOURCE_LABELS": ("team", {"db"}),
    "SLUICE_SKIP_RESOURCE_BY_LABELS": ("team", {"db"}),
    "OPERATOR_TARGET_NAMESPACES": ("shop", {"tool"}),
    "OPERATOR_EXCLUDE_NAMESPACES": ("d*", {"tool"}),
    "OPERATOR_TARGET_WORKLOADS": ("replicaset", {"bare", "ran"}),
    "OPERATOR_VULNERABILITY_SCANNER_SCAN_ONLY_CURRENT_REVISIONS": ("false", {"web-1"}),
    "SLUICE_EXCLUDE_IMAGES": ("tool*", {"tool"}),
    "SLUICE_SKIP_INIT_CONTAINERS": ("true", {"bare"}),
    "SLUICE_PLATFORM": ("linux-arm64", {"web-2", "db", "tool", "bare", "ran"}),
}


@pytest.mark.parametrize("name", sorted(CONCERNED))
def test_a_setting_that_rows_tell_brings_back_what_it_concerns_and_nothing_else(name: str) -> None:
    """Another skip label must not run ten thousand workloads that do not bear it."""
    tables, (value, concerned) = FakeTables(), CONCERNED[name]
    _swept(tables, _folded({}), {})
    tables.work()
    _swept(tables, _folded({name: value}), {name: value})
    assert {key.shown.rpartition("/")[2] for key in tables.waiting} == concerned
    assert {add.lane for add in tables.waiting.values()} == {Lane.BULK}


@pytest.mark.parametrize(
    "name", ["SLUICE_KBOM_ENABLED", "SLUICE_PLATFORM", "OPERATOR_TARGET_NAMESPACES"]
)
def test_what_takes_the_clusters_own_reports_away_has_them_deleted(name: str) -> None:
    """Where nodes are not read, or only namespaces are, they could not be kept true."""
    value = {"SLUICE_KBOM_ENABLED": "false"}.get(name, "linux-amd64")
    tables, before = FakeTables(), _folded({})
    before.apply([b.upsert(b.node("n1"))])
    _swept(tables, before, {})
    tables.work()
    _swept(tables, _folded({name: value}), {name: value})
    gone = {key.shown for key, add in tables.waiting.items() if add.cause == "gone"}
    assert f"ClusterSbomReport/{KBOM}" in gone


@pytest.mark.parametrize("name", ["TRIVY_SEVERITY", "OPERATOR_SBOM_GENERATION_ENABLED"])
def test_a_setting_that_workers_read_brings_everything_back(name: str) -> None:
    """Every workload has, or may have, a report of each kind: the watcher cannot tell which."""
    tables, cluster = FakeTables(), _folded({})
    _swept(tables, cluster, {})
    tables.work()
    _swept(tables, cluster, {name: {"TRIVY_SEVERITY": "LOW"}.get(name, "false")})
    assert set(tables.waiting) == set(cluster.prints)
    assert {add.cause for add in tables.waiting.values()} == {"EpochChanged"}
    assert {add.lane for add in tables.waiting.values()} == {Lane.BULK}


def test_no_setting_that_rows_tell_is_untested_or_in_the_epoch_too() -> None:
    """In the epoch it would bring back everything."""
    assert {row.name for row in ROWS if row.shapes_rows and row.honoured} == {
        *CONCERNED,
        "SLUICE_KBOM_ENABLED",
    }
    assert not [row.name for row in ROWS if row.shapes_rows and row.shapes_reports]


def test_no_worker_reads_a_setting_that_rows_tell() -> None:
    """A worker with an old value would not stand back: the epoch says nothing of it."""
    sources = [path.read_text() for path in Path(worker.__file__).parent.rglob("*.py")]
    assert sources
    for text in ("settings.scope", "reports.resource_labels"):
        assert not [source for source in sources if text in source]
