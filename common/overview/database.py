"""The database in use as JSON shows it. Pure."""

from __future__ import annotations

from common.overview.ages import database_age_s
from common.state.database import DatabaseRow, FailedLook


def described(
    row: DatabaseRow | None, failed: FailedLook | None, *, now_s: float
) -> dict[str, object]:
    """Return what `--json` shows. Pure."""
    look = _failed(failed, now_s=now_s)
    if row is None:
        return {"version": None, "age_s": None, "checked_age_s": None, "server_url": None,
                "trivy": None, "failed": look}  # fmt: skip
    checked_s = round(max(0.0, now_s - row.checked_at), 3) if row.checked_at else None
    return {
        "version": row.version,
        "age_s": database_age_s(row.version, now_s),
        "checked_age_s": checked_s,
        "server_url": row.server_url,
        "trivy": row.trivy_version,
        "failed": look,
    }


def _failed(failed: FailedLook | None, *, now_s: float) -> dict[str, object] | None:
    """Return what the last look failed of; None: it did not."""
    if failed is None:
        return None
    age_s = round(max(0.0, now_s - failed.at), 3)
    return {"reason": failed.reason, "message": failed.message, "age_s": age_s}
