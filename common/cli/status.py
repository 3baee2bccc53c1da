"""`sluice status`: what is wrong, how much is covered, what waits and runs, what to do next."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson

from common.cli.command import Command, Context
from common.cli.coverage import Coverage, coverage
from common.cli.database import document as described
from common.cli.failures import failures
from common.cli.layout import age, columns
from common.cli.tables import Tables, open_tables
from common.cli.trouble import problems
from common.ops.exit_status import DONE
from common.queue.contract import Lane

# Facts that the watcher writes when the cluster told it something.
_WATCHER_FACTS = frozenset({"enqueued", "deduplicated", "relisted", "undecodable", "swept"})
_TAIL_FACTS = 1000  # looked through for the last of them; older than these is "long ago"

_POOL_HEAD = ("POOL", "FRESH", "BULK", "OLDEST", "RUNNING", "DELAYED", "DEAD")

Document = Mapping[str, Any]


def collect(tables: Tables, *, sweep_interval_s: float) -> dict[str, Any]:
    """Return the status as `--json` shows it. Raises SourceUnavailableError."""
    measured = numbers(tables)
    failing = failures(tables.queue, tables.images, now_s=tables.clock.now_s())
    document = {**measured, "failures": failing}
    found = problems(document, sweep_interval_s=sweep_interval_s)
    return {**document, "problems": [dataclasses.asdict(problem) for problem in found]}


def numbers(tables: Tables) -> dict[str, Any]:
    """Return the part of the status that needs no look at single keys."""
    now_s = tables.clock.now_s()
    totals = tables.queue.totals()
    measured = _measure(tables)
    return {
        "cluster": tables.names.cluster,
        "coverage": _coverage(measured),
        "failing": dict(measured.failing),
        "queue": _queue(tables),
        "pools": {pool: dataclasses.asdict(each) for pool, each in totals.items()},
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
    """Return the status for people: what is wrong, the numbers, what to do next. Pure."""
    return "\n\n".join(
        part for part in (_wrong(document), _numbers(document), _next(document)) if part
    )


def _wrong(document: Document) -> str:
    lines: list[str] = []
    for problem in document["problems"]:
        lines.append(f"! {problem['said']}")
        lines += [f"    {detail}" for detail in problem["details"]]
    return "\n".join(lines)


def _numbers(document: Document) -> str:
    covered, database = document["coverage"], document["database"]
    last_s = document["last_event_age_s"]
    shares = f"{covered['true']} of {covered['workloads']} workloads ({covered['share']:.0%})"
    lines = [
        ("true reports", shares),
        ("database", _database_shown(database)),
        ("last event", "none yet" if last_s is None else f"{age(last_s)} ago"),
        ("workers", f"{len(document['workers'])} alive"),
    ]
    return f"{columns(lines)}\n\n{_pools(document)}"


def _next(document: Document) -> str:
    """Say what to do, each thing once."""
    remedies = dict.fromkeys(problem["remedy"] for problem in document["problems"])
    if not remedies:
        return "Nothing is wrong. Next: kubectl get vulns,exposedsecrets,sboms -A"
    return "\n".join(["Next:", *(f"  {remedy}" for remedy in remedies)])


def _pools(document: Document) -> str:
    rows = []
    for pool, lanes in document["queue"].items():
        totals = document["pools"][pool]
        oldest_s = max(depth["oldest_age_s"] for depth in lanes.values())
        rows.append(
            (
                pool,
                *(str(depth["queued"]) for depth in lanes.values()),
                age(oldest_s) if any(depth["queued"] for depth in lanes.values()) else "-",
                *(str(totals[name]) for name in ("running", "delayed", "dead")),
            )
        )
    return columns(rows, head=_POOL_HEAD)


def _database_shown(database: Document) -> str:
    if database["version"] is None:
        return "none yet"
    checked_s = database.get("checked_age_s")
    checked = f", looked for a newer one {age(checked_s)} ago" if checked_s is not None else ""
    return f"{database['version']}, {age(database['age_s'])} old{checked}"


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
    found = described(row, now_s=now_s)
    return {name: found[name] for name in ("version", "age_s", "checked_age_s")}


def _last_event_age_s(tables: Tables, now_s: float) -> float | None:
    for _, fact in reversed(tables.ledger.tail(_TAIL_FACTS)):
        if fact.kind in _WATCHER_FACTS:
            return round(max(0.0, now_s - fact.at), 3)
    return None


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(context: Context, arguments: argparse.Namespace) -> int:
    settings = context.settings()
    with open_tables(settings) as tables:
        document = collect(tables, sweep_interval_s=settings.pipeline.sweep_interval_s)
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    context.terminal.result(text if arguments.json else shown(document))
    return DONE


COMMANDS = {
    "status": Command(
        summary="Shows what is wrong, coverage, queue, database and workers.",
        examples=("sluice status", "sluice status --json | jq .coverage.share"),
        arguments=_arguments,
        run=_run,
    )
}
