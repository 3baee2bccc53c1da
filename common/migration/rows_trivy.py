"""Values of trivy-operator's chart under `trivy`. Pure data."""

from __future__ import annotations

from common.migration.convert import (
    each,
    flag_of,
    hosts,
    joined,
    pairs,
    policies,
    rules,
    strings,
    text_of,
    web_address,
)
from common.migration.fates import ByHand, Given, Made, NoMeaning, Row, ToValues
from common.migration.rows_operator import VOLUME
from common.migration.shapes import flag, later, nothing, setting
from common.migration.words import (
    DATABASE_LOGIN,
    DATABASE_SECRET,
    EVERY_OBJECT,
    NO_AUDIT,
    NO_JOBS,
    OTHER_PROGRAM,
    OWN_SERVER,
    OWN_TOKEN,
    RESTRICTED,
    TRIVY_IMAGE,
)
from common.model.hiding import without_user_info

_PROXY_SECRET = ByHand(
    what="it holds a user and a password, so it is not printed; put it into a Secret and name that "
    "in worker.extraEnv, scanner.extraEnv and matcher.extraEnv (valueFrom.secretKeyRef)"
)


def _url(path: str) -> ToValues:
    """Return what becomes of a proxy's address."""

    def convert(value: object, given: Given) -> Made:
        del given
        text = text_of(value)
        if without_user_info(text) != text:
            return Made(left=(("", _PROXY_SECRET),))
        return Made(values={path: web_address(text)} if text.strip() else {})

    return ToValues(targets=(path,), convert=convert, words="one with a password is not printed")


def _login(value: object, given: Given) -> Made:
    del given
    if not text_of(value):
        return Made()
    return Made(
        values={"registries.databaseSecret": DATABASE_SECRET},
        left=(("", ByHand(what=DATABASE_LOGIN)),),
    )


def _server_login(value: object, given: Given) -> Made:
    if flag_of(given.value("operator.builtInTrivyServer")):
        return _login(value, given)
    return Made(left=(("", NoMeaning(why="it is for the built-in server, which is off")),))


_LOGIN = ToValues(
    targets=("registries.databaseSecret",), convert=_login, words="never the value: a Secret"
)
_SERVER_LOGIN = ToValues(
    targets=("registries.databaseSecret",),
    convert=_server_login,
    words="never the value: a Secret; where operator.builtInTrivyServer is true",
)
_SERVER = ByHand(what=OWN_SERVER)
_FROM_MAPS = ByHand(
    what="write what it holds under settings, by the names of docs/configuration.md"
)

TRIVY: tuple[Row, ...] = (
    nothing("trivy.createConfig", True, "the chart makes no ConfigMaps of settings"),
    nothing("trivy.image.registry", "mirror.gcr.io", TRIVY_IMAGE),
    nothing("trivy.image.repository", "aquasec/trivy", TRIVY_IMAGE),
    nothing("trivy.image.tag", "0.72.0", TRIVY_IMAGE),
    nothing("trivy.image.imagePullSecret", None, TRIVY_IMAGE),
    nothing("trivy.image.pullPolicy", "IfNotPresent", TRIVY_IMAGE),
    # Of older charts.
    nothing("trivy.imageRef", None, TRIVY_IMAGE),
    nothing("trivy.repository", None, TRIVY_IMAGE),
    nothing("trivy.tag", None, TRIVY_IMAGE),
    nothing("trivy.mode", "Standalone", "the matcher's server matches every image"),
    setting("trivy.sbomSources", "", "TRIVY_SBOM_SOURCES"),
    nothing("trivy.includeDevDeps", False, "it is for scans of file systems alone"),
    Row(key="trivy.storageClassEnabled", default=True, fate=VOLUME),
    Row(key="trivy.storageClassName", default="", fate=VOLUME),
    Row(key="trivy.storageSize", default="5Gi", fate=VOLUME),
    Row(key="trivy.labels", default={}, fate=ByHand(what=EVERY_OBJECT)),
    Row(
        key="trivy.podLabels",
        default={},
        fate=ToValues(targets=("matcher.podLabels",), convert=each(strings, "matcher.podLabels")),
    ),
    Row(
        key="trivy.priorityClassName",
        default="",
        fate=ToValues(
            targets=("matcher.priorityClassName",),
            convert=each(text_of, "matcher.priorityClassName"),
        ),
    ),
    setting(
        "trivy.additionalVulnerabilityReportFields",
        "",
        "SLUICE_ADDITIONAL_VULNERABILITY_REPORT_FIELDS",
    ),
    Row(key="trivy.httpProxy", default=None, fate=_url("proxy.httpProxy"), secret=True),
    Row(key="trivy.httpsProxy", default=None, fate=_url("proxy.httpsProxy"), secret=True),
    Row(
        key="trivy.noProxy",
        default=None,
        fate=ToValues(targets=("proxy.noProxy",), convert=each(text_of, "proxy.noProxy")),
    ),
    setting("trivy.nonSslRegistries", {}, "SLUICE_NON_SSL_REGISTRIES", hosts),
    Row(
        key="trivy.sslCertDir",
        default=None,
        fate=ByHand(what="put the certificates into a ConfigMap: registries.caConfigMap"),
    ),
    setting("trivy.insecureRegistries", {}, "SLUICE_INSECURE_REGISTRIES", hosts),
    setting("trivy.registry.mirror", {}, "SLUICE_REGISTRY_MIRRORS", pairs),
    setting("trivy.severity", "UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL", "TRIVY_SEVERITY"),
    nothing("trivy.slow", True, "scanner.jobs says how much is done at once"),
    setting("trivy.ignoreUnfixed", False, "TRIVY_IGNORE_UNFIXED"),
    setting("trivy.skipFiles", None, "TRIVY_SKIP_FILES"),
    setting("trivy.skipDirs", None, "TRIVY_SKIP_DIRS"),
    setting("trivy.offlineScan", False, "TRIVY_OFFLINE_SCAN"),
    nothing("trivy.timeout", "5m0s", "operator.scanJobTimeout is the deadline"),
    setting("trivy.ignoreFile", None, "SLUICE_IGNORE_RULES", rules),
    nothing("trivy.ignoreFileName", "", "the text of the file tells whether it is YAML"),
    Row(
        key="trivy.configFile",
        default=None,
        fate=ByHand(what="each of its settings has a name of its own under settings"),
    ),
    setting("trivy.ignorePolicy*", None, "SLUICE_IGNORE_POLICIES", policies),
    setting("trivy.vulnType", None, "TRIVY_VULN_TYPE"),
    Row(
        key="trivy.resources",
        default={
            "requests": {"cpu": "100m", "memory": "100M"},
            "limits": {"cpu": "500m", "memory": "500M"},
        },
        fate=ByHand(what="scanner.resources: plan 256 MB for each of scanner.jobs"),
    ),
    nothing("trivy.githubToken", None, "Trivy asks registries, not GitHub", secret=True),
    Row(key="trivy.serverURL", default=None, fate=_SERVER, secret=True),
    nothing("trivy.clientServerSkipUpdate", False, "the matcher keeps the databases"),
    nothing("trivy.skipJavaDBUpdate", False, "it is fetched when the first image needs it"),
    nothing("trivy.serverInsecure", False, OWN_SERVER),
    nothing("trivy.serverToken", None, OWN_TOKEN, secret=True),
    Row(
        key="trivy.existingSecret",
        default=False,
        fate=ToValues(
            targets=("trivyOperator.secret",),
            convert=each(flag, "trivyOperator.secret"),
            words="its login for the databases' registry goes on counting",
        ),
    ),
    nothing("trivy.serverTokenHeader", "Trivy-Token", OWN_SERVER),
    nothing("trivy.serverCustomHeaders", None, OWN_SERVER, secret=True),
    setting(
        "trivy.dbRegistry",
        "mirror.gcr.io",
        "TRIVY_DB_REPOSITORY",
        joined("trivy.dbRegistry", "trivy.dbRepository"),
    ),
    setting(
        "trivy.dbRepository",
        "aquasec/trivy-db",
        "TRIVY_DB_REPOSITORY",
        joined("trivy.dbRegistry", "trivy.dbRepository"),
    ),
    Row(key="trivy.dbRepositoryUsername", default=None, fate=_LOGIN, secret=True),
    Row(key="trivy.dbRepositoryPassword", default=None, fate=_LOGIN, secret=True),
    setting(
        "trivy.javaDbRegistry",
        "mirror.gcr.io",
        "TRIVY_JAVA_DB_REPOSITORY",
        joined("trivy.javaDbRegistry", "trivy.javaDbRepository"),
    ),
    setting(
        "trivy.javaDbRepository",
        "aquasec/trivy-java-db",
        "TRIVY_JAVA_DB_REPOSITORY",
        joined("trivy.javaDbRegistry", "trivy.javaDbRepository"),
    ),
    setting("trivy.dbRepositoryInsecure", "false", "SLUICE_DB_REPOSITORY_INSECURE"),
    later("trivy.useBuiltinRegoPolicies", "false", NO_AUDIT),
    later("trivy.externalRegoPoliciesEnabled", False, NO_AUDIT),
    later("trivy.useEmbeddedRegoPolicies", "true", NO_AUDIT),
    later(
        "trivy.supportedConfigAuditKinds",
        "Workload,Service,Role,ClusterRole,NetworkPolicy,Ingress,LimitRange,ResourceQuota,"
        "PersistentVolume,PersistentVolumeClaim",
        NO_AUDIT,
    ),
    later(
        "trivy.command",
        "image",
        "images are read from their registries, never from a node's file system",
    ),
    nothing("trivy.imageScanCacheDir", "/tmp/trivy/.cache", NO_JOBS),  # noqa: S108 # trivy-operator's
    nothing("trivy.filesystemScanCacheDir", "/var/trivyoperator/trivy-db", NO_JOBS),
    Row(key="trivy.serverUser", default="", fate=_SERVER_LOGIN, secret=True),
    Row(key="trivy.serverPassword", default="", fate=_SERVER_LOGIN, secret=True),
    nothing("trivy.serverServiceName", "trivy-service", "the Service is called …-matcher"),
    nothing("trivy.debug", False, "settings.SLUICE_LOG_LEVEL says how much is logged"),
    Row(
        key="trivy.server.resources",
        default={
            "requests": {"cpu": "200m", "memory": "512Mi"},
            "limits": {"cpu": 1, "memory": "1Gi"},
        },
        fate=ByHand(what=OTHER_PROGRAM),
    ),
    nothing(
        "trivy.server.podSecurityContext",
        {"runAsUser": 65534, "runAsNonRoot": True, "fsGroup": 65534},
        RESTRICTED,
    ),
    nothing(
        "trivy.server.securityContext",
        {"privileged": False, "readOnlyRootFilesystem": True},
        RESTRICTED,
    ),
    nothing("trivy.server.replicas", 1, "one matcher serves all: matching takes milliseconds"),
    Row(
        key="trivy.server.extraServerVolumes",
        default={"volumeMounts": [], "volumes": []},
        fate=ByHand(what="matcher.extraVolumes and matcher.extraVolumeMounts"),
    ),
    Row(key="trivy.valuesFromConfigMap", default="", fate=_FROM_MAPS),
    Row(key="trivy.valuesFromSecret", default="", fate=_FROM_MAPS),
)
