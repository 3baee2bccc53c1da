"""Values of trivy-operator's chart: its own defaults, and plausible ones for every key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from common.migration.fates import Row
from common.migration.table import ROWS

_GOLDEN = Path(__file__).parent / "golden" / "trivy-operator" / "values.json"
CANARY = "hunter2-canary"

_LABELS = {"app.kubernetes.io/part-of": "security", "team": "1"}
_TOLERATIONS = [{"key": "infra", "operator": "Exists", "tolerationSeconds": 30}]
_AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "arch", "operator": "In", "values": ["arm64"]}]}
            ]
        }
    }
}
_REGO = "package trivy\n\ndefault ignore = false\n"
# What a careful user may write, by key; a key that is not here has one of its default's type.
PLAUSIBLE: Mapping[str, tuple[object, ...]] = {
    "targetNamespaces": ("shop", "shop,media"),
    "excludeNamespaces": ("kube-system,kube-*",),
    "targetWorkloads": ("Pod,ReplicaSet", "cronjob,job"),
    "extraEnv": (
        [{"name": "OPERATOR_EXCLUDE_NAMESPACES", "value": "kube-system"}, {"name": "TZ"}],
        [{"name": "HTTPS_PROXY", "value": f"http://u:{CANARY}@proxy:3128"}],
        [{"name": "TOKEN", "value": CANARY}],
    ),
    "global.image.registry": ("mirror.example.com:5000/all",),
    "serviceMonitor.interval": ("30s", "1m", "5s"),
    "serviceMonitor.labels": ({"release": "kube-prometheus-stack"},),
    "serviceMonitor.endpointAdditionalProperties": (
        {"relabelings": [{"targetLabel": "cluster", "replacement": "a"}], "scrapeTimeout": "5s"},
        {"metricRelabelings": [{"action": "drop", "regex": "x"}]},
    ),
    "image.pullPolicy": ("Always", "Never"),
    "image.pullSecrets": ([{"name": "registry"}],),
    "serviceAccount.annotations": ({"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"},),
    "podAnnotations": (_LABELS,),
    "nodeSelector": ({"kubernetes.io/os": "linux"}, {"pool": 3}),
    "tolerations": (_TOLERATIONS,),
    "affinity": (_AFFINITY,),
    "operator.replicas": (2, 3, "2"),
    "operator.scanJobsConcurrentLimit": (1, 3, 50),
    "operator.scanJobTTL": ("1h",),
    "operator.scanJobTimeout": ("10m", "1h30m"),
    "operator.scanJobsRetryDelay": ("1m",),
    "operator.scannerReportTTL": ("", "48h", "72h0m0s"),
    "operator.vulnerabilityScannerReportTTL": ("48h",),
    "operator.cacheReportTTL": ("", "48h"),
    "operator.serverAdditionalAnnotations": (_LABELS,),
    "operator.privateRegistryScanSecretsNames": ({"shop": "one,two", "trivy-system": "three"},),
    "operator.webhookBroadcastCustomHeaders": (f"Authorization:Bearer {CANARY}",),
    "operator.webhookBroadcastURL": (f"https://hooks.example.com/{CANARY}",),
    "operator.httpProxy": (f"http://u:{CANARY}@proxy:3128",),
    "trivyOperator.scanJobAffinity": (_AFFINITY,),
    "trivyOperator.scanJobTolerations": (_TOLERATIONS,),
    "trivyOperator.scanJobAnnotations": ("sidecar.istio.io/inject=false,a=1", "a=b=c"),
    "trivyOperator.scanJobPodTemplateLabels": ("team=security,env=",),
    "trivyOperator.scanJobNodeSelector": ({"pool": "scan"},),
    "trivyOperator.reportResourceLabels": ("team,owner",),
    "trivyOperator.skipResourceByLabels": ("skip-me",),
    "trivyOperator.additionalReportLabels": ("env=stage,team=a",),
    "trivyOperator.excludeImages": ("k8s.gcr.io/*/*,*/test",),
    "trivy.storageSize": ("10Gi", "500M", "1.5Ti"),
    "trivy.additionalVulnerabilityReportFields": ("Description,CVSS",),
    "trivy.httpProxy": ("http://proxy:3128", "proxy:3128", f"http://u:{CANARY}@proxy:3128"),
    "trivy.httpsProxy": ("http://proxy:3128",),
    "trivy.noProxy": ("registry.local,10.0.0.0/8",),
    "trivy.nonSslRegistries": ({"poc": "poc.example.com", "in": "registry.svc:5000"},),
    "trivy.insecureRegistries": ({"qa": "qa.example.com:5000"},),
    "trivy.registry.mirror": ({"docker.io": "mirror.example.com", "quay.io": "m.example/q"},),
    "trivy.severity": ("HIGH,CRITICAL", "CRITICAL"),
    "trivy.skipFiles": ("/etc/x,/y",),
    "trivy.skipDirs": ("/var/lib",),
    "trivy.offlineScan": (True,),
    "trivy.timeout": ("20m0s",),
    "trivy.ignoreFile": (
        ["CVE-1970-0001", "CVE-1970-0002"],
        "CVE-1970-0001\n# why\nCVE-1970-0002 exp:2035-01-01\n",
        {"vulnerabilities": [{"id": "CVE-1970-0001", "paths": ["usr/*"]}]},
    ),
    "trivy.ignorePolicy": (_REGO,),
    "trivy.ignorePolicy.shop": (_REGO,),
    "trivy.ignorePolicy.shop.web-.": (f"{_REGO}\t# a tab\n",),
    "trivy.vulnType": ("os", "library", "os,library"),
    "trivy.githubToken": (CANARY,),
    "trivy.serverURL": (f"https://u:{CANARY}@trivy:4975",),
    "trivy.serverToken": (CANARY,),
    "trivy.serverCustomHeaders": (f"x-token:{CANARY}",),
    "trivy.dbRegistry": ("registry.example.com:5000",),
    "trivy.dbRepository": ("security/trivy-db", "trivy-db:2"),
    "trivy.javaDbRegistry": ("registry.example.com",),
    "trivy.javaDbRepository": ("security/trivy-java-db",),
    "trivy.dbRepositoryUsername": (CANARY,),
    "trivy.dbRepositoryPassword": (CANARY,),
    "trivy.dbRepositoryInsecure": ("true", True),
    "trivy.serverUser": (CANARY,),
    "trivy.serverPassword": (CANARY,),
    "policiesBundle.registryUser": (CANARY,),
    "policiesBundle.registryPassword": (CANARY,),
}
KEYS: tuple[str, ...] = tuple(
    dict.fromkeys((*(row.key for row in ROWS if not row.key.endswith("*")), *PLAUSIBLE))
)
_BY_KEY = {row.key: row for row in ROWS}


def defaults() -> dict[str, Any]:
    """Return the values of trivy-operator's chart as it ships."""
    found: dict[str, Any] = json.loads(_GOLDEN.read_text(encoding="utf-8"))
    return found


def plausible(key: str) -> tuple[object, ...]:
    """Return values that a user may give a key."""
    return PLAUSIBLE[key] if key in PLAUSIBLE else _of_type(_BY_KEY[key])


def _of_type(row: Row) -> tuple[object, ...]:
    match row.default:
        case bool():
            return (not row.default, row.default)
        case int():
            return (row.default + 1,)
        case list():
            return ([{"name": "more", "mountPath": "/more"}],)
        case Mapping():
            return ({"more": "1"},)
        case _:
            return ("something-else",)


def nested(pairs: Iterable[tuple[str, object]]) -> dict[str, Any]:
    """Return a document; what stands behind `trivy.ignorePolicy` is one key with its dots."""
    document: dict[str, Any] = {}
    for key, value in pairs:
        above, policy, rest = key.partition("ignorePolicy")
        parts = [*above.split(".")[:-1], f"{policy}{rest}"] if policy else key.split(".")
        level = document
        for part in parts[:-1]:
            level = level.setdefault(part, {})
        level[parts[-1]] = value
    return document


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Return files with any of the known keys, each with a plausible value."""

    def chosen(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        picks = [st.sampled_from(plausible(key)) for key in keys]
        return st.tuples(*picks).map(lambda values: nested(zip(keys, values, strict=True)))

    return st.lists(st.sampled_from(KEYS), unique=True, max_size=25).flatmap(chosen)
