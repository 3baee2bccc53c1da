"""Sources in trouble as JSON shows them. Pure."""

from __future__ import annotations

from common.state.circuits import Trouble


def described(trouble: Trouble, *, now_s: float) -> dict[str, object]:
    """Return what `--json` shows: since when it fails, and how soon somebody may ask."""
    return {
        "source": trouble.source,
        "state": trouble.state,
        "failures": trouble.failures,
        "since_s": round(max(0.0, now_s - trouble.since), 3),
        "next_s": round(trouble.next_s, 3),
        "reason": trouble.reason,
        "message": trouble.message,
        "idle": trouble.idle,
    }
