"""`python -m worker`: serves the pools that the settings name until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from common.kube.cluster import Cluster
from common.kube.session import Session
from common.model.errors import PreconditionError, SourceUnavailableError
from common.model.facts import Fact
from common.ops import logs, metrics
from common.ops.probes import ProbeServer, health_route, metrics_route
from common.ops.version import VERSION
from common.settings.parse import parse
from common.settings.value import Settings
from common.state.clock import RedisClock
from common.state.connect import Client, connect
from common.state.database import DatabaseTable
from common.state.database_check import DatabaseCheck
from common.state.ledger import Ledger
from common.state.names import Names
from worker import matcher
from worker.compose import Parts, image_reconciler, workload_reconciler
from worker.counted import counted
from worker.evidence.image.trivy_cli import find_trivy
from worker.host import Crew, Host, HostSettings, stop_on_signals
from worker.match_pool import Publisher, follow_requests
from worker.metrics import WorkerMetrics
from worker.ports import Ports

_log = structlog.get_logger()
T = TypeVar("T")

_FAILED_PRECONDITION = 3
_UID_CHARACTERS = 8  # of the kube-system namespace's uid: the key space's default name
# Start-up waits for Redis and the API server: in a cluster all parts start at once.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0


def main() -> int:
    """Run the worker; return the exit status."""
    stopping = threading.Event()
    undo = stop_on_signals(stopping)
    try:
        settings = parse(os.environ)
        component = f"worker-{'-'.join(settings.pipeline.pools)}"
        logs.configure(
            log_format=settings.ops.log_format, level=settings.ops.log_level, component=component
        )
        for warning in settings.warnings:
            _log.warning("setting", what=warning)
        return _work(settings, component, stopping)
    except PreconditionError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 # the last word of a process that cannot log yet
        return _FAILED_PRECONDITION
    finally:
        undo()


def _work(settings: Settings, component: str, stopping: threading.Event) -> int:
    if settings.redis.address is None:
        raise PreconditionError(
            "SLUICE_REDIS_URL is not set; a worker shares its Redis with the watcher"
        )
    client = connect(
        settings.redis.address,
        password_file=settings.redis.password_file,
        ca_file=settings.redis.ca_file,
        name=component,
    )
    registry = metrics.new_registry(component=component, version=VERSION)
    counters = WorkerMetrics(registry, settings.pipeline.pools)
    ready = threading.Event()
    health = {
        "/healthz": health_route({}),
        "/readyz": health_route({"started": lambda: "" if ready.is_set() else "starting"}),
    }
    with contextlib.ExitStack() as stack:
        for address, routes in (
            (settings.ops.metrics_address, {"/metrics": metrics_route(registry)}),
            (settings.ops.health_address, health),
        ):
            server = stack.enter_context(ProbeServer(address.host, address.port, routes))
            _log.info("serving", routes=sorted(routes), port=server.port)
        return _serve(settings, client, counters, ready=ready, stopping=stopping)


def _serve(
    settings: Settings,
    client: Client,
    counters: WorkerMetrics,
    *,
    ready: threading.Event,
    stopping: threading.Event,
) -> int:
    session = Session.auto(settings.kube.kubeconfig or None, settings.kube.context or None)
    cluster = settings.redis.cluster or _patiently(
        lambda: Cluster(session).kube_system_uid()[:_UID_CHARACTERS], stopping
    )
    if cluster is None:
        return 0
    names = Names(cluster)
    ledger = Ledger(client, names)
    started = Fact(kind="started", data={"component": "worker", "version": VERSION})
    if _patiently(lambda: _told(ledger, started), stopping) is None:
        return 0
    pools = settings.pipeline.pools
    crews = _crews(settings, client, names, session, counters)
    threads = []
    if "match" in pools:
        threads = _start_matcher(settings, client, names, stopping)
    ready.set()
    drained = _host(settings, client, names, counters).run(crews, stopping) if crews else True
    stopping.wait()
    for thread in threads:
        thread.join(settings.pipeline.drain_s)
    return 0 if drained else 1


def _told(ledger: Ledger, fact: Fact) -> bool:
    ledger.append([fact])
    return True


def _patiently(ask: Callable[[], T], stopping: threading.Event) -> T | None:
    """Ask until there is an answer; None: told to stop meanwhile."""
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return ask()
        except SourceUnavailableError as error:
            _log.warning("waiting", error=str(error), again_in_s=wait_s)
        if stopping.wait(wait_s):
            return None
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)


def _crews(
    settings: Settings, client: Client, names: Names, session: Session, counters: WorkerMetrics
) -> list[Crew]:
    parts = Parts(settings=settings, store=(client, names), session=session, draw=random.random)
    crews = []
    if "reconcile" in settings.pipeline.pools:
        run = counted(workload_reconciler(parts), counters)
        crews.append(Crew(pool="reconcile", loops=1, reconcile=run))
    if "scan" in settings.pipeline.pools:
        socket = Path(settings.trivy.scanner_socket)
        run = counted(image_reconciler(parts, socket=socket), counters)
        crews.append(Crew(pool="scan", loops=1, reconcile=run))
    return crews


def _host(settings: Settings, client: Client, names: Names, counters: WorkerMetrics) -> Host:
    return Host(
        client,
        names,
        ports=Ports(monotonic_s=time.monotonic, draw=random.random, hooks=counters),
        settings=HostSettings(lease_s=settings.pipeline.lease_s, grace_s=settings.pipeline.drain_s),
    )


def _start_matcher(
    settings: Settings, client: Client, names: Names, stopping: threading.Event
) -> list[threading.Thread]:
    trivy = find_trivy(settings.trivy.path, os.environ.get("PATH", os.defpath))
    clock = RedisClock(client, names)
    publisher = Publisher(DatabaseTable(client, names), Ledger(client, names), now_s=clock.now_s)
    server = matcher.build(
        settings, trivy, environment=os.environ, announcements=publisher.announcements()
    )
    requests = DatabaseCheck(client, names)
    threads = [
        threading.Thread(target=_run_matcher, args=(server, stopping), name="matcher"),
        threading.Thread(
            target=follow_requests,
            args=(requests, server.check_now, publisher, stopping),
            name="matcher-requests",
        ),
    ]
    for thread in threads:
        thread.start()
    return threads


def _run_matcher(server: matcher.MatchServer, stopping: threading.Event) -> None:
    """Run it; its end ends the process, so that whoever supervises us starts a new one."""
    try:
        server.run(stopping)
    except Exception:  # noqa: BLE001 # a thread has nobody above it; the process ends with it
        _log.exception("matcher ended")
    finally:
        stopping.set()


if __name__ == "__main__":
    sys.exit(main())
