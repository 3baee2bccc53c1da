"""`sluice crds`: prints, installs or upgrades the definitions of the report kinds."""

from __future__ import annotations

import argparse
import contextlib

from common.cli.command import Command, Context
from common.cli.tables import open_session
from common.kube.cluster import Cluster
from common.kube.definitions import Upgraded, upgrade
from common.kube.session import Session
from common.ops.exit_status import DONE
from common.overview.words import counted
from common.reports.crds import definitions, to_yaml


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--install",
        action="store_true",
        help="create those that are missing; others, trivy-operator's too, stay as they are",
    )
    parser.add_argument(
        "--upgrade",
        action="store_true",
        help="create those that are missing and bring ours up to date; trivy-operator's, and those "
        "of a newer kube-sluice, stay as they are; no report is touched",
    )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    if not (arguments.install or arguments.upgrade):
        context.terminal.result(to_yaml())
        return DONE
    with contextlib.closing(open_session(context.settings())) as session:
        if arguments.upgrade:
            return _tell(context, upgrade(session, definitions()), session)
        installed = Cluster(session).install_crds(definitions())
        where = f"{session.context} ({session.host})"
    for name in installed.created:
        context.terminal.result(f"{name} created")
    context.terminal.note(
        f"{counted(len(installed.created), 'definition')} created, "
        f"{len(installed.present)} there already, in {where}"
    )
    return DONE


def _tell(context: Context, upgraded: Upgraded, session: Session) -> int:
    for name, what in sorted(upgraded.done.items()):
        context.terminal.result(f"{name} {what}")
    for name in upgraded.newer:
        context.terminal.note(f"{name} is of a newer kube-sluice: left as it is")
    if upgraded.foreign:
        context.terminal.note(
            f"{counted(len(upgraded.foreign), 'definition')} of somebody else, trivy-operator's as "
            "a rule, left as they are; to take them over: "
            "sluice crds | kubectl apply --server-side --force-conflicts -f -"
        )
    context.terminal.note(
        f"{counted(len(upgraded.done), 'definition')} created or changed, in {session.context} "
        f"({session.host})"
    )
    return DONE


COMMANDS = {
    "crds": Command(
        summary="Prints, installs or upgrades the definitions of the report kinds.",
        examples=(
            "sluice crds | kubectl apply --server-side -f -",
            "sluice crds --install",
            "sluice crds --upgrade",
        ),
        arguments=_arguments,
        run=_run,
    )
}
