"""The leading watcher as JSON and people see it, by its last sign of life. Pure."""

from __future__ import annotations

from common.model.leader import Leader
from common.overview.view import Document
from common.overview.words import age

# It leaves a sign every five seconds. Half a minute is longer than the next one needs to take over
# from one that was killed (15 to 21 s), so that no hand-over is told as an outage.
SILENT_S = 30.0

REMEDY = "start `sluice run`, or look at the log of the watcher pods and at their Lease"


def described(leader: Leader | None) -> dict[str, object]:
    """Return what `--json` shows; `leader` null: none was heard for a day."""
    return {
        "alive": leader is not None and leader.heard_s <= SILENT_S,
        "leader": None if leader is None else leader.holder,
        "since_s": None if leader is None else round(leader.since_s, 3),
        "heard_s": None if leader is None else round(leader.heard_s, 3),
    }


def said(watcher: Document) -> str:
    """Return what is wrong; empty: a watcher leads, and lives."""
    if watcher["alive"]:
        return ""
    fault = "no watcher is alive: changes are not noticed"
    if watcher["leader"] is None:
        return f"{fault}; none was heard for a day"
    return f"{fault}; {watcher['leader']} led and was last heard {age(watcher['heard_s'])} ago"


def shown(watcher: Document) -> str:
    """Return who leads, for people."""
    if watcher["leader"] is None:
        return "none alive"
    if not watcher["alive"]:
        return f"none alive, {watcher['leader']} was last heard {age(watcher['heard_s'])} ago"
    return (
        f"{watcher['leader']} leads since {age(watcher['since_s'])}, "
        f"last heard {age(watcher['heard_s'])} ago"
    )
