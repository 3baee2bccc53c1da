"""The settings that are our own: every name begins with `SLUICE_` and carries its unit."""

from __future__ import annotations

from common.model.circuit import CIRCUIT_FIELDS, CIRCUITS, odd_circuits
from common.model.policies import CLASS_NAMES, FIELDS, odd_policies
from common.model.reasons import CLASS_OF_REASON
from common.settings import formats
from common.settings.setting import Setting

REDIS_URL = Setting(
    name="SLUICE_REDIS_URL",
    format=formats.REDIS_URL,
    group="Redis",
    meaning="The Redis or Valkey that holds queue and tables; empty: `sluice run` starts one.",
    secret=True,
)
REDIS_PASSWORD_FILE = Setting(
    name="SLUICE_REDIS_PASSWORD_FILE",
    format=formats.PATH,
    group="Redis",
    meaning="A file whose content is the password; read again for every new connection.",
)
REDIS_SENTINEL_PASSWORD_FILE = Setting(
    name="SLUICE_REDIS_SENTINEL_PASSWORD_FILE",
    format=formats.PATH,
    group="Redis",
    meaning="A file with the password that the Sentinels themselves ask for, which may be the "
    "same; empty: they ask for none.",
)
REDIS_CA_FILE = Setting(
    name="SLUICE_REDIS_CA_FILE",
    format=formats.PATH,
    group="Redis",
    meaning="PEM certificates that a `rediss://` or `rediss+sentinel://` server is checked "
    "against, besides the system's; read again for every new connection.",
)
CLUSTER = Setting(
    name="SLUICE_CLUSTER",
    format=formats.CLUSTER,
    group="Redis",
    meaning="Names the key space, so that clusters can share one Redis; "
    "empty: the first 8 characters of the kube-system namespace's uid.",
)
KUBECONFIG = Setting(
    name="SLUICE_KUBECONFIG",
    format=formats.PATH,
    group="Kubernetes",
    meaning="The kubeconfig to use; empty: in-cluster, else `KUBECONFIG`, else `~/.kube/config`.",
)
CONTEXT = Setting(
    name="SLUICE_CONTEXT",
    format=formats.TEXT,
    group="Kubernetes",
    meaning="The kubeconfig's context; empty: its current one.",
)
OPERATOR_CONFIGMAPS = Setting(
    name="SLUICE_OPERATOR_CONFIGMAPS",
    format=formats.FLAG,
    default="true",
    group="Kubernetes",
    meaning="Whether the ConfigMaps of trivy-operator in `OPERATOR_NAMESPACE` are settings too: "
    "under the environment, over the defaults. The watcher reads them, and all follow a change.",
)
TRIVY_PATH = Setting(
    name="SLUICE_TRIVY_PATH",
    format=formats.PATH,
    group="Trivy",
    meaning="The Trivy program; empty: `trivy` from `PATH`, else the installed wheel's.",
)
TRIVY_SERVER_URL = Setting(
    name="SLUICE_TRIVY_SERVER_URL",
    format=formats.HTTP_URL,
    group="Trivy",
    meaning="The match server; empty: the one that the matcher announces in Redis.",
)
MATCHER_ADDRESS = Setting(
    name="SLUICE_MATCHER_ADDRESS",
    format=formats.BIND,
    default=":4954",  # trivy-operator's service port for its built-in server
    group="Trivy",
    meaning="Where a `match` worker's Trivy server listens; port 0 picks a free one.",
)
MATCHER_ADVERTISED_URL = Setting(
    name="SLUICE_MATCHER_ADVERTISED_URL",
    format=formats.HTTP_URL,
    group="Trivy",
    meaning="How others reach that server; empty: `http://` and the address it listens on "
    "(loopback where that is every interface).",
)
DB_CHECK_INTERVAL_S = Setting(
    name="SLUICE_DB_CHECK_INTERVAL_S",
    format=formats.whole(1, 604_800),
    default="3600",
    unit="s",
    group="Trivy",
    meaning="How often the matcher looks for a newer vulnerability database.",
)
SCANNER_SOCKET = Setting(
    name="SLUICE_SCANNER_SOCKET",
    format=formats.PATH,
    group="Trivy",
    meaning="The Unix socket between scan workers and `sluice scanner`; "
    "empty: `scanner.sock` in the data folder.",
)
SCANNER_JOBS = Setting(
    name="SLUICE_SCANNER_JOBS",
    format=formats.whole(1, 256),
    default="2",
    unit="jobs",
    group="Trivy",
    meaning="How many images one scanner unpacks at the same time; plan 256 MB for each.",
)
SCANNER_MEMORY_MB = Setting(
    name="SLUICE_SCANNER_MEMORY_MB",
    format=formats.whole(0, 1_048_576),
    default="0",
    unit="MB",
    group="Trivy",
    meaning="The memory limit of one inventory; 0: only the container's own limit counts.",
)
DATA_DIR = Setting(
    name="SLUICE_DATA_DIR",
    format=formats.PATH,
    group="Operations",
    meaning="Where databases, layer caches, sockets and the embedded Valkey live; "
    "empty: `sluice` in `XDG_STATE_HOME`, else in `~/.local/state`, else in `/var/lib`.",
)
KBOM = Setting(
    name="SLUICE_KBOM_ENABLED",
    format=formats.FLAG,
    default="true",
    group="Scanners",
    meaning="Whether the cluster's own software (control plane, add-ons, nodes) has a "
    "ClusterSbomReport and a ClusterVulnerabilityReport, as trivy-operator always writes them. "
    "Needs SbomReports, VulnerabilityReports, and all namespaces and nodes in scope.",
    shapes_rows=True,
)
PLATFORM = Setting(
    name="SLUICE_PLATFORM",
    format=formats.PLATFORM,
    group="Scope",
    meaning="The platform of every node, such as `linux-amd64`, where nodes may not be watched "
    "(an installation with Roles only); empty: each node tells its own.",
    shapes_rows=True,
)
IMAGE_WAIT_S = Setting(
    name="SLUICE_IMAGE_WAIT_S",
    format=formats.number(0, 86_400),
    default="60",
    unit="s",
    group="Pipeline",
    meaning="How long a new workload waits for its kubelet's imageID before a worker resolves the "
    "reference itself (at once after a pull error).",
)
LEASE_S = Setting(
    name="SLUICE_LEASE_S",
    format=formats.number(1, 3_600),
    default="15",
    unit="s",
    group="Pipeline",
    meaning="How long a worker may be silent before its keys go to others; it renews every third.",
)
LEADER_ELECTION = Setting(
    name="SLUICE_LEADER_ELECTION",
    format=formats.FLAG,
    default="true",
    group="Pipeline",
    meaning="Whether watchers agree by a Lease on the one that writes, while the others stand by; "
    "`sluice run` with a Redis of its own takes `false` where nothing is set.",
)
LEADER_LEASE_S = Setting(
    name="SLUICE_LEADER_LEASE_S",
    format=formats.whole(3, 3_600),
    default="15",
    unit="s",
    group="Pipeline",
    meaning="How long the leading watcher may be silent before another takes over; it renews every "
    "2/15 of it and stops writing after 2/3.",
)
SWEEP_INTERVAL_S = Setting(
    name="SLUICE_SWEEP_INTERVAL_S",
    format=formats.number(1, 86_400),
    default="600",
    unit="s",
    group="Pipeline",
    meaning="How often the watcher compares workloads, reports, Redis' tables and the queue.",
)
ERROR_POLICIES = Setting(
    name="SLUICE_ERROR_POLICIES",
    format=formats.changes(CLASS_NAMES, FIELDS, odd_policies, others=CLASS_OF_REASON),
    group="Pipeline",
    meaning="Other numbers for error classes, such as `RateLimited.attempts=80,"
    "ScanTimeout.probe_s=7200`; docs/error-classes.md has classes, fields, ranges "
    "and defaults.",
)
CIRCUIT_POLICIES = Setting(
    name="SLUICE_CIRCUIT_POLICIES",
    format=formats.changes(CIRCUITS, CIRCUIT_FIELDS, odd_circuits),
    group="Pipeline",
    meaning="Other numbers for circuits, such as `registry.threshold=5,registry.cap_s=600`; "
    "`threshold` counts "
    "subjects (of a registry: repositories); docs/error-classes.md has kinds, fields, ranges and "
    "defaults.",
)
WORKER_POOLS = Setting(
    name="SLUICE_WORKER_POOLS",
    format=formats.POOL_LIST,
    default="reconcile,scan",
    group="Pipeline",
    meaning="The pools that `sluice worker` serves; one process can serve several. `scan` serves "
    "`rematch` too (findings of known images, needs no scanner), "
    "`match` supervises the cluster's one Trivy server.",
)
DRAIN_S = Setting(
    name="SLUICE_DRAIN_S",
    format=formats.number(0, 3_600),
    default="25",  # Kubernetes kills a pod 30 s after SIGTERM
    unit="s",
    group="Pipeline",
    meaning="How long a process may finish what it holds after SIGTERM; the rest is given back.",
)
RESOURCE_LABELS = Setting(
    name="SLUICE_RESOURCE_LABELS",
    format=formats.LABEL_KEYS,
    group="Reports",
    meaning="Labels of a workload that its reports and metrics carry too "
    "(trivy-operator's `report.resourceLabels`).",
    shapes_rows=True,
)
RESOURCE_LABELS_PREFIX = Setting(
    name="SLUICE_RESOURCE_LABELS_PREFIX",
    format=formats.TEXT,
    default="k8s_label_",
    group="Operations",
    meaning="What the metric labels of copied labels begin with "
    "(trivy-operator's `metrics.resourceLabelsPrefix`).",
)
ADDITIONAL_LABELS = Setting(
    name="SLUICE_ADDITIONAL_LABELS",
    format=formats.LABELS,
    group="Reports",
    meaning="Labels put on every report (trivy-operator's `report.additionalLabels`).",
    shapes_reports=True,
)
ADDITIONAL_FIELDS = Setting(
    name="SLUICE_ADDITIONAL_VULNERABILITY_REPORT_FIELDS",
    format=formats.FIELD_LIST,
    group="Reports",
    meaning="Optional fields of each vulnerability "
    "(trivy-operator's `trivy.additionalVulnerabilityReportFields`).",
    shapes_reports=True,
)
SKIP_RESOURCE_BY_LABELS = Setting(
    name="SLUICE_SKIP_RESOURCE_BY_LABELS",
    format=formats.LABEL_KEYS,
    group="Scope",
    meaning="A workload with one of these label keys is not scanned "
    "(trivy-operator's `skipResourceByLabels`).",
    shapes_rows=True,
)
LOG_FORMAT = Setting(
    name="SLUICE_LOG_FORMAT",
    format=formats.choice("auto", "console", "json"),
    default="auto",
    group="Operations",
    meaning="How log lines look; `auto`: `console` on a terminal, else `json`.",
)
LOG_LEVEL = Setting(
    name="SLUICE_LOG_LEVEL",
    format=formats.choice("debug", "info", "warning", "error"),
    default="info",
    group="Operations",
    meaning="The least important line that is written.",
)
STATUS_ADDRESS = Setting(
    name="SLUICE_STATUS_ADDRESS",
    format=formats.BIND,
    default=":8081",
    group="Operations",
    meaning="Where `sluice run` and the watcher serve the read-only status page.",
)

STATUS_FINDINGS = Setting(
    name="SLUICE_STATUS_FINDINGS",
    format=formats.FLAG,
    default="true",
    group="Operations",
    meaning="Whether the status page tells vulnerabilities by name: an image's findings, and which "
    "images have a CVE. `false`: numbers alone.",
)
STATUS_HOSTS = Setting(
    name="SLUICE_STATUS_HOSTS",
    format=formats.NAMES,
    group="Operations",
    meaning="Names with a dot under which the status page is reached, such as that of an Ingress; "
    "`*`: any. Addresses, `localhost` and the cluster's own names need none.",
)

# Collected, not listed: no row can be forgotten.
ROWS: tuple[Setting[object], ...] = tuple(
    row for row in list(globals().values()) if isinstance(row, Setting)
)
