"""What `sluice top` shows: what is wrong, how fast it goes, what runs, what happened last. Pure.

What matters most stands on top: a small terminal shows the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from common.cli.layout import columns
from common.cli.status import next_steps, numbers, wrong
from common.model.facts import Fact
from common.overview.story import key_shown, sentence
from common.overview.view import Document, Overview
from common.overview.words import age
from common.queue.contract import Entry

_RUNNING = 8  # keys shown
_FACTS = 12
_ENDS = ("converged", "waiting", "retried", "held", "parked")  # of a run
# Every key has them, and they say nothing that its end does not.
_NOISE = frozenset({"claimed", "deduplicated", "enqueued", "released"})
_BOLD, _RED, _DIM = "1", "31", "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The ledger's counters at one instant."""

    counts: Mapping[str, int]
    at_s: float  # any clock that does not jump


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast it goes, per second between two looks."""

    runs: float
    images: float
    writes: float


def pace(before: Look | None, now: Look) -> Pace | None:
    """Return the pace; None where there is nothing to compare, or Redis was flushed meanwhile."""
    if before is None or now.at_s <= before.at_s:
        return None
    grown = {name: count - before.counts.get(name, 0) for name, count in now.counts.items()}
    if min(grown.values(), default=0) < 0:
        return None
    seconds = now.at_s - before.at_s
    return Pace(
        runs=sum(grown.get(name, 0) for name in _ENDS) / seconds,
        images=grown.get("inventoried", 0) / seconds,
        writes=grown.get("written", 0) / seconds,
    )


def view(overview: Overview, running: Sequence[Entry], going: Pace | None, *, now_s: float) -> str:
    """Return the page below its head."""
    document = overview.document
    parts = [
        wrong(document),
        next_steps(document) if document["problems"] else "",
        _going(document, going),
        numbers(document),
        _running(running, now_s=now_s),
        _facts(overview.facts),
    ]
    return "\n\n".join(part for part in parts if part)


def style(line: str) -> str:
    """Return how a line is drawn, as a terminal's number; empty: plain."""
    if line.startswith("! "):
        return f"{_BOLD};{_RED}"
    first = line.partition(" ")[0]
    if first in {"sluice", "POOL", "RUNNING", "Next:"}:
        return _BOLD
    return _DIM if line[:2].isdigit() and line[2:3] == ":" else ""


def _going(document: Document, going: Pace | None) -> str:
    """Return the pace, and how long what waits will take at it."""
    if going is None:
        return ""
    speeds = (("runs", going.runs), ("images", going.images), ("reports written", going.writes))
    told = ", ".join(f"{speed:.1f} {name}/s" for name, speed in speeds)
    queued = sum(lane["queued"] for lanes in document["queue"].values() for lane in lanes.values())
    left = f"; {queued} queued, about {age(queued / going.runs)}" if queued and going.runs else ""
    return f"{told}{left}"


def _running(running: Sequence[Entry], *, now_s: float) -> str:
    if not running:
        return ""
    rows = [
        (key_shown(str(each.key)), age(now_s - each.since_s) if each.since_s else "-", each.worker)
        for each in running[:_RUNNING]
    ]
    more = len(running) - _RUNNING
    rows += [(f"and {more} more", "", "")] if more > 0 else []
    return columns(rows, head=("RUNNING", "IN QUEUE", "WORKER"))


def _facts(facts: Sequence[Fact]) -> str:
    """Return what happened last, the newest first."""
    told = [fact for fact in reversed(facts) if fact.kind not in _NOISE][:_FACTS]
    return "\n".join(_told(fact) for fact in told)


def _told(fact: Fact) -> str:
    when = datetime.fromtimestamp(fact.at, tz=UTC).strftime("%H:%M:%SZ")
    about = f"{key_shown(fact.key)}: " if fact.key else ""
    return f"{when}  {about}{sentence(fact)}"
