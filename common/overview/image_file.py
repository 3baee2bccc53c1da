"""Everything that Redis knows of one image, as its page and its JSON show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from common.model.brief import BriefFinding, BriefInventory
from common.model.image import Failure, ImageUse
from common.model.key import ImageKey, match_key
from common.overview.ages import since
from common.overview.catalogue import state_of
from common.overview.entries import queued
from common.overview.tables import Tables
from common.overview.view import Document
from common.overview.vulnerable import told
from common.overview.workload_file import story

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")
_USERS = 100


def image_file(
    tables: Tables, key: ImageKey, *, start: int, limit: int, with_findings: bool
) -> dict[str, Any]:
    """Return the document; `known` is False where nothing is on record. Raises SluiceError.

    `findings` is null where they are not to be shown; how many there are of each severity is told
    anyway, as metrics tell it.
    """
    now_s, record, uses = tables.clock.now_s(), tables.briefs.brief(key), tables.images.uses(key)
    (state,) = tables.images.states([key])
    entry = tables.queue.entry(key) or tables.queue.entry(match_key(key))
    found = record.findings
    return {
        "key": str(key),
        "digest": key.digest,
        "platform": key.platform,
        "options": key.options,
        "known": bool(uses) or not record.empty,
        "state": state_of(state),
        "references": sorted({use.reference for use in uses} - {""})[:_USERS],
        "users": [_user(use) for use in uses[:_USERS]],
        "users_total": len(uses),
        "database": record.database or None,
        "verified_age_s": since(record.verified_at, now_s=now_s),
        "inventory": _inventory(record.inventory),
        "failure": _failure(record.failure, now_s=now_s),
        "queue": queued(entry, now_s=now_s) if entry is not None else None,
        "unread": record.unread,
        "counts": None if found is None else _counts(found),
        "findings": _page(found or (), start=start, limit=limit) if with_findings else None,
        "facts": story(tables, key),
    }


def _user(use: ImageUse) -> Document:
    return {
        "workload": use.workload,
        "reference": use.reference,
        "kubelet_ran_it": use.kubelet_ran_it,
    }


def _inventory(inventory: BriefInventory | None) -> Document | None:
    if inventory is None:
        return None
    return {
        "scanner_version": inventory.scanner_version,
        "os": f"{inventory.os.family} {inventory.os.name}".strip(),
        "end_of_life": inventory.os.eosl,
        "covered": inventory.covered,
        "layers": len(inventory.blob_ids),
        "components": len(inventory.sbom.components) if inventory.sbom else 0,
        "secrets": len(inventory.secrets),  # where and what they are, is in the report alone
    }


def _failure(failure: Failure | None, *, now_s: float) -> Document | None:
    if failure is None:
        return None
    return {
        "reason": failure.reason,
        "message": failure.message,
        "attempts": failure.attempts,
        "age_s": since(failure.at, now_s=now_s),
    }


def _counts(findings: Sequence[BriefFinding]) -> dict[str, int]:
    counts = Counter(_severity(finding) for finding in findings)
    return {severity: counts[severity] for severity in SEVERITIES}


def _page(findings: Sequence[BriefFinding], *, start: int, limit: int) -> Document:
    ranked = sorted(findings, key=_rank)
    return {
        "total": len(ranked),
        "start": start,
        "rows": [told(finding) for finding in ranked[start : start + limit]],
    }


def _rank(finding: BriefFinding) -> tuple[int, str, str]:
    return SEVERITIES.index(_severity(finding)), finding.vulnerability_id, finding.resource


def _severity(finding: BriefFinding) -> str:
    return finding.severity if finding.severity in SEVERITIES else "UNKNOWN"
