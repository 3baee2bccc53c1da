"""`sluice database`: the vulnerability database in use, and a look for a newer one."""

from __future__ import annotations

import argparse
import threading
import time
from typing import Protocol

import orjson

from common.cli.command import Command, Context, seconds
from common.cli.layout import columns
from common.cli.tables import open_tables, require_use
from common.model.errors import SourceUnavailableError
from common.ops.exit_status import DONE, FAILED
from common.overview.ages import database_age_s
from common.overview.database import described
from common.overview.tables import Tables
from common.overview.words import age
from common.state.database import DatabaseRow
from common.state.database_check import DatabaseCheck

_POLL_S = 0.25


class Asked(Protocol):
    """The request to the matcher."""

    def request(self) -> int:
        """Ask; return the request's number."""

    def answered(self) -> int:
        """Return the number of the last request that was answered."""


def shown(row: DatabaseRow, *, now_s: float) -> str:
    """Return the same for people. Pure."""
    checked = age(now_s - row.checked_at) + " ago" if row.checked_at else "-"
    return columns(
        [
            ("version", row.version),
            ("age", age(database_age_s(row.version, now_s))),
            ("checked", checked),
            ("served by", row.server_url),
            ("trivy", row.trivy_version or "-"),
        ]
    )


def await_look(asked: Asked, *, timeout_s: float) -> None:
    """Ask the matcher to look now and wait until it has.

    Raises SourceUnavailableError, naming the remedy, when no matcher answers in time.
    """
    number = asked.request()
    deadline_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while asked.answered() < number:
        if time.monotonic() > deadline_s:
            raise SourceUnavailableError(
                f"no matcher looked for a newer database within {timeout_s:g} s; "
                "is a worker of pool `match` running, and can it reach TRIVY_DB_REPOSITORY?"
            )
        pause.wait(_POLL_S)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=("status", "check"),
        default="status",
        help="check: look for a newer database now; default: status",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--timeout-s",
        type=seconds,
        default=120.0,
        metavar="SECONDS",
        help="how long check waits for the matcher; default: 120",
    )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    with open_tables(context.settings()) as tables:
        if arguments.action == "check":
            require_use(tables)
            said = look(tables, timeout_s=arguments.timeout_s)
            context.terminal.note(said)
        row, now_s = tables.database.current(), tables.clock.now_s()
        failed = tables.database.failed_look()
    if arguments.json:
        found = described(row, failed, now_s=now_s)
        context.terminal.result(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    elif row is not None:
        context.terminal.result(shown(row, now_s=now_s))
    if failed is not None and not arguments.json:
        looked = f"{age(now_s - failed.at)} ago: {failed.reason}, {failed.message}"
        context.terminal.note(f"the last look for a newer one failed {looked}")
    if row is None:
        context.terminal.note("no matcher has published a database yet; see `sluice doctor`")
        return FAILED
    return DONE


def look(tables: Tables, *, timeout_s: float) -> str:
    """Have the matcher look now; return what came of it, in words.

    Raises SourceUnavailableError when nobody looked, or when the look failed.
    """
    before = tables.database.current()
    await_look(DatabaseCheck(tables.client, tables.names), timeout_s=timeout_s)
    after = tables.database.current()
    if after is None or after == before:  # every look that succeeds renews the row's time
        failed = tables.database.failed_look()
        why = f": {failed.reason}, {failed.message}" if failed else "; its log says why"
        raise SourceUnavailableError(
            f"the matcher looked, but could not reach or read the database{why}. "
            "`sluice doctor` looks at the registry from here"
        )
    changed = before is None or before.version != after.version
    return "a newer database is in use" if changed else "no newer database"


COMMANDS = {
    "database": Command(
        summary="Shows the vulnerability database in use, or looks for a newer one now.",
        examples=("sluice database", "sluice database check"),
        arguments=_arguments,
        run=_run,
    )
}
