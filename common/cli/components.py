"""`sluice watcher`, `worker` and `scanner`: become one process of the pipeline.

The command replaces itself by the component's own program: the command line imports only `common`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from common.cli.command import Command, Context
from common.settings.formats import POOL_LIST, POOLS
from common.settings.load import load

WATCHER = "watcher"
WORKER = "worker"
SCANNER = "worker.scanner"


def module_argv(module: str) -> tuple[str, ...]:
    """Return how to start a component: never from the current folder (`-P`)."""
    return (sys.executable, "-P", "-m", module)


def _nothing(_parser: argparse.ArgumentParser) -> None:
    """Take nothing: components are configured by their environment alone."""


def _pools(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pool",
        metavar="POOLS",
        type=_pool_list,
        help=f"comma list of {', '.join(POOLS)}; default: SLUICE_WORKER_POOLS",
    )


def _pool_list(text: str) -> str:
    try:
        pools = POOL_LIST.read(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    if not pools:  # what a script's unset variable gives: it does not mean every pool
        raise argparse.ArgumentTypeError(f"names no pool; known are {', '.join(POOLS)}")
    return ",".join(pools)


def _become(module: str) -> Callable[[Context, argparse.Namespace], int]:
    def run(context: Context, arguments: argparse.Namespace) -> int:
        environ = dict(context.environ)
        if pool := getattr(arguments, "pool", None):
            environ["SLUICE_WORKER_POOLS"] = pool
        # Faults of the settings are told by this process, in its words, before it is replaced.
        load(environ)
        argv = module_argv(module)
        os.execve(argv[0], argv, environ)  # noqa: S606 # no shell is wanted

    return run


COMMANDS = {
    "watcher": Command(
        summary="Follows the cluster and queues what changed. Configured by the environment.",
        examples=("SLUICE_REDIS_URL=redis://localhost sluice watcher",),
        arguments=_nothing,
        run=_become(WATCHER),
    ),
    "worker": Command(
        summary="Works keys of the queue. Configured by the environment.",
        examples=(
            "SLUICE_REDIS_URL=redis://localhost sluice worker --pool reconcile,scan",
            "SLUICE_REDIS_URL=redis://localhost sluice worker --pool match",
        ),
        arguments=_pools,
        run=_become(WORKER),
    ),
    "scanner": Command(
        summary="Unpacks images for scan workers; needs neither cluster nor Redis.",
        examples=("SLUICE_SCANNER_SOCKET=/run/sluice/scanner.sock sluice scanner",),
        arguments=_nothing,
        run=_become(SCANNER),
    ),
}
