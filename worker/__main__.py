"""`python -m worker`: serves the pools that the settings name until it is told to stop."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

import structlog

from common.kube.cluster import Cluster
from common.kube.identity import key_space_of_account
from common.kube.session import Session
from common.ops import metrics
from common.ops.exit_status import DONE, FAILED
from common.ops.life import Life, lived
from common.ops.probes import health_route, metrics_route
from common.ops.startup import begin_logs, patiently, serving
from common.ops.trivy_program import require_trivy
from common.ops.version import VERSION
from common.queue.workqueue import WorkQueue
from common.settings.load import with_files
from common.settings.parse import parse
from common.settings.pools import pool_warnings, queue_pools, served_pools
from common.settings.value import Settings
from common.state.arrival import client_for, examined, required_address, tell_start
from common.state.clock import RedisClock
from common.state.connect import Client
from common.state.database import DatabaseTable
from common.state.database_check import DatabaseCheck
from common.state.images import ImageTable
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.overlays import OverlayTable
from common.state.trusted import TrustTable
from worker import matcher
from worker.compose import image_reconciler, rematch_reconciler, row_reconciler
from worker.counted import counted
from worker.followed import Followed
from worker.host import Crew, Host, HostSettings
from worker.match_pool import Publisher, Requeue, follow_requests
from worker.metrics import WorkerMetrics
from worker.parts import Parts
from worker.ports import Ports

_log = structlog.get_logger()


def main() -> int:
    """Run the worker; return the exit status."""
    return lived(_work)


def _work(life: Life) -> int:
    texts = with_files(os.environ)
    told = parse(texts)  # what the environment says; more may stand in the cluster
    pools = served_pools(told.pipeline.pools)
    component = f"worker-{'-'.join(pools)}"
    warnings = (*told.warnings, *pool_warnings(told.pipeline.pools))
    begin_logs(told.ops, component=component, warnings=warnings)
    client = client_for(told.redis, required_address(told.redis), name=component)
    registry = metrics.new_registry(component=component, version=VERSION)
    counters = WorkerMetrics(registry, queue_pools(pools))
    ready = threading.Event()
    health = {
        "/healthz": health_route({}),
        "/readyz": health_route({"started": lambda: "" if ready.is_set() else "starting"}),
    }
    pages = (told.ops.metrics_address, {"/metrics": metrics_route(registry)})
    with serving(pages, (told.ops.health_address, health)):
        return _arrive(_Told(settings=told, texts=texts), client, counters, ready=ready, life=life)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the environment says."""

    settings: Settings
    texts: Mapping[str, str]


def _arrive(
    told: _Told, client: Client, counters: WorkerMetrics, *, ready: threading.Event, life: Life
) -> int:
    """Find the tables and the settings of everybody, and work with them."""
    ours, stopping = told.settings, life.stopping
    session = Session.auto(ours.kube.kubeconfig, ours.kube.context)
    cluster = ours.redis.cluster or patiently(
        lambda: key_space_of_account(Cluster(session)), stopping
    )
    if cluster is None:
        return DONE
    names = Names(cluster)
    address = required_address(ours.redis)
    if not (
        examined(client, names, address, stopping)
        and tell_start(Ledger(client, names), "worker", stopping)
    ):
        return DONE
    followed = Followed(OverlayTable(client, names), told.texts, pools=ours.pipeline.pools)
    settings = patiently(followed.begin, stopping)
    if settings is None:
        return DONE
    parts = Parts(
        settings=settings,
        store=(client, names),
        session=session,
        draw=random.random,
        environ=os.environ,
    )
    with followed.until(stopping, life.renew):
        return _serve(parts, counters, ready=ready, stopping=stopping)


def _serve(
    parts: Parts, counters: WorkerMetrics, *, ready: threading.Event, stopping: threading.Event
) -> int:
    crews = _crews(parts, counters)
    threads = []
    if "match" in parts.settings.pipeline.pools:
        threads = _start_matcher(parts.settings, *parts.store, stopping)
    ready.set()
    drained = _host(parts, counters).run(crews, stopping) if crews else True
    stopping.wait()
    for thread in threads:
        thread.join(parts.settings.pipeline.drain_s)
    return DONE if drained else FAILED


def _crews(parts: Parts, counters: WorkerMetrics) -> list[Crew]:
    settings = parts.settings
    crews = []
    pools = queue_pools(settings.pipeline.pools)
    if "reconcile" in pools:
        run = counted(row_reconciler(parts), counters)
        crews.append(Crew(pool="reconcile", loops=1, reconcile=run))
    if "scan" in pools:
        socket = Path(settings.trivy.scanner_socket)
        run = counted(image_reconciler(parts, socket=socket, scanner_name=gethostname()), counters)
        # As many as the scanner has slots: fewer leave slots idle, more wait for one while their
        # deadline runs.
        crews.append(Crew(pool="scan", loops=settings.trivy.scanner_jobs, reconcile=run))
    if "rematch" in pools:
        matches = rematch_reconciler(parts)
        run = counted(matches, counters)
        crews.append(Crew(pool="rematch", loops=1, reconcile=run, ahead=matches.ahead))
    return crews


def _host(parts: Parts, counters: WorkerMetrics) -> Host:
    pipeline = parts.settings.pipeline
    return Host(
        *parts.store,
        ports=Ports(
            monotonic_s=time.monotonic,
            judge=parts.judge,
            may_work=parts.generation.stands,
            hooks=counters,
        ),
        settings=HostSettings(
            lease_s=pipeline.lease_s, grace_s=pipeline.drain_s, digest=parts.generation.digest
        ),
    )


def _start_matcher(
    settings: Settings, client: Client, names: Names, stopping: threading.Event
) -> list[threading.Thread]:
    trivy = require_trivy(settings.trivy.path, os.environ.get("PATH", os.defpath))
    clock = RedisClock(client, names)
    publisher = Publisher(
        DatabaseTable(client, names), TrustTable(client, names), now_s=clock.now_s
    )
    requeue = Requeue(
        images=ImageTable(client, names),
        queue=WorkQueue(client, names),
        over_s=settings.verify.refresh_over_s,
        cause="the layer cache began anew",
    )
    server = matcher.build(
        settings, trivy, environment=os.environ, announcements=publisher.announcements(requeue)
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
