"""`sluice top`: what is wrong, how fast it goes and what runs, refreshed until q or Ctrl-C."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime

from common.cli.command import Command, Context, seconds
from common.cli.keys import pressed
from common.cli.tables import open_tables
from common.cli.topview import Look, pace, style, view
from common.model.errors import PreconditionError, SourceUnavailableError
from common.ops.exit_status import DONE
from common.overview.gather import gather
from common.overview.tables import Tables
from common.overview.trouble import Promises

_QUIT = {"q", "Q", "\x04"}  # Ctrl-D too
_RUNNING_KEYS = 100


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval-s", type=seconds, default=2.0, metavar="SECONDS", help="default: 2"
    )
    parser.add_argument(
        "--once", action="store_true", help="print it once, without colours, and end"
    )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    if not arguments.once and not context.terminal.stdout.isatty():
        raise PreconditionError(
            "stdout is no terminal; use `sluice top --once` or `sluice status` (--json for scripts)"
        )
    with open_tables(context.settings()) as tables:
        page = _Pages(context, tables)
        if arguments.once:
            context.terminal.result(page.next())
            return DONE
        head = f"sluice top  {tables.names.cluster}  every {arguments.interval_s:g} s"
        shown = (lambda _line: "") if context.environ.get("NO_COLOR") else style
        try:
            with pressed(context.terminal.stdin) as wait:
                while True:
                    at = datetime.now(tz=UTC).strftime("%H:%M:%SZ")
                    text = f"{head}  {at}  q ends, space looks again\n\n{page.next()}"
                    context.terminal.screen(text, style=shown)
                    if wait(arguments.interval_s) in _QUIT:
                        return DONE
        except KeyboardInterrupt:
            return DONE


class _Pages:
    """Looks again and again, and remembers the last look for the pace."""

    def __init__(self, context: Context, tables: Tables) -> None:
        self._context = context
        self._tables = tables
        self._before: Look | None = None

    def next(self) -> str:
        """Return the page of now, or why there is none: the next look may see Redis again."""
        tables = self._tables
        try:
            promises = Promises.of(self._context.counting(tables.overlays.current()))
            overview = gather(tables, promises)
            look = Look(counts=tables.ledger.counts(), at_s=time.monotonic())
            running = tables.queue.ls("running", limit=_RUNNING_KEYS)
            now_s = tables.clock.now_s()
        except SourceUnavailableError as exc:
            return f"! {exc}"
        going, self._before = pace(self._before, look), look
        return view(overview, running, going, now_s=now_s)


COMMANDS = {
    "top": Command(
        summary="Shows what is wrong, the pace, what runs and what happened, refreshed until q.",
        examples=("sluice top", "sluice top --interval-s 10", "sluice top --once | less"),
        arguments=_arguments,
        run=_run,
    )
}
