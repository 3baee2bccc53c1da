"""`sluice top`: the status, refreshed until Ctrl-C."""

from __future__ import annotations

import argparse
import threading

from common.cli.command import Command, Context, seconds
from common.cli.status import shown
from common.cli.tables import open_tables
from common.model.errors import PreconditionError, SourceUnavailableError
from common.ops.exit_status import DONE
from common.overview.gather import gather
from common.overview.trouble import Promises

_HEAD = "sluice top, Ctrl-C ends"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval-s", type=seconds, default=2.0, metavar="SECONDS", help="default: 2"
    )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    if not context.terminal.stdout.isatty():
        raise PreconditionError("stdout is no terminal; use `sluice status` (--json for scripts)")
    settings = context.settings()
    with open_tables(settings) as tables:
        pause = threading.Event()
        try:
            while True:
                try:
                    promises = Promises.of(context.counting(tables.overlays.current()))
                    text = shown(gather(tables, promises).document)
                except SourceUnavailableError as exc:
                    text = str(exc)  # Redis restarts; the next look may see it again
                context.terminal.screen(f"{_HEAD}\n\n{text}")
                pause.wait(arguments.interval_s)
        except KeyboardInterrupt:
            return DONE


COMMANDS = {
    "top": Command(
        summary="Shows the status, refreshed until Ctrl-C.",
        examples=("sluice top", "sluice top --interval-s 10"),
        arguments=_arguments,
        run=_run,
    )
}
