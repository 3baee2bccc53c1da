"""trivy-operator's environment (v0.32.0) that this version honours: same name, format, default."""

from __future__ import annotations

from common.settings import formats, image_formats
from common.settings.setting import Setting

OPERATOR_NAMESPACE = Setting(
    name="OPERATOR_NAMESPACE",
    format=formats.TEXT,
    group="Scope",
    meaning="The namespace of the product itself, where its Lease stands; empty: the pod's own, "
    "else `default`.",
    upstream=True,
)
TARGET_NAMESPACES = Setting(
    name="OPERATOR_TARGET_NAMESPACES",
    format=formats.NAMESPACES,
    group="Scope",
    meaning="The namespaces whose workloads are scanned; empty: all.",
    upstream=True,
    shapes_rows=True,
)
EXCLUDE_NAMESPACES = Setting(
    name="OPERATOR_EXCLUDE_NAMESPACES",
    format=formats.NAMES,
    group="Scope",
    meaning="Namespaces left out, as globs; counts only where all namespaces are targets.",
    upstream=True,
    shapes_rows=True,
)
TARGET_WORKLOADS = Setting(
    name="OPERATOR_TARGET_WORKLOADS",
    format=formats.KIND_LIST,
    default="pod,replicaset,replicationcontroller,statefulset,daemonset,cronjob,job",
    group="Scope",
    meaning="The kinds of workloads that are scanned.",
    upstream=True,
    shapes_rows=True,
)
ONLY_CURRENT_REVISIONS = Setting(
    name="OPERATOR_VULNERABILITY_SCANNER_SCAN_ONLY_CURRENT_REVISIONS",
    format=formats.FLAG,
    default="true",
    group="Scope",
    meaning="Whether only the current ReplicaSet of a Deployment is scanned.",
    upstream=True,
    shapes_rows=True,
)
VULNERABILITY = Setting(
    name="OPERATOR_VULNERABILITY_SCANNER_ENABLED",
    format=formats.FLAG,
    default="true",
    group="Scanners",
    meaning="Whether VulnerabilityReports are written.",
    upstream=True,
    shapes_reports=True,
)
EXPOSED_SECRET = Setting(
    name="OPERATOR_EXPOSED_SECRET_SCANNER_ENABLED",
    format=formats.FLAG,
    default="true",
    group="Scanners",
    meaning="Whether ExposedSecretReports are written.",
    upstream=True,
    shapes_reports=True,
)
SBOM = Setting(
    name="OPERATOR_SBOM_GENERATION_ENABLED",
    format=formats.FLAG,
    default="true",
    group="Scanners",
    meaning="Whether SbomReports are written.",
    upstream=True,
    shapes_reports=True,
)
CLUSTER_SBOM_CACHE = Setting(
    name="OPERATOR_CLUSTER_SBOM_CACHE_ENABLED",
    format=formats.FLAG,
    default="false",
    group="Scanners",
    meaning="Whether a ClusterSbomReport is written for every image name that runs, for readers: "
    "inventories are shared by digest in any case. Off by default, as in trivy-operator's chart. "
    "Needs SbomReports, and all namespaces in scope.",
    upstream=True,
    shapes_rows=True,
)
CACHE_REPORT_TTL = Setting(
    name="OPERATOR_CACHE_REPORT_TTL",
    format=formats.OPTIONAL_DURATION,
    default="120h",
    group="Reports",
    meaning="The `report-ttl` annotation on new ClusterSbomReports of images. "
    "They are kept true while their image runs, and deleted when it does not, whatever their age.",
    upstream=True,
)
SCAN_JOB_TIMEOUT = Setting(
    name="OPERATOR_SCAN_JOB_TIMEOUT",
    format=formats.DURATION,
    default="5m",
    group="Trivy",
    meaning="Our deadline for one inventory: SIGTERM, then SIGKILL.",
    upstream=True,
)
REPORT_TTL = Setting(
    name="OPERATOR_SCANNER_REPORT_TTL",
    format=formats.OPTIONAL_DURATION,
    default="24h",
    group="Reports",
    meaning="The `report-ttl` annotation on new VulnerabilityReports, and within which time images "
    "are verified: matched again, if no new database did it before. At least an hour counts. "
    "Reports are never deleted for their age, and not written again where they are equal.",
    upstream=True,
)
METRICS_BIND_ADDRESS = Setting(
    name="OPERATOR_METRICS_BIND_ADDRESS",
    format=formats.BIND,
    default=":8080",
    group="Operations",
    meaning="Where `/metrics` is served; port 0 picks a free one and prints it.",
    upstream=True,
)
HEALTH_BIND_ADDRESS = Setting(
    name="OPERATOR_HEALTH_PROBE_BIND_ADDRESS",
    format=formats.BIND,
    default=":9090",
    group="Operations",
    meaning="Where `/healthz` and `/readyz` are served; port 0 picks a free one and prints it.",
    upstream=True,
)

# Trivy's own names: trivy-operator sets them on its scan jobs, Trivy reads them itself.
SEVERITY = Setting(
    name="TRIVY_SEVERITY",
    format=formats.SEVERITY_LIST,
    default="UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL",
    group="Reports",
    meaning="The severities that reports list and count.",
    upstream=True,
    shapes_reports=True,
)
IGNORE_UNFIXED = Setting(
    name="TRIVY_IGNORE_UNFIXED",
    format=formats.FLAG,
    default="false",
    group="Reports",
    meaning="Whether vulnerabilities without a fixed version are left out.",
    upstream=True,
    shapes_reports=True,
)
DB_REPOSITORY = Setting(
    name="TRIVY_DB_REPOSITORY",
    format=image_formats.REPOSITORIES,
    group="Trivy",
    meaning="Where the vulnerability database comes from; a local OCI registry works; "
    "empty: Trivy's own default.",
    upstream=True,
)
JAVA_DB_REPOSITORY = Setting(
    name="TRIVY_JAVA_DB_REPOSITORY",
    format=image_formats.REPOSITORIES,
    group="Trivy",
    meaning="Where the Java index database comes from; empty: Trivy's own default.",
    upstream=True,
)
INSECURE = Setting(
    name="TRIVY_INSECURE",
    format=formats.FLAG,
    default="false",
    group="Trivy",
    meaning="Whether registries may use plain HTTP or certificates that nobody vouches for.",
    upstream=True,
)
SKIP_FILES = Setting(
    name="TRIVY_SKIP_FILES",
    format=formats.NAMES,
    group="Reports",
    meaning="Files in images that Trivy does not look at.",
    upstream=True,
    shapes_reports=True,
)
SKIP_DIRS = Setting(
    name="TRIVY_SKIP_DIRS",
    format=formats.NAMES,
    group="Reports",
    meaning="Folders in images that Trivy does not look at.",
    upstream=True,
    shapes_reports=True,
)

# Collected, not listed: no row can be forgotten.
ROWS: tuple[Setting[object], ...] = tuple(
    row for row in list(globals().values()) if isinstance(row, Setting)
)
