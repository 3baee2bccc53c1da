"""`Settings`: what the environment says, parsed once, grouped by what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.model.canonical import ContentHash, content_hash
from common.model.policies import Change
from common.model.redis_address import RedisAddress
from common.settings.formats import BindAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which workloads are scanned."""

    operator_namespace: str  # empty: the pod's own
    target_namespaces: tuple[str, ...]  # empty: all
    exclude_namespaces: tuple[str, ...]  # globs; count only where target_namespaces is empty
    target_workloads: tuple[str, ...]  # kinds, as `WORKLOAD_KINDS` spells them
    only_current_revisions: bool
    skip_labels: tuple[str, ...]  # label keys
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
class TrivySettings:
    """How Trivy is found, fed and bounded."""

    path: str  # empty: from PATH, else the wheel's
    server_url: str  # empty: the one that the matcher announces
    matcher_address: BindAddress
    matcher_advertised_url: str  # empty: from the address
    db_repository: str  # empty: Trivy's default
    java_db_repository: str
    insecure: bool
    db_check_interval_s: int
    scan_timeout_s: float
    scanner_socket: str  # path of a Unix socket
    scanner_jobs: int
    scanner_memory_mb: int  # 0: no limit of our own


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
    resource_labels_prefix: str
    data_dir: str  # no slash at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the environment says. Made by `parse` alone."""

    scope: Scope
    scanners: Scanners
    reports: ReportSettings
    trivy: TrivySettings
    redis: RedisSettings
    kube: KubeSettings
    pipeline: PipelineSettings
    ops: OpsSettings
    # Settings that change a report's content or which reports exist, by name, in JSON's terms.
    projection: Mapping[str, object] = field(repr=False)
    warnings: tuple[str, ...] = ()  # sentences for the log at start

    def projection_digest(self) -> ContentHash:
        """Return the part of the epoch that settings make; equal digests, equal reports."""
        return content_hash(dict(self.projection))
