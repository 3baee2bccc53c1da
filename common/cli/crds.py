"""`sluice crds`: prints or installs the definitions of the report kinds."""

from __future__ import annotations

import argparse
import contextlib

from common.cli.command import Command, Context
from common.cli.tables import open_session
from common.kube.cluster import Cluster
from common.ops.exit_status import DONE
from common.overview.words import counted
from common.reports.crds import definitions, to_yaml


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--install",
        action="store_true",
        help="create those that are missing; others, trivy-operator's too, stay as they are",
    )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    if not arguments.install:
        context.terminal.result(to_yaml())
        return DONE
    with contextlib.closing(open_session(context.settings())) as session:
        installed = Cluster(session).install_crds(definitions())
        where = f"{session.context} ({session.host})"
    for name in installed.created:
        context.terminal.result(f"{name} created")
    context.terminal.note(
        f"{counted(len(installed.created), 'definition')} created, "
        f"{len(installed.present)} there already, in {where}"
    )
    return DONE


COMMANDS = {
    "crds": Command(
        summary="Prints or installs the definitions of the report kinds.",
        examples=("sluice crds | kubectl apply --server-side -f -", "sluice crds --install"),
        arguments=_arguments,
        run=_run,
    )
}
