"""trivy-operator's ConfigMaps (v0.32.0): which key is which setting, and what has no effect here.

Pure data. The keys of `trivy-operator-config` are environment variables, and need no table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.settings import images, known, ours, upstream
from common.settings.setting import Setting

OPERATOR_MAP = "trivy-operator"
ENVIRONMENT_MAP = "trivy-operator-config"
TRIVY_MAP = "trivy-operator-trivy-config"
MAPS = (ENVIRONMENT_MAP, OPERATOR_MAP, TRIVY_MAP)  # no setting stands in two of them
# Its keys are mounted as files: nobody of ours may read a Secret of this name.
SECRET = TRIVY_MAP

_NO_JOBS = "there are no scan Jobs here"
_NO_AUDIT = "this version writes no configuration, RBAC, infrastructure or compliance reports"
_PLACING = "there are no scan Jobs here; the chart's values place the workers"
_OWN_SERVER = (
    "the match pool runs the cluster's Trivy server; SLUICE_TRIVY_SERVER_URL and "
    "SLUICE_TRIVY_TOKEN_FILE name another one"
)
_AT_POD_START = "the chart hands it to workers, scanners and matcher when their Pods start"

SIMPLE: Mapping[str, Mapping[str, Setting[Any]]] = {
    OPERATOR_MAP: {
        "scanJob.excludeImages": images.EXCLUDE_IMAGES,
        "scanJob.skipInitContainers": images.SKIP_INIT_CONTAINERS,
        "skipResourceByLabels": ours.SKIP_RESOURCE_BY_LABELS,
        "report.resourceLabels": ours.RESOURCE_LABELS,
        "report.additionalLabels": ours.ADDITIONAL_LABELS,
        "metrics.resourceLabelsPrefix": ours.RESOURCE_LABELS_PREFIX,
    },
    TRIVY_MAP: {
        "trivy.severity": upstream.SEVERITY,
        "trivy.ignoreUnfixed": upstream.IGNORE_UNFIXED,
        "trivy.dbRepository": upstream.DB_REPOSITORY,
        "trivy.javaDbRepository": upstream.JAVA_DB_REPOSITORY,
        "trivy.dbRepositoryInsecure": images.DB_REPOSITORY_INSECURE,
        "trivy.additionalVulnerabilityReportFields": ours.ADDITIONAL_FIELDS,
        "trivy.vulnType": images.VULN_TYPE,
        "trivy.skipFiles": upstream.SKIP_FILES,
        "trivy.skipDirs": upstream.SKIP_DIRS,
        "trivy.ignoreFile": images.IGNORE_RULES,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Keys that differ after a prefix and make one setting together."""

    prefix: str
    setting: Setting[Any]
    # How one key's rest and text are an item of the setting's text.
    item: str  # `pair`: rest=text, `host`: the text alone, `policy`: a JSON object's member

    def has(self, key: str) -> bool:
        """Return whether the key is one of them."""
        rest = key.removeprefix(self.prefix)
        if self.item == "policy":
            return key == self.prefix or (rest != key and rest.startswith("."))
        return rest not in (key, "")


FAMILIES: tuple[Family, ...] = (  # all of the map of Trivy
    Family(prefix="trivy.registry.mirror.", setting=images.REGISTRY_MIRRORS, item="pair"),
    Family(prefix="trivy.insecureRegistry.", setting=images.INSECURE_REGISTRIES, item="host"),
    Family(prefix="trivy.nonSslRegistry.", setting=images.NON_SSL_REGISTRIES, item="host"),
    Family(prefix="trivy.ignorePolicy", setting=images.IGNORE_POLICIES, item="policy"),
)

# A setting that the environment names stands over those of which it is another form.
RIVALS: Mapping[str, tuple[str, ...]] = {
    images.IGNORE_RULES.name: (images.IGNORE_FILE.name,),
    images.IGNORE_POLICIES.name: (images.IGNORE_POLICY.name,),
    images.VULN_TYPE.name: (images.PKG_TYPES.name,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A key that has no effect here, and why; told where its text is none of `usual`."""

    key: str  # with a star at its end: everything that begins so
    why: str
    # Texts that say nothing: the operator's default and its chart's. None: whatever it says, for
    # its chart always renders something.
    usual: tuple[str, ...] | None = ("",)


_OPERATOR_UNUSED = (
    Unused(key="vulnerabilityReports.scanner", why="Trivy is the scanner", usual=("", "Trivy")),
    Unused(key="configAuditReports.scanner", why=_NO_AUDIT, usual=("", "Trivy")),
    Unused(key="vulnerabilityReports.scanJobsInSameNamespace", why=_NO_JOBS, usual=("", "false")),
    Unused(key="scanJob.tolerations", why=_PLACING, usual=("", "[]")),
    Unused(key="scanJob.affinity", why=_PLACING, usual=("", "{}")),
    Unused(key="scanJob.nodeSelector", why=_PLACING, usual=("", "{}")),
    Unused(key="scanJob.podPriorityClassName", why=_PLACING),
    Unused(key="scanJob.customVolumes*", why=_NO_JOBS, usual=("", "[]")),
    Unused(key="scanJob.podTemplate*", why=_NO_JOBS, usual=None),
    Unused(key="scanJob.annotations", why=_NO_JOBS),
    Unused(key="scanJob.automountServiceAccountToken", why=_NO_JOBS, usual=None),
    Unused(key="scanJob.compressLogs", why=_NO_JOBS, usual=None),
    Unused(
        key="scanJob.useGCRServiceAccount",
        why="a credential provider signs in at a cloud's registry (SLUICE_CREDENTIAL_PROVIDER_…)",
        usual=("", "true"),
    ),
    Unused(key="report.recordFailedChecksOnly", why=_NO_AUDIT, usual=("", "true")),
    Unused(key="compliance.failEntriesLimit", why=_NO_AUDIT, usual=None),
    Unused(key="node.collector.*", why=_NO_AUDIT, usual=None),
    Unused(key="nodeCollector.*", why=_NO_AUDIT, usual=None),
    Unused(key="policies.bundle.*", why=_NO_AUDIT, usual=None),
    Unused(key="trivy.serverURL", why=_OWN_SERVER),
    # What trivy-operator copies into this map from its own environment.
    Unused(key="vulnerabilityScannerEnabled", why="the environment says it", usual=None),
    Unused(key="exposedSecretsScannerEnabled", why="the environment says it", usual=None),
    Unused(key="generateSbomEnabled", why="the environment says it", usual=None),
    Unused(key="configAuditScannerEnabled", why=_NO_AUDIT, usual=None),
)
_TRIVY_UNUSED = (
    Unused(key="trivy.repository", why="the product's image holds Trivy", usual=None),
    Unused(key="trivy.tag", why="the product's image holds Trivy", usual=None),
    Unused(key="trivy.imagePull*", why=_NO_JOBS, usual=None),
    Unused(key="trivy.mode", why="every image is matched by the match pool's server", usual=None),
    Unused(
        key="trivy.command",
        why="images are read from their registries, never from a node's file system",
        usual=("", "image"),
    ),
    Unused(key="trivy.offlineScan", why="an inventory asks its registry alone", usual=None),
    Unused(key="trivy.slow", why="SLUICE_SCANNER_JOBS says how much is done at once", usual=None),
    Unused(key="trivy.timeout", why="use OPERATOR_SCAN_JOB_TIMEOUT", usual=("", "5m", "5m0s")),
    Unused(key="trivy.serverURL", why=_OWN_SERVER),
    Unused(key="trivy.serverTokenHeader", why=_OWN_SERVER, usual=("", "Trivy-Token")),
    Unused(key="trivy.serverInsecure", why=_OWN_SERVER),
    Unused(key="trivy.clientServerSkipUpdate", why=_OWN_SERVER, usual=("", "false")),
    Unused(
        key="trivy.skipJavaDBUpdate",
        why="the Java database is fetched when the first image needs it",
        usual=("", "false"),
    ),
    Unused(key="trivy.sbomSources", why=images.SBOM_SOURCES.instead),
    Unused(
        key="trivy.includeDevDeps",
        why="it concerns scans of file systems alone",
        usual=("", "false"),
    ),
    Unused(key="trivy.ignoreFileName", why="its text tells whether it is YAML", usual=None),
    Unused(key="trivy.configFile", why="each of its settings has a name of its own here"),
    Unused(key="trivy.sslCertDir", why="the chart's registries.caConfigMap holds certificates"),
    Unused(key="trivy.httpProxy", why=_AT_POD_START, usual=None),
    Unused(key="trivy.httpsProxy", why=_AT_POD_START, usual=None),
    Unused(key="trivy.noProxy", why=_AT_POD_START, usual=None),
    Unused(key="trivy.imageScanCacheDir", why=_NO_JOBS, usual=None),
    Unused(key="trivy.filesystemScanCacheDir", why=_NO_JOBS, usual=None),
    Unused(key="trivy.resources.*", why="the chart's scanner.resources bound scans", usual=None),
    Unused(key="trivy.useBuiltinRegoPolicies", why=_NO_AUDIT, usual=None),
    Unused(key="trivy.useEmbeddedRegoPolicies", why=_NO_AUDIT, usual=None),
    Unused(key="trivy.supportedConfigAuditKinds", why=_NO_AUDIT, usual=None),
    # Of its built-in server, which takes this map as its environment.
    Unused(key="TRIVY_*", why=_OWN_SERVER, usual=None),
)
UNUSED: Mapping[str, tuple[Unused, ...]] = {
    OPERATOR_MAP: _OPERATOR_UNUSED,
    TRIVY_MAP: _TRIVY_UNUSED,
}

# What a process must know before it can ask anybody.
_BEFORE = frozenset(
    {
        upstream.OPERATOR_NAMESPACE.name,
        upstream.METRICS_BIND_ADDRESS.name,
        upstream.HEALTH_BIND_ADDRESS.name,
    }
)
ENVIRONMENT_PREFIXES = ("OPERATOR_", "CONTROLLER_", "TRIVY_SERVER_HEALTH_")
# The variables that trivy-operator's chart puts into its map, and we honour.
OF_ENVIRONMENT: Mapping[str, Setting[Any]] = {
    row.name: row
    for row in (*upstream.ROWS, *images.ROWS)
    if row.name.startswith(ENVIRONMENT_PREFIXES) and row.honoured and row.name not in _BEFORE
}
UNUSED_OF_ENVIRONMENT: Mapping[str, Setting[Any]] = {
    row.name: row for row in known.ROWS if row.name.startswith(ENVIRONMENT_PREFIXES)
}
BEFORE = _BEFORE

# Every name that a ConfigMap can set; a text for any other one is nobody's who may say it.
SETTABLE = frozenset(
    {
        *OF_ENVIRONMENT,
        *(row.name for rows in SIMPLE.values() for row in rows.values()),
        *(family.setting.name for family in FAMILIES),
    }
)
