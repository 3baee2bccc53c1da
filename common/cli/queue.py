"""`sluice queue`: looks at the queue and acts on it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec
import orjson

from common.cli import queue_actions
from common.cli.command import Command, Context, positive
from common.cli.layout import columns
from common.cli.tables import open_tables, require_use
from common.model.key import WorkKey, parse_key
from common.ops.exit_status import DONE
from common.overview.tables import Tables
from common.overview.words import age
from common.queue.contract import Entry, Lane

_STATES = ("queued", "running", "delayed", "parked")
_EXAMPLES = {
    "ls": ("ls --state delayed", "ls --json | jq '.[] | select(.source != \"\")'"),
    "parked": ("parked", "parked --json | jq -r '.[].key'"),
    "requeue": ("requeue workload/ReplicaSet/shop/web-5d8f",),
    "drop": ("drop workload/ReplicaSet/shop/web-5d8f",),
    "pause": ("pause",),
    "resume": ("resume",),
}
_PARKED = ("parked", "dead")  # one action; rq and older releases say "dead"
_LOOKS = ("ls", *_PARKED)  # actions that write nothing
_HEAD = ("STATE", "LANE", "AGE", "DUE", "TRIES", "KEY", "REASON")
_PARKED_HEAD = ("AGE", "PROBE", "TRIES", "CLASS", "KEY", "REASON")


def listing(entries: Sequence[Entry], *, now_s: float) -> str:
    """Return keys as columns. Pure."""
    rows = [
        (
            entry.state,
            Lane(entry.lane).label,
            *_times(entry, now_s),
            _tries(entry),
            str(entry.key),
            _why(entry),
        )
        for entry in entries
    ]
    return columns(rows, head=_HEAD)


def parked_listing(entries: Sequence[Entry], *, now_s: float) -> str:
    """Return parked keys as columns: which budget is used up, and when each is probed. Pure."""
    rows = [
        (
            *_times(entry, now_s),
            _tries(entry),
            entry.error_class or "-",
            str(entry.key),
            _said(entry),
        )
        for entry in entries
    ]
    return columns(rows, head=_PARKED_HEAD)


def _times(entry: Entry, now_s: float) -> tuple[str, str]:
    """Return for how long it is in the queue, and how soon it comes back."""
    return (
        age(now_s - entry.since_s) if entry.since_s else "-",
        age(entry.due_s - now_s) if entry.due_s else "-",
    )


def _tries(entry: Entry) -> str:
    """Return how many runs failed, by error class: each class has a budget of its own."""
    classes = ", ".join(f"{name} {number}" for name, number in sorted(entry.failures.items()))
    return f"{entry.attempts} ({classes})" if classes else str(entry.attempts)


def _why(entry: Entry) -> str:
    """Return what a delayed key waits for, else what failed last."""
    if entry.state != "delayed":
        return _said(entry)
    if entry.source:
        return f"held by {entry.source}: {_said(entry)}"
    if entry.error_class:
        said = entry.message if entry.reason == entry.error_class else _said(entry)
        return f"backoff of {entry.error_class}: {said}"
    return f"waits: {entry.reason}" if entry.reason else "asked for later"


def _said(entry: Entry) -> str:
    return f"{entry.reason}: {entry.message}" if entry.reason else "-"


def as_json(entries: Sequence[Entry]) -> str:
    """Return keys as a JSON list. Pure."""
    listed = [
        {**msgspec.to_builtins(entry), "key": str(entry.key), "lane": Lane(entry.lane).label}
        for entry in entries
    ]
    return orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode()


def _arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    ls = _action(actions, "ls", "keys that are queued, running, delayed or parked")
    ls.add_argument("--state", choices=_STATES, help="only these; default: all")
    parked = _action(actions, "parked", "parked keys with class, reason and next probe")
    for listed in (ls, parked):
        listed.add_argument("--json", action="store_true", help="print a JSON list")
        listed.add_argument("--limit", type=positive, default=100, metavar="N", help="default: 100")
    for name, text in (
        ("requeue", "run a key now, whatever it waits for"),
        ("drop", "take a key out of the queue; the next sweep may bring it back"),
    ):
        acting = _action(actions, name, text)
        acting.add_argument("key", metavar="KEY", type=_key, help="as `sluice queue ls` prints it")
    _action(actions, "pause", "stop claims; running keys finish")
    _action(actions, "resume", "let claims go on")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    lines = [f"  sluice queue {example}" for example in _EXAMPLES[name]]
    return actions.add_parser(
        name,
        aliases=_PARKED[1:] if name == _PARKED[0] else (),
        help=text,
        description=text,
        epilog="\n".join(["Example:" if len(lines) == 1 else "Examples:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _key(text: str) -> WorkKey:
    try:
        return parse_key(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(
            f"{exc}; write it as `sluice queue ls` prints it, such as workload/Pod/shop/web "
            "(`sluice rescan` takes Pod/shop/web, Deployment/shop/web, and images)"
        ) from exc


def _run(context: Context, arguments: argparse.Namespace) -> int:
    with open_tables(context.settings()) as tables:
        if arguments.action not in _LOOKS:
            require_use(tables)
        match arguments.action:
            case action if action in _LOOKS:
                return _list(context, arguments, tables)
            case "requeue":
                return queue_actions.requeue(context, tables, arguments.key)
            case "drop":
                return queue_actions.drop(context, tables, arguments.key)
            case "pause":
                return queue_actions.pause(context, tables)
            case _:  # argparse lets nothing else through
                return queue_actions.resume(context, tables)


def _list(context: Context, arguments: argparse.Namespace, tables: Tables) -> int:
    states = ("parked",) if arguments.action in _PARKED else _STATES
    if getattr(arguments, "state", None):
        states = (arguments.state,)
    entries: list[Entry] = []
    for state in states:
        entries += tables.queue.ls(state, arguments.limit - len(entries))
        if len(entries) >= arguments.limit:
            break
    now_s = tables.clock.now_s()
    shown = parked_listing if arguments.action in _PARKED else listing
    text = as_json(entries) if arguments.json else shown(entries, now_s=now_s)
    context.terminal.result(text)
    if not entries and not arguments.json:
        context.terminal.note(f"no key is {' or '.join(states)}")
    return DONE


COMMANDS = {
    "queue": Command(
        summary="Looks at the queue and acts on it.",
        examples=(
            "sluice queue ls --state running",
            "sluice queue parked --json",
            "sluice queue requeue workload/ReplicaSet/shop/web-5d8f",
        ),
        arguments=_arguments,
        run=_run,
    )
}
