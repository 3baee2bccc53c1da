"""`sluice status`: how much is covered, what waits, what runs, how fresh it all is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import orjson

from common.cli.ages import database_age_s
from common.cli.command import Command, Context
from common.cli.coverage import Coverage, coverage
from common.cli.layout import age, columns
from common.cli.tables import Tables, open_tables
from common.ops.exit_status import DONE
from common.queue.contract import Lane

# Facts that the watcher writes when the cluster told it something.
_WATCHER_FACTS = frozenset({"enqueued", "deduplicated", "relisted", "undecodable", "swept"})
_TAIL_FACTS = 1000  # looked through for the last of them; older than these is "long ago"

Document = Mapping[str, Any]


def collect(tables: Tables) -> dict[str, Any]:
    """Return the status as `--json` shows it. Raises SourceUnavailableError."""
    now_s = tables.clock.now_s()
    totals = tables.queue.totals()
    return {
        "cluster": tables.names.cluster,
        "coverage": _coverage(_measure(tables)),
        "queue": _queue(tables),
        "paused": tables.queue.paused(),
        "running": sum(total.running for total in totals.values()),
        "delayed": sum(total.delayed for total in totals.values()),
        "dead": sum(total.dead for total in totals.values()),
        "circuits": [],
        "database": _database(tables, now_s),
        "epoch": tables.epoch.current(),
        "last_event_age_s": _last_event_age_s(tables, now_s),
        "workers": list(tables.workers.alive()),
    }


def shown(document: Document) -> str:
    """Return the status for people. Pure."""
    covered, database = document["coverage"], document["database"]
    shares = f"{covered['true']} of {covered['workloads']} workloads ({covered['share']:.0%})"
    states = f"{document['running']} running, {document['delayed']} delayed"
    paused = ", PAUSED" if document["paused"] else ""
    last_s = document["last_event_age_s"]
    lines = [
        ("true reports", shares),
        *((f"queue {pool}", _lanes(lanes)) for pool, lanes in document["queue"].items()),
        ("keys", f"{states}, {document['dead']} dead{paused}"),
        ("database", _database_shown(database["version"], database["age_s"])),
        ("last event", "none yet" if last_s is None else f"{age(last_s)} ago"),
        ("workers", f"{len(document['workers'])} alive"),
    ]
    return columns(lines)


def _database_shown(version: str | None, age_s: float | None) -> str:
    return "none yet" if version is None else f"{version}, {age(age_s)} old"


def _lanes(lanes: Mapping[str, Document]) -> str:
    parts = []
    for lane, depth in lanes.items():
        waits = f", the oldest for {age(depth['oldest_age_s'])}" if depth["queued"] else ""
        parts.append(f"{depth['queued']} {lane}{waits}")
    return "; ".join(parts)


def _measure(tables: Tables) -> Coverage:
    keys = list(tables.rows.keys())
    wanted = tables.rows.fingerprints(keys)
    return coverage(wanted, tables.settled.all(), epoch=tables.epoch.current())


def _coverage(measured: Coverage) -> dict[str, object]:
    return {
        "workloads": measured.workloads,
        "true": measured.true,
        "share": round(measured.share, 4),
    }


def _queue(tables: Tables) -> dict[str, dict[str, dict[str, object]]]:
    result: dict[str, dict[str, dict[str, object]]] = {}
    for (pool, lane), depth in tables.queue.depth().items():
        result.setdefault(pool, {})[Lane(lane).label] = {
            "queued": depth.queued,
            "oldest_age_s": round(depth.oldest_age_s, 3),
        }
    return result


def _database(tables: Tables, now_s: float) -> dict[str, object]:
    row = tables.database.current()
    if row is None:
        return {"version": None, "age_s": None}
    return {"version": row.version, "age_s": database_age_s(row.version, now_s)}


def _last_event_age_s(tables: Tables, now_s: float) -> float | None:
    for _, fact in reversed(tables.ledger.tail(_TAIL_FACTS)):
        if fact.kind in _WATCHER_FACTS:
            return round(max(0.0, now_s - fact.at), 3)
    return None


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(context: Context, arguments: argparse.Namespace) -> int:
    with open_tables(context.settings()) as tables:
        document = collect(tables)
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    context.terminal.result(text if arguments.json else shown(document))
    return DONE


COMMANDS = {
    "status": Command(
        summary="Shows coverage, queue, database and workers.",
        examples=("sluice status", "sluice status --json | jq .coverage.share"),
        arguments=_arguments,
        run=_run,
    )
}
