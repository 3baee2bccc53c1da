"""Reports about the cluster: what their metadata says. Pure.

A ClusterSbomReport has no owner: its name says what it is about.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

from common.kube.wire import ObjectMeta
from common.reports import labels as names
from common.reports import stamp
from common.reports.catalog import CLUSTER_SBOM_REPORT
from common.reports.stamp import StampArtifact
from watcher.fold.facts import Controller
from watcher.fold.reports import ReportFact, ReportGist, severity_counts

_NOTHING = StampArtifact()


def read_cluster_report(
    kind: str, meta: ObjectMeta, *, replaced: Collection[str] = ()
) -> ReportFact:
    """Return what the metadata says; `replaced` are label keys whose values the settings fill."""
    known = stamp.parse(meta.annotations or {})
    about = Controller(kind=CLUSTER_SBOM_REPORT, name=meta.name, uid="")
    gist = ReportGist(
        kind=sys.intern(kind),
        container="",
        generation=meta.generation,
        labelled=_is_labelled(meta.name, meta.labels or {}, replaced),
        named=None,
        content_hash=known.content_hash if known else "",
        epoch=known.epoch if known else 0,
        stamped_generation=known.generation if known else 0,
        artifact=known.artifact if known else _NOTHING,
        counts=severity_counts(known) if known else (),
        labels=(),
    )
    return ReportFact(namespace="", name=meta.name, owner=about, gist=gist)


def _is_labelled(name: str, labels: Mapping[str, str], replaced: Collection[str]) -> bool:
    """Whether the labels by which trivy-operator and people find it are there."""
    managed = names.MANAGED_BY in replaced or labels.get(names.MANAGED_BY) == names.MANAGER
    return managed and labels.get(names.IMAGE_ID) == name
