"""Projects image records into the body of an ExposedSecretReport. Pure.

Secrets are found with the inventory; no database matters to them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import msgspec

from common.model.image import Inventory, Secret
from common.reports.body import ReportBody
from common.reports.catalog import EXPOSED_SECRET_REPORT
from worker.project.artifact import header
from worker.project.context import Records, ReportContext
from worker.project.policy import about_secret, question_hash
from worker.project.union import in_order, inventories, joined, retarget

_SHOWN = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
_UNKNOWN = "UNKNOWN"


def project(records: Records, context: ReportContext) -> ReportBody:
    """Return the body for one container; an image without secrets has a body with none.

    Raises ValueError when there is no record, or one without inventory.
    """
    known = inventories(in_order(records))
    secrets = joined((_secrets(one, context) for one in known), identity=_identity)
    secrets.sort(key=_order)
    return ReportBody(
        kind=EXPOSED_SECRET_REPORT,
        report={
            **header(context),
            "summary": {
                f"{severity.lower()}Count": sum(one.severity == severity for one in secrets)
                for severity in _SHOWN
            },
            "secrets": [_entry(one) for one in secrets],
        },
        covered=all(inventory.covered for inventory in known),
    )


def _secrets(inventory: Inventory, context: ReportContext) -> Iterable[Secret]:
    """Yield the secrets that the settings let through, in this container's terms.

    The API knows no severity UNKNOWN for secrets and refuses the whole report for one; such a
    secret (of a custom rule) is told as LOW rather than not at all.
    """
    for secret in inventory.secrets:
        severity = secret.severity if secret.severity in _SHOWN else _UNKNOWN
        target = retarget(secret.target, inventory, context.reference)
        hidden = context.options.ignored.hides_secret(secret.rule_id, target=target)
        if context.hidden and question_hash(about_secret(secret)) in context.hidden:
            continue
        if severity in context.options.severities and not hidden:
            yield msgspec.structs.replace(
                secret, severity="LOW" if severity == _UNKNOWN else severity, target=target
            )


def _identity(secret: Secret) -> Hashable:
    return (secret.target, secret.rule_id, secret.match)


def _order(secret: Secret) -> tuple[str, ...]:
    """Sort by place, then by all else that is shown."""
    return (
        secret.target,
        secret.rule_id,
        secret.match,
        secret.title,
        secret.category,
        secret.severity,
    )


def _entry(secret: Secret) -> dict[str, object]:
    return {
        "target": secret.target,
        "ruleID": secret.rule_id,
        "title": secret.title,
        "category": secret.category,
        "severity": secret.severity,
        "match": secret.match,
    }
