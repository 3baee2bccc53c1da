"""`sluice status`: what is wrong, how much is covered, what waits and runs, what to do next."""

from __future__ import annotations

import argparse
import threading
import time

import orjson

from common.cli.command import Command, Context, positive
from common.cli.layout import columns
from common.cli.tables import open_tables
from common.model.errors import SluiceError
from common.ops.exit_status import DONE, FAILED
from common.overview import generation, overlay, verified, watcher
from common.overview.gather import gather
from common.overview.lacking import number, summary
from common.overview.trouble import Promises, standstill
from common.overview.view import Document, Overview
from common.overview.words import age, percent
from common.settings.value import Settings

_POLL_S = 1.0
_POOL_HEAD = ("POOL", "FRESH", "BULK", "OLDEST", "RUNNING", "DELAYED", "PARKED")


def shown(document: Document) -> str:
    """Return the status for people: what is wrong, the numbers, what to do next. Pure."""
    return "\n\n".join(
        part for part in (wrong(document), numbers(document), next_steps(document)) if part
    )


def wrong(document: Document) -> str:
    """Return what is not as it must be; empty: nothing. Pure."""
    lines: list[str] = []
    for problem in document["problems"]:
        lines.append(f"! {problem['said']}")
        lines += [f"    {detail}" for detail in problem["details"]]
    return "\n".join(lines)


def numbers(document: Document) -> str:
    """Return how much there is of everything. Pure."""
    covered, database = document["coverage"], document["database"]
    last_s = document["last_event_age_s"]
    shares = "no workload is known"
    if covered["workloads"]:
        share = percent(covered["true"], covered["workloads"])
        shares = f"{covered['true']} of {covered['workloads']} workloads ({share})"
    lacking = summary(document)
    lines = [
        ("true reports", shares),
        *([("lacking", f"{number(document)}: {lacking}")] if lacking else []),
        *_cluster_reports_shown(document),
        ("database", _database_shown(database)),
        ("verified", verified.shown(document["verified"])),
        ("last event", "none yet" if last_s is None else f"{age(last_s)} ago"),
        ("watcher", watcher.shown(document["watcher"])),
        ("workers", _workers_shown(document)),
        ("generation", generation.shown(document["generation"])),
        *([("settings", said)] if (said := overlay.shown(document["settings"])) else []),
    ]
    return f"{columns(lines)}\n\n{_pools(document)}"


def _cluster_reports_shown(document: Document) -> list[tuple[str, str]]:
    """Say how many reports about the cluster are true, where any are wanted."""
    found = document.get("cluster_reports", {"wanted": 0})
    if not found["wanted"]:
        return []
    return [("of the cluster", f"{found['true']} of {found['wanted']} subjects have true reports")]


def _workers_shown(document: Document) -> str:
    standing = len(document["generation"]["standing_back"])
    back = f", {standing} of them {'stands' if standing == 1 else 'stand'} back" if standing else ""
    return f"{len(document['workers'])} alive{back}"


def next_steps(document: Document) -> str:
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


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--wait",
        type=positive,
        metavar="SECONDS",
        help="wait until watcher, workers and database are there; status 1 if they are not by then",
    )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    settings = context.settings()
    until_s = time.monotonic() + (arguments.wait or 0)
    found, lacks = _look(context, settings, until_s=until_s if arguments.wait else None)
    text = orjson.dumps(found.document, option=orjson.OPT_INDENT_2).decode()
    context.terminal.result(text if arguments.json else shown(found.document))
    return FAILED if arguments.wait and lacks else DONE


def _look(context: Context, settings: Settings, *, until_s: float | None) -> tuple[Overview, bool]:
    """Look once, or until everything runs; also say whether something does not.

    Raises what the last look raised: Redis may be the last to come.
    """
    while True:
        last = until_s is None or time.monotonic() >= until_s
        try:
            with open_tables(settings) as tables:
                promises = Promises.of(context.counting(tables.overlays.current()))
                found = gather(tables, promises)
        except SluiceError:
            if last:
                raise
        else:
            lacks = bool(standstill(found.document, promises))
            if last or not lacks:
                return found, lacks
        threading.Event().wait(_POLL_S)


COMMANDS = {
    "status": Command(
        summary="Shows what is wrong, coverage, queue, database and workers.",
        examples=(
            "sluice status",
            "sluice status --json | jq .coverage.share",
            "sluice status --wait 120",
        ),
        arguments=_arguments,
        run=_run,
    )
}
