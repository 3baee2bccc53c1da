"""The environment to one `Settings` value; every fault is found before the first is told.

Pure: `__main__` and the command line pass the mapping in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from common.model.errors import SettingsError, shorten
from common.model.patterns import is_malformed
from common.reports.duration import go_duration
from common.settings import images, ours, upstream
from common.settings.setting import Setting
from common.settings.spelling import misspelt, unknown
from common.settings.table import ROWS
from common.settings.value import (
    ClusterReports,
    CredentialSettings,
    Filters,
    KubeSettings,
    Limits,
    OpsSettings,
    PipelineSettings,
    RedisSettings,
    Registries,
    ReportSettings,
    Scanners,
    Scope,
    Settings,
    TrivySettings,
    Verify,
)

T = TypeVar("T")


class _Reading:
    """One pass over the environment that collects what is wrong with it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []
        self.warnings: list[str] = []

    def get(self, setting: Setting[T]) -> T:
        """Return the value of `setting`; its default after a fault, so that reading goes on."""
        default = setting.format.read(setting.default)
        text = self._environ.get(setting.name)
        if text is None or (not text.strip() and not setting.format.empty_is_a_value):
            return default
        try:
            return setting.format.read(text.strip())
        except ValueError as exc:
            self.faults.append(f"{setting.name} {exc}")
            return default


def parse(environ: Mapping[str, str], *, known: Iterable[str] = ()) -> Settings:
    """Return the settings that `environ` holds; an empty value counts as not set.

    Raises SettingsError, which lists every fault with its remedy and quotes no secret; `known`
    are faults that were found before.
    """
    reading = _Reading(environ)
    reading.faults.extend(known)
    reading.faults.extend(unknown(environ))
    reading.warnings.extend(misspelt(environ))
    reading.warnings.extend(_vain(reading.get(upstream.EXCLUDE_NAMESPACES)))
    for row in ROWS:
        _check_known(reading, row)
    settings = _collect(reading, _data_dir(reading, environ))
    reading.faults.extend(_contradictions(settings))
    if reading.faults:
        raise SettingsError(_told(sorted(set(reading.faults))))
    return settings


def _collect(reading: _Reading, data_dir: str) -> Settings:
    return Settings(
        scope=_scope(reading),
        scanners=Scanners(
            vulnerability=reading.get(upstream.VULNERABILITY),
            exposed_secret=reading.get(upstream.EXPOSED_SECRET),
            sbom=reading.get(upstream.SBOM),
        ),
        reports=_reports(reading),
        cluster_reports=_cluster_reports(reading),
        trivy=_trivy(reading, data_dir),
        registries=Registries(
            registry_mirrors=reading.get(images.REGISTRY_MIRRORS),
            insecure_registries=reading.get(images.INSECURE_REGISTRIES),
            plain_registries=reading.get(images.NON_SSL_REGISTRIES),
            all_plain=reading.get(images.NON_SSL),
            insecure_databases=reading.get(images.DB_REPOSITORY_INSECURE),
        ),
        credentials=_credentials(reading),
        filters=_filters(reading),
        verify=Verify(
            report_ttl_s=reading.get(upstream.REPORT_TTL),
            rescan_window=reading.get(images.RESCAN_WINDOW),
            refresh_over_s=reading.get(images.REFRESH_OVER_S),
        ),
        limits=_limits(reading),
        redis=RedisSettings(
            address=reading.get(ours.REDIS_URL),
            password_file=reading.get(ours.REDIS_PASSWORD_FILE),
            sentinel_password_file=reading.get(ours.REDIS_SENTINEL_PASSWORD_FILE),
            ca_file=reading.get(ours.REDIS_CA_FILE),
            cluster=reading.get(ours.CLUSTER),
        ),
        kube=KubeSettings(
            kubeconfig=reading.get(ours.KUBECONFIG),
            context=reading.get(ours.CONTEXT),
            operator_configmaps=reading.get(ours.OPERATOR_CONFIGMAPS),
        ),
        pipeline=_pipeline(reading),
        ops=_ops(reading, data_dir),
        projection=_plain(reading, lambda row: row.shapes_reports),
        ways=_plain(reading, lambda row: row.group == "Trivy" and not row.shapes_reports),
        warnings=tuple(reading.warnings),
    )


def _plain(reading: _Reading, wanted: Callable[[Setting[Any]], bool]) -> dict[str, object]:
    """Return values by name, no credential among them; what does nothing must run nothing."""
    rows = [row for row in ROWS if row.honoured and not row.secret and wanted(row)]
    return {row.name: msgspec.to_builtins(reading.get(row)) for row in rows}


def _scope(reading: _Reading) -> Scope:
    return Scope(
        operator_namespace=reading.get(upstream.OPERATOR_NAMESPACE),
        target_namespaces=reading.get(upstream.TARGET_NAMESPACES),
        exclude_namespaces=reading.get(upstream.EXCLUDE_NAMESPACES),
        target_workloads=reading.get(upstream.TARGET_WORKLOADS),
        only_current_revisions=reading.get(upstream.ONLY_CURRENT_REVISIONS),
        skip_labels=reading.get(ours.SKIP_RESOURCE_BY_LABELS),
        exclude_images=reading.get(images.EXCLUDE_IMAGES),
        skip_init_containers=reading.get(images.SKIP_INIT_CONTAINERS),
        platform=reading.get(ours.PLATFORM),
    )


def _reports(reading: _Reading) -> ReportSettings:
    ttl_s = reading.get(upstream.REPORT_TTL)
    return ReportSettings(
        severities=reading.get(upstream.SEVERITY),
        ignore_unfixed=reading.get(upstream.IGNORE_UNFIXED),
        additional_fields=reading.get(ours.ADDITIONAL_FIELDS),
        skip_files=reading.get(upstream.SKIP_FILES),
        skip_dirs=reading.get(upstream.SKIP_DIRS),
        resource_labels=reading.get(ours.RESOURCE_LABELS),
        additional_labels=reading.get(ours.ADDITIONAL_LABELS),
        ttl="" if ttl_s is None else go_duration(ttl_s),
    )


def _cluster_reports(reading: _Reading) -> ClusterReports:
    """Return what may be written; Roles in namespaces give no right to anything of the cluster.

    What is on by default is left out without a warning: `lacking` tells of it.
    """
    sboms, ttl_s = reading.get(upstream.CLUSTER_SBOM_CACHE), reading.get(upstream.CACHE_REPORT_TTL)
    confined = bool(reading.get(upstream.TARGET_NAMESPACES))
    why = f"{upstream.TARGET_NAMESPACES.name} narrows the scope to namespaces" if confined else ""
    if sboms and (confined or not reading.get(upstream.SBOM)):
        reading.warnings.append(
            f"{upstream.CLUSTER_SBOM_CACHE.name} has no effect, for "
            f"{why or f'{upstream.SBOM.name} is false'}: no ClusterSbomReports are written"
        )
    if not why and reading.get(ours.PLATFORM):
        why = f"{ours.PLATFORM.name} is set, so that nodes are not read"
    kbom = (
        reading.get(ours.KBOM)
        and reading.get(upstream.SBOM)
        and reading.get(upstream.VULNERABILITY)
    )
    return ClusterReports(
        sboms=sboms and not confined and reading.get(upstream.SBOM),
        sbom_ttl="" if ttl_s is None else go_duration(ttl_s),
        kbom=kbom and not why,
        lacking=f"no report about the cluster's own software is written, for {why}"
        if kbom and why
        else "",
    )


def _trivy(reading: _Reading, data_dir: str) -> TrivySettings:
    return TrivySettings(
        path=reading.get(ours.TRIVY_PATH),
        server_url=reading.get(ours.TRIVY_SERVER_URL),
        matcher_address=reading.get(ours.MATCHER_ADDRESS),
        matcher_advertised_url=reading.get(ours.MATCHER_ADVERTISED_URL),
        token_file=reading.get(images.TRIVY_TOKEN_FILE),
        db_repository=reading.get(upstream.DB_REPOSITORY),
        java_db_repository=reading.get(upstream.JAVA_DB_REPOSITORY),
        insecure=reading.get(upstream.INSECURE),
        db_check_interval_s=reading.get(ours.DB_CHECK_INTERVAL_S),
        scan_timeout_s=reading.get(upstream.SCAN_JOB_TIMEOUT),
        scanner_socket=reading.get(ours.SCANNER_SOCKET) or f"{data_dir}/scanner.sock",
        scanner_jobs=reading.get(ours.SCANNER_JOBS),
        scanner_memory_mb=reading.get(ours.SCANNER_MEMORY_MB),
    )


def _credentials(reading: _Reading) -> CredentialSettings:
    return CredentialSettings(
        database_username_file=reading.get(images.DB_REPOSITORY_USERNAME_FILE),
        database_password_file=reading.get(images.DB_REPOSITORY_PASSWORD_FILE),
        operator_secret_dir=reading.get(images.OPERATOR_SECRET_DIR),
        registry_secrets=reading.get(images.PRIVATE_REGISTRY_SECRETS),
        everybodys_namespace=reading.get(upstream.OPERATOR_NAMESPACE),
        workload_secrets=reading.get(images.ACCESS_GLOBAL_SECRETS),
        provider_config=reading.get(images.CREDENTIAL_PROVIDER_CONFIG),
        provider_bin_dir=reading.get(images.CREDENTIAL_PROVIDER_BIN_DIR),
    )


def _filters(reading: _Reading) -> Filters:
    older = reading.get(images.VULN_TYPE)
    return Filters(
        ignore_rules=reading.get(images.IGNORE_RULES),
        ignore_policies=reading.get(images.IGNORE_POLICIES),
        vex_documents=reading.get(images.VEX_DOCUMENTS),
        package_types=tuple(kind for kind in reading.get(images.PKG_TYPES) if kind in older),
        ignore_statuses=reading.get(images.IGNORE_STATUS),
        sbom_sources=reading.get(images.SBOM_SOURCES),
    )


def _limits(reading: _Reading) -> Limits:
    return Limits(
        max_image_bytes=reading.get(images.MAX_IMAGE_SIZE),
        scratch_mb=reading.get(images.SCRATCH_MB),
        unpack_ratio=reading.get(images.MAX_UNPACK_RATIO),
        layer_cache_gb=reading.get(images.LAYER_CACHE_GB),
        pulls_per_min=reading.get(images.REGISTRY_PULLS_PER_MIN),
        concurrent_pulls=reading.get(images.REGISTRY_CONCURRENT_PULLS),
        pull_proxy=reading.get(images.PULL_PROXY),
        verify_layers=reading.get(images.VERIFY_LAYERS),
    )


def _pipeline(reading: _Reading) -> PipelineSettings:
    return PipelineSettings(
        image_wait_s=reading.get(ours.IMAGE_WAIT_S),
        lease_s=reading.get(ours.LEASE_S),
        leader_election=reading.get(ours.LEADER_ELECTION),
        leader_lease_s=reading.get(ours.LEADER_LEASE_S),
        sweep_interval_s=reading.get(ours.SWEEP_INTERVAL_S),
        drain_s=reading.get(ours.DRAIN_S),
        pools=reading.get(ours.WORKER_POOLS),
        error_policies=reading.get(ours.ERROR_POLICIES),
        circuit_policies=reading.get(ours.CIRCUIT_POLICIES),
    )


def _data_dir(reading: _Reading, environ: Mapping[str, str]) -> str:
    """Return the data folder: as set, else where the XDG base directory specification says."""
    if chosen := reading.get(ours.DATA_DIR):
        return chosen.rstrip("/") or "/"
    home = environ.get("HOME", "")
    state = environ.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else "/var/lib")
    return f"{state.rstrip('/')}/sluice"


def _ops(reading: _Reading, data_dir: str) -> OpsSettings:
    return OpsSettings(
        log_format=reading.get(ours.LOG_FORMAT),
        log_level=reading.get(ours.LOG_LEVEL),
        metrics_address=reading.get(upstream.METRICS_BIND_ADDRESS),
        health_address=reading.get(upstream.HEALTH_BIND_ADDRESS),
        status_address=reading.get(ours.STATUS_ADDRESS),
        status_findings=reading.get(ours.STATUS_FINDINGS),
        status_hosts=reading.get(ours.STATUS_HOSTS),
        resource_labels_prefix=reading.get(ours.RESOURCE_LABELS_PREFIX),
        data_dir=data_dir,
    )


def _check_known(reading: _Reading, row: Setting[object]) -> None:
    """Warn where a setting that is not honoured says something else than its default."""
    if row.honoured or reading.get(row) == row.format.read(row.default):
        return
    whose = "trivy-operator's and " if row.upstream else ""
    reading.warnings.append(f"{row.name} is {whose}not honoured in this version: {row.instead}")


def _vain(globs: tuple[str, ...]) -> list[str]:
    """Name what excludes nothing: trivy-operator includes a namespace then, and so do we."""
    return [
        f"OPERATOR_EXCLUDE_NAMESPACES has {shorten(glob)!r}, which is no pattern and "
        "excludes nothing"
        for glob in globs
        if is_malformed(glob)
    ]


def _contradictions(settings: Settings) -> list[str]:
    found = []
    address = settings.redis.address
    if address is not None and address.password and settings.redis.password_file:
        found.append(
            "SLUICE_REDIS_PASSWORD_FILE is set and SLUICE_REDIS_URL has a password; keep one"
        )
    if not settings.filters.package_types:
        found.append("TRIVY_PKG_TYPES and TRIVY_VULN_TYPE have no type in common; keep one")
    if bool(settings.credentials.database_username_file) != bool(
        settings.credentials.database_password_file
    ):
        found.append(
            "SLUICE_DB_REPOSITORY_USERNAME_FILE and SLUICE_DB_REPOSITORY_PASSWORD_FILE belong "
            "together; set both"
        )
    if bool(settings.credentials.provider_config) != bool(settings.credentials.provider_bin_dir):
        found.append(
            "SLUICE_CREDENTIAL_PROVIDER_CONFIG and SLUICE_CREDENTIAL_PROVIDER_BIN_DIR belong "
            "together; set both"
        )
    return found


def _told(faults: list[str]) -> str:
    if len(faults) == 1:
        return f"settings: {faults[0]}"
    return f"{len(faults)} settings are wrong:" + "".join(f"\n  - {fault}" for fault in faults)
