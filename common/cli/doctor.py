"""`sluice doctor`: checks everything that the product needs, each fault with its remedy."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import orjson

from common.cli.checks.access import check_access, check_configmaps
from common.cli.checks.account import component_of, concerning, judge_account
from common.cli.checks.circuits import judge_circuits
from common.cli.checks.cluster import judge_definitions, judge_lists, judge_peers
from common.cli.checks.evidence import (
    check_match_server,
    check_registry,
    eased,
    excused,
    is_fresh_database,
    judge_database,
    judge_trivy,
    registry_of,
)
from common.cli.checks.generation import judge_generation, judge_here
from common.cli.checks.parked import judge_parked
from common.cli.checks.settings import judge_settings
from common.cli.checks.watcher import judge_watcher
from common.cli.command import Command, Context
from common.cli.definitions import look_for_definitions
from common.cli.tables import open_session, open_tables, read_note
from common.kube.cluster import Cluster
from common.kube.errors import DeniedError
from common.kube.identity import own_namespace
from common.kube.lease import LeasePlace, lease_place
from common.kube.session import Session
from common.model.errors import SluiceError
from common.model.finding import Fault, Finding, Good, Notice, as_json, line
from common.model.overlay import Overlay
from common.ops.exit_status import DONE, FAILED
from common.ops.refusals import arranged_first
from common.ops.trivy_program import find_trivy
from common.overview import generation
from common.overview.circuits import described
from common.overview.tables import Tables
from common.overview.watcher import described as described_watcher
from common.overview.words import counted
from common.settings.load import load
from common.settings.public import instead
from common.settings.value import Settings
from common.state.epoch import digest_at
from common.state.examine import look
from common.state.fitness import hopeless, judge


def examine(settings: Settings, *, search_path: str) -> Iterator[Finding]:
    """Yield every finding; what cannot be looked at is a fault of its own, and the rest goes on."""
    of_redis = list(_redis(settings))
    yield from of_redis
    yield from _cluster(settings)
    yield from _trivy(settings, search_path)
    host = registry_of(settings.trivy.db_repository)
    plain, unverified = excused(settings, host)
    registry = check_registry(host, plain=plain, unverified=unverified)
    yield eased(registry) if any(map(is_fresh_database, of_redis)) else registry


def _redis(settings: Settings) -> Iterator[Finding]:
    try:
        with open_tables(settings) as tables:
            address, server = tables.address, look(tables.client, tables.names)
            yield from judge(server, shown=address.shown, user=address.username)
            if not any(hopeless(server, shown=address.shown)):
                yield from _database(tables)
                yield from _circuits(tables)
                yield _generation(tables)
                here = digest_at(settings, tables.clock)
                yield from judge_here(tables.epoch.published(), here())
                yield judge_watcher(described_watcher(tables.leader.last()))
                yield from judge_parked(tables.queue.dead_by_reason())
    except SluiceError as exc:
        yield _unreachable("Redis", exc)


def _circuits(tables: Tables) -> Iterator[Finding]:
    now_s = tables.clock.now_s()
    troubles = tables.troubles()
    yield from judge_circuits([described(each, now_s=now_s) for each in troubles])


def _generation(tables: Tables) -> Finding:
    loops = tables.workers.loops()
    return judge_generation(
        generation.described(tables.epoch.published(), loops), workers=len(loops)
    )


def _database(tables: Tables) -> Iterator[Finding]:
    row = tables.database.current()
    yield judge_database(row, now_s=tables.clock.now_s())
    if row is not None:
        yield check_match_server(row.server_url)


def _cluster(settings: Settings) -> Iterator[Finding]:
    try:
        with contextlib.closing(open_session(settings)) as session:
            cluster = Cluster(session)
            version = cluster.server_version()
            yield Good(topic="cluster", said=f"{session.context} ({session.host}), {version}")
            user = cluster.user()
            home = own_namespace(settings.scope.operator_namespace)
            component = component_of(user, home=home)
            yield from judge_account(user, component)
            if component in ("", "watcher"):  # no other may look
                yield from _surroundings(session, settings, component)
            yield from concerning(_access(cluster, settings), component)
            if settings.cluster_reports.lacking:
                yield Notice(topic="cluster reports", said=settings.cluster_reports.lacking)
    except SluiceError as exc:
        yield _unreachable("cluster", exc)


def _surroundings(session: Session, settings: Settings, component: str) -> Iterator[Finding]:
    """Yield what is to say about definitions and other operators."""
    targets = settings.scope.target_namespaces
    yield from _allowed(lambda: _definitions(session, targets, listed=component == "watcher"))
    operators = Cluster(session).trivy_operators
    yield from _allowed(lambda: judge_peers(operators(targets), targets=targets))


def _definitions(session: Session, targets: Sequence[str], *, listed: bool) -> Iterator[Finding]:
    """Look at definitions; `listed`: this account may list all reports, and no definition."""
    found = look_for_definitions(session, targets or ("",) * listed)
    if found.labels is None:
        yield judge_lists(found.missing, namespace=found.looked_in)
    else:
        yield from judge_definitions(found.labels)


def _access(cluster: Cluster, settings: Settings) -> Iterator[Finding]:
    """Yield what is to say about the rights of this account."""
    yield from check_access(
        cluster.can_i,
        targets=settings.scope.target_namespaces,
        lease=_lease(settings),
        nodes=not settings.scope.platform,
        cluster=settings.cluster_reports.any,
    )
    if settings.kube.operator_configmaps:
        home = own_namespace(settings.scope.operator_namespace)
        yield from check_configmaps(cluster.can_i, home)


def _lease(settings: Settings) -> LeasePlace | None:
    if not settings.pipeline.leader_election:
        return None
    return lease_place(settings.scope.operator_namespace, settings.redis.cluster)


def _published(settings: Settings) -> Overlay | None:
    """Return what the watcher says of the ConfigMaps; None also where nobody can be asked.

    `examine` tells why.
    """
    try:
        with open_tables(settings) as tables:
            return tables.overlays.current()
    except SluiceError:
        return None


def _allowed(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what a look finds; one that is not allowed keeps nobody from the next."""
    try:
        yield from look()
    except DeniedError as exc:
        yield _unreachable("cluster", exc)


def _trivy(settings: Settings, search_path: str) -> Iterator[Finding]:
    try:
        found = find_trivy(settings.trivy.path, search_path)
    except SluiceError as exc:
        yield _unreachable("Trivy", exc)
    else:
        yield judge_trivy(found)


def _unreachable(topic: str, exc: SluiceError) -> Fault:
    """Return the error as a fault; our messages are `problem; remedy`."""
    said, _, remedy = str(arranged_first(exc)).partition("; ")
    return Fault(topic=topic, said=said, remedy=remedy or "see the message")


def _arguments(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print a JSON list")
    how.add_argument("--brief", action="store_true", help="leave out what is as it must be")


def _run(context: Context, arguments: argparse.Namespace) -> int:
    context, told_by = _of_the_run(context)
    found: list[Finding] = []
    for finding in _findings(context, told_by):
        found.append(finding)
        if not arguments.json and not (arguments.brief and isinstance(finding, Good)):
            context.terminal.result(line(finding))
    if arguments.json:
        listed = [as_json(finding) for finding in found]
        context.terminal.result(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode())
    faults = [finding for finding in found if isinstance(finding, Fault)]
    notices = sum(isinstance(finding, Notice) for finding in found)
    counts = ((len(found), "check"), (notices, "note"), (len(faults), "fault"))
    context.terminal.note(", ".join(counted(number, name) for number, name in counts))
    if not arguments.json and not arguments.brief:  # they have scrolled away by now
        for fault in faults:
            context.terminal.note(f"  {fault.topic}: {fault.remedy}")
    return FAILED if faults else DONE


def _of_the_run(context: Context) -> tuple[Context, str]:
    """Return the context with the settings of the `sluice run` that is at work, and whose they are.

    A shell beside it seldom has its environment, and what is asked about is the run.
    """
    settings = load(context.environ)
    note = read_note(settings.ops.data_dir) if settings.redis.address is None else None
    if note is None:
        return context, "the environment"
    environ = instead(context.environ, note.settings)
    return dataclasses.replace(context, environ=environ), f"`sluice run` (process {note.pid})"


def _findings(context: Context, told_by: str) -> Iterator[Finding]:
    settings = context.settings()
    overlay = _published(settings)
    yield from examine(context.counting(overlay), search_path=context.environ.get("PATH", ""))
    home = own_namespace(settings.scope.operator_namespace)
    yield from judge_settings(context.environ, overlay, home=home, told_by=told_by)


COMMANDS = {
    "doctor": Command(
        summary="Checks Redis, cluster, access, Trivy, database, registry, settings; 1 on a fault.",
        examples=(
            "sluice doctor",
            "sluice doctor --brief",
            "sluice doctor --json | jq '.[] | select(.state==\"fault\")'",
        ),
        arguments=_arguments,
        run=_run,
    )
}
