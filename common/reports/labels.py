"""Labels and annotations of reports: trivy-operator's names and its order of precedence.

Pure, total. The stamp's two annotations are `stamp.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

from common.model.canonical import content_hash
from common.model.workload import WorkloadRow
from common.reports.body import ReportBody
from common.reports.catalog import CLUSTER_SBOM_REPORT, VULNERABILITY_REPORT
from common.reports.naming import KBOM_CONTAINER, hash_string, is_label_value
from common.reports.stamp import CONTENT_HASH_ANNOTATION, STAMP_ANNOTATION

RESOURCE_KIND = "trivy-operator.resource.kind"
RESOURCE_NAMESPACE = "trivy-operator.resource.namespace"
RESOURCE_NAME = "trivy-operator.resource.name"  # a label, or an annotation when no label value
RESOURCE_NAME_HASH = "trivy-operator.resource.name-hash"
CONTAINER_NAME = "trivy-operator.container.name"
SPEC_HASH = "resource-spec-hash"
SBOM_TYPE = "trivy-operator.aquasecurity.github.io/sbom-type"
KBOM = "kbom"  # its one value: the bill of materials of the cluster itself
IMAGE_ID = "resource-image-id"  # of a ClusterSbomReport: its own name
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "trivy-operator"  # ours too: dashboards and scripts select reports by it

TTL_ANNOTATION = "trivy-operator.aquasecurity.github.io/report-ttl"
TRUNCATED_ANNOTATION = "kube-sluice/truncated"
NOT_COVERED_ANNOTATION = "kube-sluice/not-covered"

# Every annotation that a report of ours may carry: one that is not wanted now is stale and goes.
OWN_ANNOTATIONS = frozenset(
    {
        CONTENT_HASH_ANNOTATION,
        STAMP_ANNOTATION,
        TTL_ANNOTATION,
        TRUNCATED_ANNOTATION,
        NOT_COVERED_ANNOTATION,
        RESOURCE_NAME,
    }
)
# The same for labels: a name that became valid or invalid as a label value changes its label.
OWN_LABELS = frozenset(
    {
        RESOURCE_KIND,
        RESOURCE_NAMESPACE,
        RESOURCE_NAME,
        RESOURCE_NAME_HASH,
        CONTAINER_NAME,
        SPEC_HASH,
        SBOM_TYPE,
        IMAGE_ID,
        MANAGED_BY,
    }
)


def spec_hash(row: WorkloadRow) -> str:
    """Hash the containers' names, roles and images; a valid label value, opaque to readers.

    trivy-operator's own hash cannot be computed outside Go. Running digests are left out: like
    trivy-operator's, the label says which specification a report belongs to.
    """
    return content_hash(sorted([one.name, one.role, one.image] for one in row.containers))


def naming_labels(kind: str, namespace: str, name: str) -> dict[str, str]:
    """Return the labels that name an owner; the namespace stays, empty, for a cluster's object."""
    named = (
        {RESOURCE_NAME: name} if is_label_value(name) else {RESOURCE_NAME_HASH: hash_string(name)}
    )
    return {RESOURCE_KIND: kind, RESOURCE_NAMESPACE: namespace, **named}


def owner_labels(row: WorkloadRow) -> dict[str, str]:
    """Return the labels that name the workload as a report's owner."""
    return naming_labels(row.kind, row.namespace, row.name)


def report_labels(
    kind: str, row: WorkloadRow, container: str, *, additional: Mapping[str, str]
) -> dict[str, str]:
    """Return all labels of the report `kind` about `container`.

    Precedence as trivy-operator's: copied and additional labels may replace what comes before
    them, the specification's hash only in vulnerability reports, the owner's names never.
    """
    hashed = {SPEC_HASH: spec_hash(row)}
    first, last = (hashed, {}) if kind == VULNERABILITY_REPORT else ({}, hashed)
    return {
        CONTAINER_NAME: container,
        MANAGED_BY: MANAGER,
        **first,
        **row.labels,
        **additional,
        **last,
        **owner_labels(row),
    }


def cluster_sbom_labels(name: str, *, additional: Mapping[str, str]) -> dict[str, str]:
    """Return all labels of the ClusterSbomReport `name`; it has no owner to be named by."""
    return {MANAGED_BY: MANAGER, **additional, IMAGE_ID: name}


def kbom_labels(name: str) -> dict[str, str]:
    """Return all labels of the ClusterSbomReport of the cluster itself."""
    return cluster_sbom_labels(name, additional={SBOM_TYPE: KBOM})


def kbom_vulnerability_labels(
    name: str, *, spec: str, additional: Mapping[str, str]
) -> dict[str, str]:
    """Return all labels of the ClusterVulnerabilityReport about the ClusterSbomReport `name`.

    `spec` hashes what it is about; a valid label value, opaque to readers.
    """
    return {
        CONTAINER_NAME: KBOM_CONTAINER,
        MANAGED_BY: MANAGER,
        SPEC_HASH: spec,
        **additional,
        **naming_labels(CLUSTER_SBOM_REPORT, "", name),
    }


def cluster_annotations(body: ReportBody, *, report_ttl: str) -> dict[str, str]:
    """Return the annotations of a cluster's report, but the stamp's; empty `report_ttl`: none."""
    annotations = {TTL_ANNOTATION: report_ttl} if report_ttl else {}
    if body.truncated:
        annotations[TRUNCATED_ANNOTATION] = ",".join(body.truncated)
    return annotations


def report_annotations(body: ReportBody, row: WorkloadRow, *, report_ttl: str) -> dict[str, str]:
    """Return the annotations that stand beside the stamp.

    `report_ttl` is a Go duration, empty for reports that stay. Only vulnerability reports carry
    a lifetime: their expiry renews the others too.
    """
    annotations = {}
    if not is_label_value(row.name):
        annotations[RESOURCE_NAME] = row.name
    if report_ttl and body.kind == VULNERABILITY_REPORT:
        annotations[TTL_ANNOTATION] = report_ttl
    if body.truncated:
        annotations[TRUNCATED_ANNOTATION] = ",".join(body.truncated)
    if not body.covered and body.kind == VULNERABILITY_REPORT:
        annotations[NOT_COVERED_ANNOTATION] = "true"
    return annotations
