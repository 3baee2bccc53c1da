"""trivy-operator's environment that this version knows but does not honour, with the reason.

Setting one of them to something else than its default is a warning, never silence.
"""

from __future__ import annotations

from typing import Any

from common.settings import formats
from common.settings.formats import Format
from common.settings.setting import Group, Setting

_NO_JOBS = "there are no scan Jobs here"
_NO_AUDIT = "this version writes no configuration, RBAC, infrastructure or compliance reports"
_NO_INFO = "this version serves the summary metrics only"
_NOT_YET = "this version has no such feature yet"


def _known(  # one row of the table below
    name: str, form: Format[Any], default: str, instead: str, *, group: Group = "Operations"
) -> Setting[Any]:
    secret = name in {"OPERATOR_WEBHOOK_BROADCAST_CUSTOM_HEADERS", *_SECRET_TRIVY}
    return Setting(
        name=name,
        format=form,
        default=default,
        group=group,
        meaning=f"Not honoured: {instead}.",
        upstream=True,
        honoured=False,
        instead=instead,
        secret=secret,
    )


_SECRET_TRIVY = frozenset(
    {"TRIVY_TOKEN", "TRIVY_CUSTOM_HEADERS", "TRIVY_USERNAME", "TRIVY_PASSWORD"}
)
_FLAG, _TEXT, _DURATION = formats.FLAG, formats.TEXT, formats.DURATION
_MAYBE = formats.OPTIONAL_DURATION
_COUNT = formats.whole(0, 1_000_000)

_OPERATOR = (
    ("OPERATOR_SERVICE_ACCOUNT", _TEXT, "trivy-operator", _NO_JOBS),
    ("OPERATOR_LOG_DEV_MODE", _FLAG, "false", "use SLUICE_LOG_FORMAT and SLUICE_LOG_LEVEL"),
    ("OPERATOR_SCAN_JOB_TTL", _MAYBE, "", _NO_JOBS),
    ("OPERATOR_SCAN_SECRET_TTL", _MAYBE, "", "no Secret is ever written"),
    (
        "OPERATOR_CONCURRENT_SCAN_JOBS_LIMIT",
        _COUNT,
        "10",
        f"{_NO_JOBS}; use SLUICE_SCANNER_JOBS and the number of workers",
    ),
    ("OPERATOR_CONCURRENT_NODE_COLLECTOR_LIMIT", _COUNT, "1", _NO_AUDIT),
    (
        "OPERATOR_SCAN_JOB_RETRY_AFTER",
        _DURATION,
        "30s",
        "each class of errors has its own backoff",
    ),
    ("OPERATOR_BATCH_DELETE_LIMIT", _COUNT, "10", "reports are replaced, not deleted"),
    ("OPERATOR_BATCH_DELETE_DELAY", _DURATION, "10s", "reports are replaced, not deleted"),
    ("OPERATOR_PPROF_BIND_ADDRESS", _TEXT, "", "this is no Go program"),
    ("OPERATOR_METRICS_FINDINGS_ENABLED", _FLAG, "true", "findings metrics are always served"),
    ("OPERATOR_METRICS_VULN_ID_ENABLED", _FLAG, "false", _NO_INFO),
    ("OPERATOR_METRICS_EXPOSED_SECRET_INFO_ENABLED", _FLAG, "false", _NO_INFO),
    ("OPERATOR_METRICS_CONFIG_AUDIT_INFO_ENABLED", _FLAG, "false", _NO_INFO),
    ("OPERATOR_METRICS_RBAC_ASSESSMENT_INFO_ENABLED", _FLAG, "false", _NO_INFO),
    ("OPERATOR_METRICS_INFRA_ASSESSMENT_INFO_ENABLED", _FLAG, "false", _NO_INFO),
    ("OPERATOR_METRICS_IMAGE_INFO_ENABLED", _FLAG, "false", _NO_INFO),
    ("OPERATOR_METRICS_CLUSTER_COMPLIANCE_INFO_ENABLED", _FLAG, "false", _NO_INFO),
    ("OPERATOR_CONFIG_AUDIT_SCANNER_ENABLED", _FLAG, "true", _NO_AUDIT),
    ("OPERATOR_CONFIG_AUDIT_SCANNER_SCAN_ONLY_CURRENT_REVISIONS", _FLAG, "true", _NO_AUDIT),
    ("OPERATOR_RBAC_ASSESSMENT_SCANNER_ENABLED", _FLAG, "true", _NO_AUDIT),
    ("OPERATOR_INFRA_ASSESSMENT_SCANNER_ENABLED", _FLAG, "true", _NO_AUDIT),
    ("OPERATOR_CLUSTER_COMPLIANCE_ENABLED", _FLAG, "true", _NO_AUDIT),
    ("OPERATOR_INVOKE_CLUSTER_COMPLIANCE_ONCE", _FLAG, "false", _NO_AUDIT),
    ("OPERATOR_MERGE_RBAC_FINDING_WITH_CONFIG_AUDIT", _FLAG, "false", _NO_AUDIT),
    (
        "OPERATOR_LEADER_ELECTION_ENABLED",
        _FLAG,
        "false",
        "use SLUICE_LEADER_ELECTION, which is on",
    ),
    (
        "OPERATOR_LEADER_ELECTION_ID",
        _TEXT,
        "trivyoperator-lock",
        "the Lease is called kube-sluice, and has SLUICE_CLUSTER behind that where it is set",
    ),
    ("OPERATOR_WEBHOOK_BROADCAST_URL", _TEXT, "", _NOT_YET),
    ("OPERATOR_WEBHOOK_BROADCAST_TIMEOUT", _DURATION, "30s", _NOT_YET),
    ("OPERATOR_WEBHOOK_BROADCAST_CUSTOM_HEADERS", _TEXT, "", _NOT_YET),
    ("OPERATOR_SEND_DELETED_REPORTS", _FLAG, "false", _NOT_YET),
    ("OPERATOR_BUILT_IN_TRIVY_SERVER", _FLAG, "false", "the match pool always runs one"),
    ("CONTROLLER_CACHE_SYNC_TIMEOUT", _DURATION, "5m", "a slow first list never ends the process"),
    ("OPERATOR_ALTERNATE_REPORT_STORAGE_ENABLED", _FLAG, "false", _NOT_YET),
    ("OPERATOR_ALTERNATE_REPORT_STORAGE_DIR", _TEXT, "", _NOT_YET),
)

# What trivy-operator sets on its scan jobs, and its built-in server's health check.
_TRIVY = (
    (
        "TRIVY_SERVER_HEALTH_CHECK_CACHE_EXPIRATION",
        _DURATION,
        "10h",
        "the match server's health is seen with every call",
    ),
    ("TRIVY_OFFLINE_SCAN", _FLAG, "false", "an inventory never asks anything but the registry"),
    ("TRIVY_TIMEOUT", _DURATION, "5m0s", "use OPERATOR_SCAN_JOB_TIMEOUT"),
    ("TRIVY_TOKEN", _TEXT, "", "use SLUICE_TRIVY_TOKEN_FILE: children inherit an environment"),
    ("TRIVY_TOKEN_HEADER", _TEXT, "Trivy-Token", "the token is sent as Trivy-Token"),
    ("TRIVY_CUSTOM_HEADERS", _TEXT, "", "the match server is asked with its token alone"),
    ("TRIVY_USERNAME", _TEXT, "", "credentials come from pull secrets"),
    ("TRIVY_PASSWORD", _TEXT, "", "credentials come from pull secrets"),
)

ROWS: tuple[Setting[Any], ...] = (
    *(_known(*row) for row in _OPERATOR),
    *(_known(*row, group="Trivy") for row in _TRIVY),
)
