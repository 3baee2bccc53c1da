"""The database in use as JSON shows it. Pure."""

from __future__ import annotations

from common.overview.ages import database_age_s
from common.state.database import DatabaseRow


def described(row: DatabaseRow | None, *, now_s: float) -> dict[str, object]:
    """Return what `--json` shows. Pure."""
    if row is None:
        return {"version": None, "age_s": None, "checked_age_s": None, "server_url": None,
                "trivy": None}  # fmt: skip
    checked_s = round(max(0.0, now_s - row.checked_at), 3) if row.checked_at else None
    return {
        "version": row.version,
        "age_s": database_age_s(row.version, now_s),
        "checked_age_s": checked_s,
        "server_url": row.server_url,
        "trivy": row.trivy_version,
    }
