"""Values of trivy-operator's chart under `operator` and `trivyOperator`. Pure data."""

from __future__ import annotations

from common.migration.convert import (
    assignments,
    each,
    flag_of,
    gibibytes,
    json_of,
    mapping,
    objects,
    strings,
    text_of,
    whole,
)
from common.migration.fates import ByHand, Given, Made, NoMeaning, NotYet, Row, ToValues
from common.migration.shapes import flag, later, nothing, setting
from common.migration.words import EVERY_OBJECT, LOCKED_DOWN, NO_AUDIT, NO_JOBS, NOT_YET, RESTRICTED

# What fits into one worker Pod. Above that the default of ours is used: images are scanned once.
_FEW = 3
_MATCHER_GI = 8  # our default: two databases and a layer cache
_CONCURRENT = NoMeaning(
    why="worker.replicas times scanner.jobs images are unpacked at once, 4 by default, and each "
    "image is unpacked once however many workloads run it"
)


def _replicas(value: object, given: Given) -> Made:
    """Return two watchers for two or more operators: a third one brings nothing."""
    del given
    return Made(values={"watcher.replicas": min(whole(value), 2)})


def _limit(value: object, given: Given) -> Made:
    del given
    jobs = whole(value)
    if 0 < jobs <= _FEW:
        return Made(values={"worker.replicas": 1, "scanner.jobs": jobs})
    return Made(left=(("", _CONCURRENT),))


def _log(value: object, given: Given) -> Made:
    del given
    if not flag(value):
        return Made()
    return Made(
        values={"settings.SLUICE_LOG_FORMAT": "console", "settings.SLUICE_LOG_LEVEL": "debug"}
    )


def server_volume(value: object, given: Given) -> Made:
    """Return the volume of the built-in server, which the matcher has instead."""
    del value
    if not flag_of(given.value("operator.builtInTrivyServer")):
        return Made(left=(("", NoMeaning(why="it is for the built-in server, which is off")),))
    if not flag(given.value("trivy.storageClassEnabled")):
        return Made(values={"matcher.persistence.enabled": False})
    size_gi = gibibytes(given.value("trivy.storageSize"))
    return Made(
        values={
            "matcher.persistence.enabled": True,
            "matcher.persistence.sizeGi": max(size_gi, _MATCHER_GI),
            "matcher.persistence.storageClass": text_of(given.value("trivy.storageClassName")),
        }
    )


VOLUME = ToValues(
    targets=(
        "matcher.persistence.enabled",
        "matcher.persistence.sizeGi",
        "matcher.persistence.storageClass",
    ),
    convert=server_volume,
    words="where operator.builtInTrivyServer is true",
)


def _server_insecure(value: object, given: Given) -> Made:
    if not flag(value):
        return Made()
    if not flag_of(given.value("operator.builtInTrivyServer")):
        return Made(left=(("", NoMeaning(why="it is for the built-in server, which is off")),))
    return Made(values={"settings.SLUICE_DB_REPOSITORY_INSECURE": "true"})


_SAME = (  # settings whose text is taken as it is
    ("leaderElectionId", "trivyoperator-lock", "OPERATOR_LEADER_ELECTION_ID"),
    ("scanJobTTL", "", "OPERATOR_SCAN_JOB_TTL"),
    ("scanSecretTTL", "", "OPERATOR_SCAN_SECRET_TTL"),
    ("scanJobTimeout", "5m", "OPERATOR_SCAN_JOB_TIMEOUT"),
    ("scanNodeCollectorLimit", 1, "OPERATOR_CONCURRENT_NODE_COLLECTOR_LIMIT"),
    ("scanJobsRetryDelay", "30s", "OPERATOR_SCAN_JOB_RETRY_AFTER"),
    ("vulnerabilityScannerEnabled", True, "OPERATOR_VULNERABILITY_SCANNER_ENABLED"),
    ("sbomGenerationEnabled", True, "OPERATOR_SBOM_GENERATION_ENABLED"),
    ("clusterSbomCacheEnabled", False, "OPERATOR_CLUSTER_SBOM_CACHE_ENABLED"),
    ("scannerReportTTL", "24h", "OPERATOR_SCANNER_REPORT_TTL"),
    ("cacheReportTTL", "120h", "OPERATOR_CACHE_REPORT_TTL"),
    ("batchDeleteLimit", 10, "OPERATOR_BATCH_DELETE_LIMIT"),
    (
        "vulnerabilityScannerScanOnlyCurrentRevisions",
        True,
        "OPERATOR_VULNERABILITY_SCANNER_SCAN_ONLY_CURRENT_REVISIONS",
    ),
    (
        "configAuditScannerScanOnlyCurrentRevisions",
        True,
        "OPERATOR_CONFIG_AUDIT_SCANNER_SCAN_ONLY_CURRENT_REVISIONS",
    ),
    ("batchDeleteDelay", "10s", "OPERATOR_BATCH_DELETE_DELAY"),
    (
        "accessGlobalSecretsAndServiceAccount",
        True,
        "OPERATOR_ACCESS_GLOBAL_SECRETS_SERVICE_ACCOUNTS",
    ),
    ("controllerCacheSyncTimeout", "5m", "CONTROLLER_CACHE_SYNC_TIMEOUT"),
    (
        "trivyServerHealthCheckCacheExpiration",
        "10h",
        "TRIVY_SERVER_HEALTH_CHECK_CACHE_EXPIRATION",
    ),
    ("metricsFindingsEnabled", True, "OPERATOR_METRICS_FINDINGS_ENABLED"),
    ("metricsVulnIdEnabled", False, "OPERATOR_METRICS_VULN_ID_ENABLED"),
    ("exposedSecretScannerEnabled", True, "OPERATOR_EXPOSED_SECRET_SCANNER_ENABLED"),
    ("metricsExposedSecretInfo", False, "OPERATOR_METRICS_EXPOSED_SECRET_INFO_ENABLED"),
    ("metricsConfigAuditInfo", False, "OPERATOR_METRICS_CONFIG_AUDIT_INFO_ENABLED"),
    ("metricsRbacAssessmentInfo", False, "OPERATOR_METRICS_RBAC_ASSESSMENT_INFO_ENABLED"),
    ("metricsInfraAssessmentInfo", False, "OPERATOR_METRICS_INFRA_ASSESSMENT_INFO_ENABLED"),
    ("metricsImageInfo", False, "OPERATOR_METRICS_IMAGE_INFO_ENABLED"),
    ("metricsClusterComplianceInfo", False, "OPERATOR_METRICS_CLUSTER_COMPLIANCE_INFO_ENABLED"),
    ("webhookBroadcastURL", "", "OPERATOR_WEBHOOK_BROADCAST_URL"),
    ("webhookBroadcastTimeout", "30s", "OPERATOR_WEBHOOK_BROADCAST_TIMEOUT"),
    ("webhookBroadcastCustomHeaders", "", "OPERATOR_WEBHOOK_BROADCAST_CUSTOM_HEADERS"),
    ("webhookSendDeletedReports", False, "OPERATOR_SEND_DELETED_REPORTS"),
    (
        "mergeRbacFindingWithConfigAudit",
        False,
        "OPERATOR_MERGE_RBAC_FINDING_WITH_CONFIG_AUDIT",
    ),
    ("pprofBindAddress", "", "OPERATOR_PPROF_BIND_ADDRESS"),
)
_MISSED = (  # kinds of reports that are on by default there
    ("configAuditScannerEnabled", "OPERATOR_CONFIG_AUDIT_SCANNER_ENABLED"),
    ("rbacAssessmentScannerEnabled", "OPERATOR_RBAC_ASSESSMENT_SCANNER_ENABLED"),
    ("infraAssessmentScannerEnabled", "OPERATOR_INFRA_ASSESSMENT_SCANNER_ENABLED"),
    ("clusterComplianceEnabled", "OPERATOR_CLUSTER_COMPLIANCE_ENABLED"),
)
_OWN_PROXY = "the watcher talks to the API server and to Redis alone; trivy.httpProxy is taken over"
_FROM_MAPS = ByHand(
    what="write what it holds under settings, by the names of docs/configuration.md"
)

OPERATOR: tuple[Row, ...] = (
    Row(key="operator.namespace", default="", fate=ByHand(what="helm install --namespace")),
    Row(
        key="operator.replicas",
        default=1,
        fate=ToValues(targets=("watcher.replicas",), convert=_replicas, words="2 for 2 or more"),
    ),
    Row(
        key="operator.revisionHistoryLimit",
        default=None,
        fate=NotYet(instead="the chart leaves Kubernetes' default, 10"),
    ),
    Row(key="operator.annotations", default={}, fate=ByHand(what=EVERY_OBJECT)),
    Row(key="operator.labels", default={}, fate=ByHand(what=EVERY_OBJECT)),
    Row(
        key="operator.podLabels",
        default={},
        fate=ToValues(targets=("watcher.podLabels",), convert=each(strings, "watcher.podLabels")),
    ),
    Row(
        key="operator.logDevMode",
        default=False,
        fate=ToValues(
            targets=("settings.SLUICE_LOG_FORMAT", "settings.SLUICE_LOG_LEVEL"), convert=_log
        ),
    ),
    Row(
        key="operator.scanJobsConcurrentLimit",
        default=10,
        fate=ToValues(
            targets=("worker.replicas", "scanner.jobs"),
            convert=_limit,
            words=f"up to {_FEW}; above, ours hold",
        ),
    ),
    *(setting(f"operator.{key}", default, name) for key, default, name in _SAME),
    *(setting(f"operator.{key}", True, name, missed=True) for key, name in _MISSED),
    Row(key="operator.builtInTrivyServer", default=False, fate=VOLUME),
    Row(
        key="operator.builtInServerRegistryInsecure",
        default=False,
        fate=ToValues(
            targets=("settings.SLUICE_DB_REPOSITORY_INSECURE",),
            convert=_server_insecure,
            words="where operator.builtInTrivyServer is true",
        ),
    ),
    Row(
        key="operator.serverAdditionalAnnotations",
        default={},
        fate=ToValues(
            targets=("matcher.podAnnotations",), convert=each(strings, "matcher.podAnnotations")
        ),
    ),
    # Of older charts.
    setting("operator.vulnerabilityScannerReportTTL", None, "OPERATOR_SCANNER_REPORT_TTL"),
    later("operator.kubernetesBenchmarkEnabled", None, NO_AUDIT),
    later("operator.configAuditScannerBuiltIn", None, NO_AUDIT),
    setting(
        "operator.privateRegistryScanSecretsNames",
        {},
        "OPERATOR_PRIVATE_REGISTRY_SCAN_SECRETS_NAMES",
        json_of,
    ),
    nothing("operator.httpProxy", None, _OWN_PROXY, secret=True),
    nothing("operator.httpsProxy", None, _OWN_PROXY, secret=True),
    nothing("operator.noProxy", None, _OWN_PROXY),
    Row(key="operator.valuesFromConfigMap", default="", fate=_FROM_MAPS),
    Row(key="operator.valuesFromSecret", default="", fate=_FROM_MAPS),
)

_VOLUMES = ByHand(
    what="worker.extraVolumes, scanner.extraVolumeMounts; for certificates registries.caConfigMap"
)
REPORTS: tuple[Row, ...] = (
    nothing("trivyOperator.vulnerabilityReportsPlugin", "Trivy", "Trivy is the scanner"),
    nothing("trivyOperator.configAuditReportsPlugin", "Trivy", "Trivy is the scanner"),
    nothing("trivyOperator.scanJobCompressLogs", True, NO_JOBS),
    nothing("trivyOperator.scanJobsInSameNamespace", False, NO_JOBS),
    Row(
        key="trivyOperator.scanJobAffinity",
        default={},
        fate=ToValues(targets=("worker.affinity",), convert=each(mapping, "worker.affinity")),
    ),
    Row(
        key="trivyOperator.scanJobTolerations",
        default=[],
        fate=ToValues(targets=("worker.tolerations",), convert=each(objects, "worker.tolerations")),
    ),
    Row(
        key="trivyOperator.scanJobNodeSelector",
        default={},
        fate=ToValues(
            targets=("worker.nodeSelector",), convert=each(strings, "worker.nodeSelector")
        ),
    ),
    Row(key="trivyOperator.scanJobCustomVolumesMount", default=[], fate=_VOLUMES),
    Row(key="trivyOperator.scanJobCustomVolumes", default=[], fate=_VOLUMES),
    nothing(
        "trivyOperator.useGCRServiceAccount",
        True,
        "registries.credentialProvider signs in at a cloud's registry",
    ),
    nothing("trivyOperator.scanJobAutomountServiceAccountToken", False, NO_JOBS),
    Row(
        key="trivyOperator.scanJobAnnotations",
        default="",
        fate=ToValues(
            targets=("worker.podAnnotations",), convert=each(assignments, "worker.podAnnotations")
        ),
    ),
    Row(
        key="trivyOperator.scanJobPodTemplateLabels",
        default="",
        fate=ToValues(targets=("worker.podLabels",), convert=each(assignments, "worker.podLabels")),
    ),
    setting("trivyOperator.skipInitContainers", False, "SLUICE_SKIP_INIT_CONTAINERS"),
    nothing("trivyOperator.scanJobPodTemplatePodSecurityContext", {}, RESTRICTED),
    nothing("trivyOperator.scanJobPodTemplateContainerSecurityContext", LOCKED_DOWN, RESTRICTED),
    Row(
        key="trivyOperator.scanJobPodPriorityClassName",
        default="",
        fate=ToValues(
            targets=("worker.priorityClassName",), convert=each(text_of, "worker.priorityClassName")
        ),
    ),
    setting("trivyOperator.reportResourceLabels", "", "SLUICE_RESOURCE_LABELS"),
    later("trivyOperator.reportRecordFailedChecksOnly", True, NO_AUDIT),
    setting("trivyOperator.skipResourceByLabels", "", "SLUICE_SKIP_RESOURCE_BY_LABELS"),
    setting(
        "trivyOperator.metricsResourceLabelsPrefix", "k8s_label_", "SLUICE_RESOURCE_LABELS_PREFIX"
    ),
    setting("trivyOperator.additionalReportLabels", "", "SLUICE_ADDITIONAL_LABELS"),
    later("trivyOperator.policiesConfig", "", f"{NOT_YET}: checks of your own"),
    setting("trivyOperator.excludeImages", "", "SLUICE_EXCLUDE_IMAGES"),
    nothing("trivyOperator.scanJobPodTemplateSecurityContext", None, RESTRICTED),  # of older charts
)
