"""Reports about the cluster: what their metadata says. Pure.

A ClusterSbomReport has no owner: its name says what it is about.
"""

from __future__ import annotations

import sys
from collections.abc import Collection

from common.kube.wire import ObjectMeta
from common.reports import labels as names
from common.reports import stamp
from common.reports.catalog import CLUSTER_SBOM_REPORT
from common.reports.naming import KBOM_CONTAINER, KBOM_REGISTRY
from common.reports.stamp import Stamp, StampArtifact
from watcher.fold.facts import Controller
from watcher.fold.reportfacts import ReportFact, ReportGist, severity_counts

_NOTHING = StampArtifact()


def read_cluster_report(
    kind: str, meta: ObjectMeta, *, replaced: Collection[str] = ()
) -> ReportFact:
    """Return what the metadata says; `replaced` are label keys whose values the settings fill."""
    known = stamp.parse(meta.annotations or {})
    name = meta.name if kind == CLUSTER_SBOM_REPORT else _named(meta)
    about = Controller(kind=CLUSTER_SBOM_REPORT, name=name, uid="") if name else None
    gist = ReportGist(
        kind=sys.intern(kind),
        container=_container(kind, meta),
        generation=meta.generation,
        labelled=bool(name) and _is_labelled(kind, name, meta, known, replaced),
        named=None,
        content_hash=known.content_hash if known else "",
        epoch=known.epoch if known else 0,
        stamped_generation=known.generation if known else 0,
        artifact=known.artifact if known else _NOTHING,
        counts=severity_counts(known) if known else (),
        labels=(),
    )
    return ReportFact(namespace="", name=meta.name, owner=about, gist=gist)


def _container(kind: str, meta: ObjectMeta) -> str:
    """Return the container that a report is about; of the cluster's bill there is one: itself."""
    labels = meta.labels or {}
    if kind == CLUSTER_SBOM_REPORT:
        return KBOM_CONTAINER if labels.get(names.SBOM_TYPE) == names.KBOM else ""
    return sys.intern(labels.get(names.CONTAINER_NAME, ""))


def _named(meta: ObjectMeta) -> str:
    """Return the ClusterSbomReport that a report is about: its owner, else what its labels name.

    That the owner is another object of the same name by now is not seen: the garbage collector
    takes the report away, and that is.
    """
    owner = meta.controller
    if owner is not None and owner.kind == CLUSTER_SBOM_REPORT:
        return owner.name
    return (meta.labels or {}).get(names.RESOURCE_NAME, "")


def _is_labelled(
    kind: str, name: str, meta: ObjectMeta, known: Stamp | None, replaced: Collection[str]
) -> bool:
    """Whether the labels by which trivy-operator and people find it are there."""
    if kind == CLUSTER_SBOM_REPORT:
        expected = {names.IMAGE_ID: name}
        if known is not None and known.artifact.registry == KBOM_REGISTRY:
            expected[names.SBOM_TYPE] = names.KBOM
    else:
        expected = {
            names.CONTAINER_NAME: KBOM_CONTAINER,
            **names.naming_labels(CLUSTER_SBOM_REPORT, "", name),
        }
    if names.MANAGED_BY not in replaced:
        expected[names.MANAGED_BY] = names.MANAGER
    labels = meta.labels or {}
    return all(labels.get(key) == value for key, value in expected.items())
