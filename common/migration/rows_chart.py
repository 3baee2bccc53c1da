"""Values of trivy-operator's chart outside `operator`, `trivyOperator` and `trivy`. Pure data."""

from __future__ import annotations

from common.migration.convert import (
    each,
    mapping,
    objects,
    references,
    registry,
    strings,
    text_of,
    word,
)
from common.migration.fates import ByHand, NotYet, Row, ToValues
from common.migration.rows_monitor import SERVICE_MONITOR
from common.migration.shapes import environment, flag, later, nothing, setting
from common.migration.words import (
    IMAGE,
    LOCKED_DOWN,
    METRICS_SERVICE,
    NO_AUDIT,
    OTHER_PROGRAM,
    RESTRICTED,
)

_STORAGE = "this version keeps reports in the API server alone"
_NAMES = "trivy-operator's names; fullnameOverride says what ours begin with"
_COMPLIANCE = tuple(
    later(f"compliance.{name}", default, NO_AUDIT)
    for name, default in (
        ("failEntriesLimit", 10),
        ("reportType", "summary"),
        ("cron", "0 */6 * * *"),
        (
            "specs",
            ["k8s-cis-1.23", "k8s-nsa-1.0", "k8s-pss-baseline-0.1", "k8s-pss-restricted-0.1"],
        ),
    )
)
_HOST_FOLDERS = (  # what trivy-operator reads of each node
    ("var-lib-etcd", "/var/lib/etcd"),
    ("var-lib-kubelet", "/var/lib/kubelet"),
    ("var-lib-kube-scheduler", "/var/lib/kube-scheduler"),
    ("var-lib-kube-controller-manager", "/var/lib/kube-controller-manager"),
    ("etc-systemd", "/etc/systemd"),
    ("lib-systemd", "/lib/systemd"),
    ("etc-kubernetes", "/etc/kubernetes"),
    ("etc-cni-netd", "/etc/cni/net.d/"),
)
_MOUNTED = {"/lib/systemd": "/lib/systemd/"}  # written so there
_NODE_COLLECTOR = tuple(
    later(f"nodeCollector.{name}", default, NO_AUDIT)
    for name, default in (
        ("useNodeSelector", True),
        ("registry", "ghcr.io"),
        ("repository", "aquasecurity/node-collector"),
        ("tag", "0.3.1"),
        ("imagePullSecret", None),
        ("excludeNodes", None),
        ("tolerations", []),
        (
            "volumeMounts",
            [
                {"name": name, "mountPath": _MOUNTED.get(path, path), "readOnly": True}
                for name, path in _HOST_FOLDERS
            ],
        ),
        ("volumes", [{"name": name, "hostPath": {"path": path}} for name, path in _HOST_FOLDERS]),
    )
)
_POLICIES = (
    later("policiesBundle.registry", "mirror.gcr.io", NO_AUDIT),
    later("policiesBundle.repository", "aquasec/trivy-checks", NO_AUDIT),
    later("policiesBundle.tag", 1, NO_AUDIT),
    later("policiesBundle.registryUser", None, NO_AUDIT, secret=True),
    later("policiesBundle.registryPassword", None, NO_AUDIT, secret=True),
    later("policiesBundle.existingSecret", False, NO_AUDIT),
    later("policiesBundle.insecure", False, NO_AUDIT),
)
_ALTERNATE = tuple(
    later(f"alternateReportStorage.{name}", default, _STORAGE)
    for name, default in (
        ("enabled", False),
        ("mountPath", "/mnt/data/trivy-operator"),
        ("volumeName", "trivy-operator-pvc"),
        ("storage", "10Gi"),
        ("storageClassName", ""),
        ("podSecurityContext", {"runAsUser": 10000, "fsGroup": 10000}),
    )
)
_SERVICE = tuple(
    nothing(f"service.{name}", default, METRICS_SERVICE)
    for name, default in (
        ("headless", True),
        ("metricsPort", 80),
        ("annotations", {}),
        ("metricsAppProtocol", "TCP"),
        ("type", "ClusterIP"),
        ("nodePort", None),
    )
)
_PLACED = ("watcher", "matcher", "redis", "hooks")  # what is neither a worker nor a scanner
_SELECTORS = tuple(f"{component}.nodeSelector" for component in _PLACED)
_TOLERATIONS = tuple(f"{component}.tolerations" for component in _PLACED)

ROWS: tuple[Row, ...] = (
    Row(
        key="global.image.registry",
        default="",
        fate=ToValues(
            targets=("imageRegistry",),
            convert=each(registry, "imageRegistry"),
            words="the images of our chart must be there",
        ),
    ),
    nothing("managedBy", "Helm", "the labels of the chart's objects name Helm"),
    setting("targetNamespaces", "", "OPERATOR_TARGET_NAMESPACES"),
    setting("excludeNamespaces", "", "OPERATOR_EXCLUDE_NAMESPACES"),
    setting(
        "targetWorkloads",
        "pod,replicaset,replicationcontroller,statefulset,daemonset,cronjob,job",
        "OPERATOR_TARGET_WORKLOADS",
    ),
    Row(key="extraEnv", default=[], fate=environment()),
    Row(
        key="hostAliases",
        default=[],
        fate=NotYet(instead="the chart has none; the cluster's DNS can know the names"),
    ),
    nothing("nameOverride", "", _NAMES),
    nothing("fullnameOverride", "", _NAMES),
    nothing("image.registry", "mirror.gcr.io", IMAGE),
    nothing("image.repository", "aquasec/trivy-operator", IMAGE),
    nothing("image.tag", "", IMAGE),
    Row(
        key="image.pullPolicy",
        default="IfNotPresent",
        fate=ToValues(targets=("image.pullPolicy",), convert=each(word, "image.pullPolicy")),
    ),
    Row(
        key="image.pullSecrets",
        default=[],
        fate=ToValues(targets=("imagePullSecrets",), convert=each(references, "imagePullSecrets")),
    ),
    *_SERVICE,
    *SERVICE_MONITOR,
    *_COMPLIANCE,
    Row(
        key="rbac.create",
        default=True,
        fate=ToValues(targets=("rbac.create",), convert=each(flag, "rbac.create")),
    ),
    nothing("serviceAccount.create", True, "each component has an account of its own"),
    Row(
        key="serviceAccount.annotations",
        default={},
        fate=ToValues(
            targets=("worker.serviceAccountAnnotations",),
            convert=each(strings, "worker.serviceAccountAnnotations"),
            words="workers read registries; registries.credentialProvider signs in at a cloud's",
        ),
    ),
    nothing("serviceAccount.name", "", "each component has an account of its own"),
    Row(
        key="podAnnotations",
        default={},
        fate=ToValues(
            targets=("watcher.podAnnotations",), convert=each(strings, "watcher.podAnnotations")
        ),
    ),
    nothing("podSecurityContext", {}, RESTRICTED),
    nothing("securityContext", LOCKED_DOWN, RESTRICTED),
    Row(
        key="volumeMounts",
        default=[{"mountPath": "/tmp", "name": "cache-policies", "readOnly": False}],  # noqa: S108 # trivy-operator's
        fate=ByHand(what="watcher.extraVolumeMounts, and those of the other components"),
    ),
    Row(
        key="volumes",
        default=[{"name": "cache-policies", "emptyDir": {}}],
        fate=ByHand(what="watcher.extraVolumes, and those of the other components"),
    ),
    Row(key="resources", default={}, fate=ByHand(what=OTHER_PROGRAM)),
    Row(
        key="nodeSelector",
        default={},
        fate=ToValues(targets=_SELECTORS, convert=each(strings, *_SELECTORS)),
    ),
    Row(
        key="tolerations",
        default=[],
        fate=ToValues(targets=_TOLERATIONS, convert=each(objects, *_TOLERATIONS)),
    ),
    Row(
        key="affinity",
        default={},
        fate=ToValues(targets=("watcher.affinity",), convert=each(mapping, "watcher.affinity")),
    ),
    Row(
        key="priorityClassName",
        default="",
        fate=ToValues(
            targets=("watcher.priorityClassName",),
            convert=each(text_of, "watcher.priorityClassName"),
        ),
    ),
    nothing("automountServiceAccountToken", True, "Pods that need a token mount one"),
    *_POLICIES,
    *_NODE_COLLECTOR,
    *_ALTERNATE,
)
