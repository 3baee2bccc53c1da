"""`sluice version`: what is installed."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
from collections.abc import Callable, Mapping

import orjson

from common.cli.command import Command, Context
from common.cli.layout import columns
from common.model.errors import PreconditionError, SettingsError
from common.ops.exit_status import DONE
from common.ops.trivy_program import find_trivy
from common.settings.parse import parse


def versions(environ: Mapping[str, str], *, note: Callable[[str], None]) -> dict[str, str | None]:
    """Return the versions of what matters; None: not known. `note` takes why there is no Trivy."""
    return {
        "sluice": _installed("kube-sluice"),
        "python": platform.python_version(),
        "trivy": _trivy(environ, note),
        "rq": _installed("rq"),
        "redis": _installed("redis"),
        "kubernetes": _installed("kubernetes"),
    }


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _trivy(environ: Mapping[str, str], note: Callable[[str], None]) -> str | None:
    try:
        configured = parse(environ).trivy.path
    except SettingsError as exc:  # versions are wanted all the more then
        note(str(exc))
        configured = environ.get("SLUICE_TRIVY_PATH", "").strip()
    try:
        return find_trivy(configured, environ.get("PATH", "")).version
    except PreconditionError as exc:
        note(f"trivy: {exc}")
        return None


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(context: Context, arguments: argparse.Namespace) -> int:
    found = versions(context.environ, note=context.terminal.note)
    if arguments.json:
        context.terminal.result(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        context.terminal.result(columns([(name, text or "-") for name, text in found.items()]))
    return DONE


COMMANDS = {
    "version": Command(
        summary="Prints the versions of sluice and of what it works with.",
        examples=("sluice version", "sluice version --json"),
        arguments=_arguments,
        run=_run,
    )
}
