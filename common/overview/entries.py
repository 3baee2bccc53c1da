"""One key of the queue as JSON shows it. Pure."""

from __future__ import annotations

from common.overview.ages import since
from common.overview.documents import Document
from common.queue.contract import Entry


def queued(entry: Entry, *, now_s: float) -> Document:
    """Return where a key stands, as JSON shows it."""
    return {
        "key": str(entry.key),
        "state": entry.state,
        "lane": entry.lane.label,
        "attempts": entry.attempts,
        "crashes": entry.crashes,
        "worker": entry.worker,
        "reason": entry.reason,
        "message": entry.message,
        "class": entry.error_class,
        "source": entry.source,
        "age_s": since(entry.since_s or None, now_s=now_s),
        "due_in_s": round(max(0.0, entry.due_s - now_s), 3) if entry.due_s else None,
    }
