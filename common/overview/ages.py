"""How old things are, in seconds; a database by the version that it carries. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

STALE_S = 3 * 86_400  # a new database appears every 6 hours; three days without one are a fault


def database_age_s(version: str, now_s: float) -> float | None:
    """Return the seconds since the database was made; None if its version is no RFC 3339 time."""
    try:
        made = datetime.fromisoformat(version)
    except ValueError:
        return None
    if made.tzinfo is None:
        made = made.replace(tzinfo=UTC)
    return round(max(0.0, now_s - made.timestamp()), 3)


def since(at: float | None, *, now_s: float) -> float | None:
    """Return the seconds since then; None: it never was."""
    return None if at is None else round(max(0.0, now_s - at), 3)
