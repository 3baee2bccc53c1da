"""`sluice canary`: whether a new Trivy may be trusted with what an older one analysed."""

from __future__ import annotations

import argparse
import os

from common.cli.command import Command, Context, named
from common.cli.components import module_argv
from common.cli.tables import read_note, redis_address
from common.ops.socket_paths import short_enough

CANARY = "worker.canary"
_MOST = 1000


def _number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 4 else 0  # noqa: PLR2004 # digits of _MOST
    if not 0 < number <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MOST}")
    return number


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images",
        type=_number,
        default=5,
        metavar="N",
        help="how many images in use are analysed and compared; default: 5",
    )
    parser.add_argument(
        "--trivy",
        type=named,
        metavar="PATH",
        help="compare this Trivy, which is not rolled out yet, with a scanner, a match server and "
        "a database of its own; nothing is trusted by it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(context: Context, arguments: argparse.Namespace) -> int:
    settings = context.settings()
    environ = dict(context.environ)
    note = read_note(settings.ops.data_dir)
    redis_address(settings, note)  # raises with the remedy when there is none
    if settings.redis.address is None and note is not None:
        environ["SLUICE_REDIS_URL"] = note.redis_url
        environ.setdefault("SLUICE_CLUSTER", note.cluster)
        if note.context:
            environ.setdefault("SLUICE_CONTEXT", note.context)
    environ["SLUICE_SCANNER_SOCKET"] = short_enough(settings.trivy.scanner_socket)
    more = [*(("--json",) if arguments.json else ())]
    if arguments.trivy:
        more += ["--trivy", os.path.abspath(arguments.trivy)]  # noqa: PTH100 # a link may be meant
    argv = (*module_argv(CANARY), "--images", str(arguments.images), *more)
    os.execve(argv[0], argv, environ)  # noqa: S606 # no shell is wanted


COMMANDS = {
    "canary": Command(
        summary="Compares Trivy's own findings with our replay on images in use, where a scanner "
        "runs (a worker's Pod, or beside `sluice run`); a Trivy that agrees is trusted with what "
        "an older one analysed.",
        examples=(
            "sluice canary",
            "sluice canary --trivy ~/Downloads/trivy",
            "kubectl exec deploy/kube-sluice-worker -c worker -- sluice canary --images 20",
        ),
        arguments=_arguments,
        run=_run,
    )
}
