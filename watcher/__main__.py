"""`python -m watcher`: follows the cluster until it is told to stop.

Ends with status 0 after a signal, 3 when a precondition is not met, 1 otherwise: a defect, or,
without an election, another watcher that leads now; whoever started the process starts it again.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping

import structlog

from common.kube.cluster import Cluster
from common.kube.configmaps import ConfigMaps
from common.kube.identity import key_space_of_account, own_namespace
from common.kube.session import Session
from common.model.overlay import Overlay
from common.ops import metrics
from common.ops.exit_status import DONE
from common.ops.life import Life, lived
from common.ops.startup import begin_logs, patiently, serving
from common.ops.version import VERSION
from common.overview.gather import measured_in
from common.overview.tables import tables_on
from common.overview.vulnerable import Pace
from common.settings.load import with_files
from common.settings.parse import parse
from common.settings.value import Settings
from common.state.arrival import client_for, examined, required_address, tell_start
from common.state.connect import Client
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.overlays import OverlayTable
from watcher.compose import Running, compose, rows_of, streams_of
from watcher.configmaps import ConfigMapSettings
from watcher.coverage_metrics import WORKLOADS, CoverageMetrics
from watcher.electing import place_of
from watcher.preflight import check_definitions, check_lease, check_peers, told_by_settings
from watcher.pulse import Pulse
from watcher.shown import OfTheLeader
from watcher.site import status_site
from watcher.status.site import StatusSite

_log = structlog.get_logger()

# For a look that is under way when we end; it is a daemon's, and harms nobody.
_LAST_LOOK_S = 2.0


def main() -> int:
    """Run the watcher; return the exit status."""
    return lived(_watch)


def _watch(life: Life) -> int:
    texts = with_files(os.environ)
    told = parse(texts)  # what the environment says; more may stand in the cluster
    begin_logs(told.ops, component="watcher", warnings=told.warnings)
    client = client_for(told.redis, required_address(told.redis), name="watcher")
    session = Session.auto(told.kube.kubeconfig, told.kube.context)
    source = _configmaps(told, texts, session, client)
    settings = patiently(source.begin, life.stopping)
    if settings is None:
        return DONE
    _say(settings)
    arranged = patiently(lambda: _arranged(session, settings), life.stopping)
    if arranged is None:
        return DONE
    cluster, server_version = arranged
    names = Names(cluster)
    registry = metrics.new_registry(component="watcher", version=VERSION)
    running = compose(
        settings,
        session,
        (client, names),
        registry=registry,
        pulse=Pulse(monotonic=time.monotonic, draw=random.random),
        server_version=server_version,
        overlay=lambda: source.overlay,
    )
    address = required_address(settings.redis)
    if not examined(client, names, address, life.stopping):
        return DONE
    if tell_start(Ledger(client, names), "watcher", life.stopping):
        tables = tables_on(client, address, cluster)
        covered = CoverageMetrics(
            lambda: measured_in(tables, limit=WORKLOADS), known=running.workloads
        )
        registry.register(OfTheLeader(covered, running.watcher))
        pace = Pace(monotonic=time.monotonic, rest=life.stopping.wait)
        with (
            status_site(settings, tables, pace, reports=running.reports) as site,
            _followed(source, life),
        ):
            _serve(settings, running, site, life.stopping)
    return DONE


def _configmaps(
    told: Settings, texts: Mapping[str, str], session: Session, client: Client
) -> ConfigMapSettings:
    """Return what reads trivy-operator's ConfigMaps."""

    def last() -> Overlay | None:
        cluster = told.redis.cluster or key_space_of_account(Cluster(session))
        return OverlayTable(client, Names(cluster)).current()

    namespace = own_namespace(told.scope.operator_namespace)
    maps = ConfigMaps(session, namespace) if told.kube.operator_configmaps else None
    return ConfigMapSettings(maps, texts, last=last)


def _say(settings: Settings) -> None:
    """Tell the log what the settings, from wherever, spare or forbid."""
    if settings.cluster_reports.lacking:
        _log.info(settings.cluster_reports.lacking)
    if told := told_by_settings(settings.scope, cluster=settings.redis.cluster):
        _log.info("not read from the cluster, but taken from settings", what=told)


@contextlib.contextmanager
def _followed(source: ConfigMapSettings, life: Life) -> Iterator[None]:
    """Follow the ConfigMaps during the block, and begin another life when they change."""
    ended = threading.Event()
    thread = threading.Thread(
        target=source.follow, args=(ended, life.renew), name="configmaps", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_LAST_LOOK_S)


def _arranged(session: Session, settings: Settings) -> tuple[str, str]:
    """Return the name of the key space, and the API server's version where it is needed.

    Returns once the cluster is fit to be watched.

    Raises PreconditionError where somebody must arrange something first.
    """
    api = Cluster(session)
    targets = settings.scope.target_namespaces
    check_peers(api.trivy_operators(targets))
    check_definitions(session, rows_of(settings), namespace=next(iter(targets), None))
    check_lease(api, place_of(settings))
    version = api.server_version() if settings.cluster_reports.kbom else ""
    return settings.redis.cluster or key_space_of_account(api), version


def _serve(
    settings: Settings, running: Running, site: StatusSite, stopping: threading.Event
) -> None:
    """Serve pages and watch until the end; raises what the watcher raises."""
    probes = {"/healthz": running.healthz, "/readyz": running.readyz}
    pages = (settings.ops.metrics_address, {"/metrics": running.metrics})
    health = (settings.ops.health_address, probes)
    status = (settings.ops.status_address, site)
    with serving(pages, health, status), contextlib.ExitStack() as stack:
        stack.callback(running.fleet.stop)
        running.fleet.start(streams_of(settings))
        stack.enter_context(running.seat)  # left first: the next one leads while our streams end
        running.watcher.run(stopping)


if __name__ == "__main__":
    sys.exit(main())
