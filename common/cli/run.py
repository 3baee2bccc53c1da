"""`sluice run`: the whole pipeline on one machine, against one cluster.

Says what it will write and asks; then starts the parts in order (Valkey, scanner, matcher, watcher,
workers), keeps them running, and on Ctrl-C stops them in reverse, so that workers drain first.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.cli import parts
from common.cli.command import Command, Context, named, positive
from common.cli.interrupts import Interrupts, interrupts
from common.cli.pipeline import Surroundings
from common.cli.preview import look_ahead
from common.cli.progress import shown_progress
from common.cli.tables import CLIENT_NAME, RunNote, open_session, require_answer
from common.cli.terminal import Terminal
from common.kube.cluster import Cluster
from common.model.redis_address import parse_redis_url
from common.ops import startup
from common.ops.data_folder import hold
from common.ops.exit_status import DONE, FAILED
from common.ops.signals import heeded
from common.ops.supervisor import Supervisor, supervisor
from common.overview.tables import Tables, tables_on
from common.overview.words import counted
from common.reports.crds import definitions
from common.settings.public import public
from common.settings.value import Settings
from common.state.arrival import client_for, examine
from common.state.names import Names


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--context", type=named, metavar="NAME", help="kubeconfig context; default: current"
    )
    parser.add_argument(
        "--kubeconfig", type=named, metavar="FILE", help="default: KUBECONFIG, ~/.kube/config"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before writing")
    parser.add_argument("--workers", type=positive, default=2, metavar="N", help="default: 2")
    parser.add_argument(
        "--data-dir",
        type=named,
        metavar="DIR",
        help="databases and state; default: SLUICE_DATA_DIR",
    )


def _overridden(context: Context, arguments: argparse.Namespace) -> Context:
    """Return the context with the arguments, and what follows from them, as settings."""
    chosen = {
        "SLUICE_CONTEXT": arguments.context,
        "SLUICE_KUBECONFIG": arguments.kubeconfig,
        "SLUICE_DATA_DIR": _absolute(arguments.data_dir),
        "SLUICE_LEADER_ELECTION": own_election(context.environ),
    }
    given = {name: value for name, value in chosen.items() if value}
    return Context(environ={**context.environ, **given}, terminal=context.terminal)


def own_election(environ: Mapping[str, str]) -> str:
    """Return `false` for a run whose Redis is its own, unless the user chose; else nothing.

    Nobody else can work with that Redis, so nobody has to stand by, and no Lease is written into
    a cluster that somebody just looks at.
    """
    chosen = any(
        environ.get(name, "").strip() for name in ("SLUICE_REDIS_URL", "SLUICE_LEADER_ELECTION")
    )
    return "" if chosen else "false"


def how_to_stop() -> str:
    """Return what drains and stops the run: Ctrl-C, unless whoever started us has it ignored."""
    if signal.SIGINT in heeded((signal.SIGINT,)):
        return "Ctrl-C drains and stops."
    return f"`kill {os.getpid()}` drains and stops; Ctrl-C is ignored, as for every background job."


def _absolute(path: str | None) -> str | None:
    """Return the path as children see it too."""
    return str(Path(path).resolve()) if path else None


def _run(context: Context, arguments: argparse.Namespace) -> int:
    context = _overridden(context, arguments)
    settings = context.settings()
    ops = settings.ops
    startup.begin_logs(ops, component="run", warnings=())  # the terminal was told already
    preview = look_ahead(settings)
    context.terminal.note(preview.shown())
    if not arguments.yes and not context.terminal.confirm(
        "Go on?", otherwise="give --yes to go on without a question"
    ):
        context.terminal.note("Nothing was written.")
        return FAILED
    with hold(ops.data_dir), interrupts() as signals, supervisor(signals.until) as owner:
        if preview.missing_definitions:
            _install(context.terminal, settings)
        run = Run(context=context, settings=settings, cluster=preview.cluster, owner=owner)
        run.until_stopped(signals, workers=arguments.workers)
    context.terminal.note("Stopped; what was queued stays queued.")
    return DONE


def _install(terminal: Terminal, settings: Settings) -> None:
    with contextlib.closing(open_session(settings)) as session:
        installed = Cluster(session).install_crds(definitions())
    terminal.note(f"{counted(len(installed.created), 'report definition')} installed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: a cluster, its settings, and the supervisor of its children."""

    context: Context
    settings: Settings
    cluster: str
    owner: Supervisor

    def until_stopped(self, signals: Interrupts, *, workers: int) -> None:
        """Start everything, say where it is, and keep it running until a signal comes."""
        embedded_url = parts.redis_of_its_own(self.owner, self.settings)
        note = self._note(embedded_url) if embedded_url else None
        address = self.settings.redis.address or parse_redis_url(embedded_url)
        with (
            contextlib.closing(
                client_for(self.settings.redis, address, name=CLIENT_NAME)
            ) as client,
            parts.noted(self.settings, note),
        ):
            require_answer(client, address)
            examine(client, Names(self.cluster), address)
            served = self._addresses()
            around = self._surroundings(embedded_url, served, workers=workers)
            ports = parts.start_components(self.owner, around)
            tables = tables_on(client, address, self.cluster)
            with parts.serve(served, ports) as taken, self._progress(tables):
                # Before the note: who reads it may send the signal before our next instruction.
                until = signals.watched()
                self.context.terminal.note(f"Ready. {taken.shown()}\n{how_to_stop()}")
                self.owner.watch(until)
                self.context.terminal.note("Draining …")

    def _progress(self, tables: Tables) -> contextlib.AbstractContextManager[None]:
        return shown_progress(self.context.terminal, tables)

    def _note(self, url: str) -> RunNote:
        return RunNote(
            pid=os.getpid(),
            redis_url=url,
            cluster=self.cluster,
            settings=public(self.context.environ),
        )

    def _addresses(self) -> parts.Served:
        ops, environ = self.settings.ops, self.context.environ
        return parts.Served(
            metrics=parts.own_address(
                environ, "OPERATOR_METRICS_BIND_ADDRESS", ops.metrics_address
            ),
            health=parts.own_address(
                environ, "OPERATOR_HEALTH_PROBE_BIND_ADDRESS", ops.health_address
            ),
            status=parts.certain(
                parts.own_address(environ, "SLUICE_STATUS_ADDRESS", ops.status_address)
            ),
        )

    def _surroundings(
        self, embedded_url: str, served: parts.Served, *, workers: int
    ) -> Surroundings:
        settings, environ = self.settings, self.context.environ
        overrides = {
            "SLUICE_CLUSTER": self.cluster,
            "SLUICE_DATA_DIR": settings.ops.data_dir,
            "SLUICE_SCANNER_SOCKET": parts.scanner_socket(settings),
            "SLUICE_LOG_FORMAT": self._log_format(),
        }
        if embedded_url:
            overrides["SLUICE_REDIS_URL"] = embedded_url
        return Surroundings(
            environ=environ,
            overrides=overrides,
            workers=workers,
            scanner_jobs=settings.trivy.scanner_jobs,
            own_matcher=not settings.trivy.server_url,
            status_address=served.status,
            matcher_address=parts.certain(
                parts.own_address(environ, "SLUICE_MATCHER_ADDRESS", settings.trivy.matcher_address)
            ),
            drain_s=settings.pipeline.drain_s,
            line=self._line(),
        )

    def _log_format(self) -> str:
        """Return how children write: as we do, for their stderr is a pipe and no terminal."""
        chosen = self.settings.ops.log_format
        if chosen != "auto":
            return chosen
        return "console" if self.context.terminal.stderr.isatty() else "json"

    def _line(self) -> Callable[[str, str], None]:
        """Return what takes the children's lines: JSON stays JSON, others are named."""
        terminal, is_json = self.context.terminal, self._log_format() == "json"

        def line(name: str, text: str) -> None:
            terminal.note(text if is_json and text.startswith("{") else f"{name} | {text}")

        return line


COMMANDS = {
    "run": Command(
        summary="Watches and scans the current cluster with everything on this machine.",
        examples=("sluice run --context kind-dev", "sluice run --yes --workers 4"),
        arguments=_arguments,
        run=_run,
    )
}
