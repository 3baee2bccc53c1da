"""`sluice rescan`: asks for a fresh run of an object, or of everything, spread over time."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from common.cli.command import Command, Context
from common.cli.queue_actions import tell_pause
from common.cli.subject import HINT, keys_meant, known_in, read_wish
from common.cli.tables import open_tables
from common.model.key import WorkKey, WorkloadKey
from common.ops.exit_status import DONE, FAILED
from common.overview.tables import Tables
from common.overview.words import age, counted
from common.queue.contract import Add, Lane
from common.reports.duration import parse_go_duration

_BATCH = 512  # keys of one call: keeps each script under a few milliseconds
_CAUSE = "rescan asked for"


def spread(keys: Sequence[WorkKey], *, over_s: float, lane: Lane) -> list[Add]:
    """Return one add per key: the first due now, the last just before `over_s`. Pure."""
    step_s = over_s / len(keys) if keys else 0.0
    return [
        Add(key=key, lane=lane, delay_s=math.floor(index * step_s * 1000) / 1000, cause=_CAUSE)
        for index, key in enumerate(keys)
    ]


def everything(tables: Tables) -> list[WorkKey]:
    """Return every image and every workload; images first, so that workloads find them done."""
    return [*tables.images.keys(), *tables.rows.keys()]


def with_images(keys: Sequence[WorkKey], tables: Tables) -> list[WorkKey]:
    """Return the keys, each workload after the images that it uses."""
    wanted: list[WorkKey] = []
    for key in keys:
        if isinstance(key, WorkloadKey):
            wanted.extend(tables.images.used_by(key))
        wanted.append(key)
    return list(dict.fromkeys(wanted))


def _duration_s(text: str) -> float:
    seconds = parse_go_duration(text)
    if seconds is None or seconds < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 30m or 2h")
    return seconds


def _arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "object", nargs="?", metavar="OBJECT", help="Kind/namespace/name, a report, or an image"
    )
    what.add_argument("--all", action="store_true", help="every workload and image")
    parser.add_argument(
        "--over",
        type=_duration_s,
        default=0.0,
        metavar="DURATION",
        help="spread the runs evenly over this time, such as 2h",
    )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    with open_tables(context.settings()) as tables:
        if arguments.all:
            keys, lane = everything(tables), Lane.BULK
        else:
            wish = read_wish(arguments.object)
            keys = with_images(keys_meant(wish, known_in(tables)), tables)
            lane = Lane.FRESH
        if not keys:
            return _nothing(context, arguments)
        adds = spread(keys, over_s=arguments.over, lane=lane)
        for start in range(0, len(adds), _BATCH):
            tables.queue.add(adds[start : start + _BATCH])
        when = f", spread over {age(arguments.over)}" if arguments.over else ""
        context.terminal.note(f"{counted(len(keys), 'key')} queued{when}; see `sluice status`")
        tell_pause(context, tables)
    return DONE


def _nothing(context: Context, arguments: argparse.Namespace) -> int:
    if arguments.all:
        context.terminal.note("no workload and no image is known yet; is the watcher running?")
    else:
        context.terminal.note(f"nothing is known about {arguments.object!r}; {HINT}")
    return FAILED


COMMANDS = {
    "rescan": Command(
        summary="Asks for a fresh run of an object with its images, or of everything.",
        examples=(
            "sluice rescan Deployment/shop/web",
            "sluice rescan --all --over 2h",
        ),
        arguments=_arguments,
        run=_run,
    )
}
