"""`Settings`: what the environment says, parsed once, grouped by what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.model.canonical import ContentHash, content_hash
from common.model.ignore import IgnoreRules
from common.model.policies import Change
from common.model.redis_address import RedisAddress
from common.model.vex import VexDocument
from common.settings.formats import BindAddress
from common.settings.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which workloads are scanned."""

    operator_namespace: str  # empty: the pod's own
    target_namespaces: tuple[str, ...]  # empty: all
    exclude_namespaces: tuple[str, ...]  # globs; count only where target_namespaces is empty
    target_workloads: tuple[str, ...]  # kinds, as `WORKLOAD_KINDS` spells them
    only_current_revisions: bool
    skip_labels: tuple[str, ...]  # label keys
    exclude_images: tuple[str, ...]  # globs
    skip_init_containers: bool
    platform: str  # of all nodes, which are not watched then; empty: each tells its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanners:
    """Which kinds of image reports are written."""

    vulnerability: bool
    exposed_secret: bool
    sbom: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """What reports hold."""

    severities: tuple[str, ...]
    ignore_unfixed: bool
    additional_fields: tuple[str, ...]
    skip_files: tuple[str, ...]
    skip_dirs: tuple[str, ...]
    resource_labels: tuple[str, ...]  # label keys copied from the workload
    additional_labels: tuple[tuple[str, str], ...]
    ttl: str  # Go duration for the annotation; empty: no annotation


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReports:
    """Which reports about the whole cluster are written, as far as the scope allows it."""

    sboms: bool  # one per image name that runs
    sbom_ttl: str  # Go duration for their annotation; empty: no annotation
    kbom: bool  # one of the cluster's own software, and its vulnerabilities
    lacking: str = ""  # what the settings ask for and the scope does not allow, in a sentence

    @property
    def any(self) -> bool:
        """Whether there are any, so that their kinds must be followed."""
        return self.sboms or self.kbom


@dataclass(frozen=True, slots=True, kw_only=True)
class TrivySettings:
    """How Trivy is found, fed and bounded."""

    path: str  # empty: from PATH, else the wheel's
    server_url: str  # empty: the one that the matcher announces
    matcher_address: BindAddress
    matcher_advertised_url: str  # empty: from the address
    token_file: str  # of the match server's token; empty: none is set
    db_repository: str  # empty: Trivy's default
    java_db_repository: str
    insecure: bool
    db_check_interval_s: int
    scan_timeout_s: float
    scanner_socket: str  # path of a Unix socket
    scanner_jobs: int
    scanner_memory_mb: int  # 0: no limit of our own


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """How registries are reached."""

    registry_mirrors: tuple[tuple[str, str], ...]  # prefix and what replaces it, longest first
    insecure_registries: tuple[str, ...]  # hosts whose certificates are not checked
    plain_registries: tuple[str, ...]  # hosts that may be asked over plain HTTP
    all_plain: bool  # every registry may be asked over plain HTTP
    insecure_databases: bool  # both, for the databases' registry


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSettings:
    """Where credentials for registries come from. Names and paths only."""

    database_username_file: str  # empty: none
    database_password_file: str
    operator_secret_dir: str  # where trivy-operator's Secret is mounted; empty: nowhere
    registry_secrets: tuple[tuple[str, tuple[str, ...]], ...]  # names by namespace
    everybodys_namespace: str  # whose secrets serve all workloads; empty: the pod's own
    workload_secrets: bool  # whether those of workloads and of their accounts are read
    provider_config: str  # path of a CredentialProviderConfig; empty: none
    provider_bin_dir: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which findings reports leave out, as Trivy would."""

    ignore_rules: IgnoreRules
    ignore_policies: tuple[tuple[str, str], ...]  # Rego texts by what they count for
    vex_documents: tuple[VexDocument, ...]
    package_types: tuple[str, ...]
    ignore_statuses: tuple[str, ...]
    sbom_sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How often what is known about an image is checked again."""

    report_ttl_s: float | None  # the oldest that a report may be unchecked; None: for ever
    rescan_window: Window | None  # None: at any time
    refresh_over_s: int  # over how long a new Trivy's work is spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What images may cost. Rates are by host; `*` is every other."""

    max_image_bytes: int  # 0: no limit
    scratch_mb: int  # for each job; 0: no limit of our own
    unpack_ratio: int  # of a large layer; 0: no limit
    layer_cache_gb: int  # 0: no limit of our own
    pulls_per_min: tuple[tuple[str, float], ...]
    concurrent_pulls: tuple[tuple[str, float], ...]
    pull_proxy: bool
    verify_layers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """Where Redis is and how the key space is named."""

    address: RedisAddress | None  # None: not set, so `sluice run` starts its own
    password_file: str
    sentinel_password_file: str  # empty: the Sentinels ask for none
    ca_file: str
    cluster: str  # empty: from the kube-system namespace's uid


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeSettings:
    """Which cluster; empty: in-cluster, else the current context."""

    kubeconfig: str
    context: str
    operator_configmaps: bool  # whether trivy-operator's ConfigMaps are settings too


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """Times and pools of watcher and workers."""

    image_wait_s: float
    lease_s: float
    leader_election: bool
    leader_lease_s: int
    sweep_interval_s: float
    drain_s: float
    pools: tuple[str, ...]
    error_policies: tuple[Change, ...]  # changes to the policies of error classes
    circuit_policies: tuple[Change, ...]  # changes to the policies of circuits


@dataclass(frozen=True, slots=True, kw_only=True)
class OpsSettings:
    """Logs, servers and the data folder."""

    log_format: str  # auto | console | json
    log_level: str
    metrics_address: BindAddress
    health_address: BindAddress
    status_address: BindAddress
    status_findings: bool  # whether the status page tells vulnerabilities by name
    status_hosts: tuple[str, ...]  # names of ours with a dot; `*`: any
    resource_labels_prefix: str
    data_dir: str  # no slash at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the environment says. Made by `parse` alone."""

    scope: Scope
    scanners: Scanners
    reports: ReportSettings
    cluster_reports: ClusterReports
    trivy: TrivySettings
    registries: Registries
    credentials: CredentialSettings
    filters: Filters
    verify: Verify
    limits: Limits
    redis: RedisSettings
    kube: KubeSettings
    pipeline: PipelineSettings
    ops: OpsSettings
    # Settings that change a report's content or which reports exist, by name, in JSON's terms.
    projection: Mapping[str, object] = field(repr=False)
    ways: Mapping[str, object] = field(repr=False)  # how images are got, as far as that shapes none
    warnings: tuple[str, ...] = ()  # sentences for the log at start

    def ways_digest(self) -> ContentHash:
        """Return the digest of what may let an image in that was refused before."""
        return content_hash(self.ways)

    def projection_digest(self, now_s: float = 0.0) -> ContentHash:
        """Return the part of the epoch that settings make; equal digests, equal reports.

        Each ignore rule that has ended at `now_s`, in Unix seconds, makes another one.
        """
        ended = sum(end_s < now_s for end_s in self.filters.ignore_rules.expiries_s)
        return content_hash({**self.projection, **({"ended": ended} if ended else {})})
