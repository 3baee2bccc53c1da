"""The twelve report kinds, a row each: what they are called and what `kubectl get` shows of them.

Facts of trivy-operator v0.32.0, so that its users and scripts see what they know. Adding a kind
means a row here, its schema rows in `schema.py` and a projector. Pure data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

GROUP = "aquasecurity.github.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

VULNERABILITY_REPORT = "VulnerabilityReport"
EXPOSED_SECRET_REPORT = "ExposedSecretReport"  # noqa: S105 # a report kind, not a password
SBOM_REPORT = "SbomReport"
CLUSTER_SBOM_REPORT = "ClusterSbomReport"
CLUSTER_VULNERABILITY_REPORT = "ClusterVulnerabilityReport"

Scope: TypeAlias = Literal["Namespaced", "Cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of `kubectl get`; `wide` ones need `-o wide`."""

    name: str
    path: str
    type: Literal["string", "integer", "date"] = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportKind:
    """One kind of report."""

    kind: str
    short_names: tuple[str, ...]
    purpose: str  # one sentence, shown by `kubectl explain`
    columns: tuple[Column, ...]
    scope: Scope = "Namespaced"
    status: bool = False  # has spec and status (with its subresource) instead of `report`
    keeps_unknown: bool = True  # unknown fields at the root are stored, not pruned
    image_based: bool = False  # one per container, made from an image's record
    produced: bool = False  # a worker of this version writes it

    @property
    def singular(self) -> str:
        """The lower-case kind."""
        return self.kind.lower()

    @property
    def plural(self) -> str:
        """The resource's name in URLs and RBAC rules."""
        return f"{self.singular}s"

    @property
    def list_kind(self) -> str:
        """The kind of a list."""
        return f"{self.kind}List"

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"

    @property
    def requires_report(self) -> bool:
        """Whether an object without `report` is refused."""
        return not self.status


_AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date")
_SCANNER = Column(name="Scanner", path=".report.scanner.name")
_IMAGE = (
    Column(name="Repository", path=".report.artifact.repository"),
    Column(name="Tag", path=".report.artifact.tag"),
    _SCANNER,
    _AGE,
)


def _counts(*names: str) -> tuple[Column, ...]:
    """Return wide columns over the report's summary: `Critical` shows `criticalCount`."""
    return tuple(
        Column(
            name=name,
            path=f".report.summary.{name[0].lower()}{name[1:]}Count",
            type="integer",
            wide=True,
        )
        for name in names
    )


_SEVERITIES = _counts("Critical", "High", "Medium", "Low")
_BOM_COUNTS = _counts("Components", "Dependencies")
_CHECK_COLUMNS = (_SCANNER, _AGE, *_SEVERITIES)
_SECRET_COLUMNS = (*_IMAGE, *_SEVERITIES)
_VULNERABILITY_COLUMNS = (*_IMAGE, *_SEVERITIES, *_counts("Unknown"))
_BOM_COLUMNS = (*_IMAGE, *_counts("Components", "Dependencies"))
_COMPLIANCE_COLUMNS = (
    _AGE,
    Column(name="Fail", path=".status.summary.failCount", type="integer", wide=True),
    Column(name="Pass", path=".status.summary.passCount", type="integer", wide=True),
)

CATALOG: tuple[ReportKind, ...] = (
    ReportKind(
        kind="ClusterComplianceReport",
        short_names=("compliance",),
        purpose="How far the cluster follows a compliance specification.",
        columns=_COMPLIANCE_COLUMNS,
        scope="Cluster",
        status=True,
    ),
    ReportKind(
        kind="ClusterConfigAuditReport",
        short_names=("clusterconfigaudit",),
        purpose="Configuration checks of one cluster-scoped object.",
        columns=_CHECK_COLUMNS,
        scope="Cluster",
    ),
    ReportKind(
        kind="ClusterInfraAssessmentReport",
        short_names=("clusterinfraassessment",),
        purpose="Infrastructure checks of one node.",
        columns=_CHECK_COLUMNS,
        scope="Cluster",
    ),
    ReportKind(
        kind="ClusterRbacAssessmentReport",
        short_names=("clusterrbacassessmentreport",),
        purpose="Access-control checks of one ClusterRole.",
        columns=_CHECK_COLUMNS,
        scope="Cluster",
    ),
    ReportKind(
        kind=CLUSTER_SBOM_REPORT,
        short_names=("clustersbom",),
        purpose="The software bill of materials of one image, or of the cluster itself.",
        columns=_BOM_COLUMNS,
        scope="Cluster",
        keeps_unknown=False,
        produced=True,
    ),
    ReportKind(
        kind=CLUSTER_VULNERABILITY_REPORT,
        short_names=("clustervuln",),
        purpose="Known vulnerabilities of the cluster's own components.",
        columns=_VULNERABILITY_COLUMNS,
        scope="Cluster",
        produced=True,
    ),
    ReportKind(
        kind="ConfigAuditReport",
        short_names=("configaudit", "configaudits"),
        purpose="Configuration checks of one namespaced object.",
        columns=_CHECK_COLUMNS,
    ),
    ReportKind(
        kind=EXPOSED_SECRET_REPORT,
        short_names=("exposedsecret", "exposedsecrets"),
        purpose="Secrets that lie open in the image of one container; values are masked.",
        columns=_SECRET_COLUMNS,
        image_based=True,
        produced=True,
    ),
    ReportKind(
        kind="InfraAssessmentReport",
        short_names=("infraassessment", "infraassessments"),
        purpose="Infrastructure checks of one control-plane Pod.",
        columns=_CHECK_COLUMNS,
        keeps_unknown=False,
    ),
    ReportKind(
        kind="RbacAssessmentReport",
        short_names=("rbacassessment", "rbacassessments"),
        purpose="Access-control checks of one Role.",
        columns=_CHECK_COLUMNS,
    ),
    ReportKind(
        kind=SBOM_REPORT,
        short_names=("sbom", "sboms"),
        purpose="The software bill of materials of one container's image.",
        columns=_BOM_COLUMNS,
        image_based=True,
        produced=True,
    ),
    ReportKind(
        kind=VULNERABILITY_REPORT,
        short_names=("vuln", "vulns"),
        purpose="Known vulnerabilities of one container's image.",
        columns=_VULNERABILITY_COLUMNS,
        image_based=True,
        produced=True,
    ),
)

BY_KIND = {row.kind: row for row in CATALOG}
# Written in the workloads' namespaces, and for the cluster as a whole.
PRODUCED_KINDS = tuple(row.kind for row in CATALOG if row.produced and row.scope == "Namespaced")
CLUSTER_KINDS = tuple(row.kind for row in CATALOG if row.produced and row.scope == "Cluster")
