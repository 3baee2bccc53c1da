"""`sluice values`: turns the values of trivy-operator's chart into ours."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common.cli.command import Command, Context, named
from common.migration.read import SIZE_LIMIT_BYTES, read_values
from common.migration.show import listing, values_file
from common.migration.translate import translate
from common.model.errors import PreconditionError
from common.ops.exit_status import DONE, FAILED

_STDIN = "-"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        type=named,
        help="a values file of trivy-operator's chart; -: what is piped in",
    )
    parser.add_argument(
        "--all", action="store_true", help="list values too that are as the chart has them"
    )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    translation = translate(read_values(_content(arguments.file)))
    context.terminal.note(listing(translation, everything=arguments.all))
    context.terminal.result(values_file(translation))
    return DONE if translation.is_clean else FAILED


def _content(name: str) -> bytes:
    """Return a file's content, or its beginning where it is too long in any case."""
    try:
        if name == _STDIN:
            return sys.stdin.buffer.read(SIZE_LIMIT_BYTES + 1)
        with Path(name).open("rb") as file:
            return file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as exc:
        raise PreconditionError(f"cannot read {name}: {exc.strerror}") from exc


COMMANDS = {
    "values": Command(
        summary="Prints values of our chart for trivy-operator's, and what became of each.",
        examples=(
            "sluice values trivy-operator-values.yaml > values.yaml",
            "helm get values trivy-operator -n trivy-system -o yaml | sluice values - > ours.yaml",
        ),
        arguments=_arguments,
        run=_run,
    )
}
