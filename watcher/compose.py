"""Builds a watcher from settings: which adapters stand behind its ports."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from common.kube.session import Session
from common.model.key import WorkloadKey
from common.model.overlay import EMPTY, Overlay
from common.ops.probes import Route, health_route
from common.overview.documents import Document
from common.queue.workqueue import WorkQueue
from common.settings.formats import is_namespace
from common.settings.value import Settings
from common.state.clock import RedisClock
from common.state.connect import Client
from common.state.control import Control
from common.state.database import DatabaseTable
from common.state.epoch import EpochTable, digest_at
from common.state.fence import FenceTable
from common.state.images import ImageTable
from common.state.leader import LeaderTable
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.overlays import OverlayTable
from common.state.resolutions import ResolutionTable
from common.state.rows import RowTable
from common.state.seen import SeenTable
from common.state.settled import SettledTable
from watcher.decide.containers import ContainerChoice
from watcher.decide.images import Verification
from watcher.decide.predicate import selection
from watcher.electing import Seat, own_identity, seat_of
from watcher.fold.cluster import Cluster
from watcher.fold.tables import Options
from watcher.imagesweep import Images
from watcher.lead import LeadPorts
from watcher.metrics import FeedMetrics, StreamMetrics, WatchMetrics
from watcher.publishing import Published
from watcher.pulse import Pulse
from watcher.queue_metrics import QueueMetrics
from watcher.rounds import RoundPorts, Rounds
from watcher.shown import (
    OfTheLeader,
    loading,
    loop_fault,
    metrics_page,
    reports_told,
    show_streams,
    show_watcher,
)
from watcher.stream.ask import Scope
from watcher.stream.catalog import CLUSTER_ROWS, ROWS, Row
from watcher.stream.change import Change
from watcher.stream.fleet import Fleet
from watcher.sweeper import Ports
from watcher.watch import Parts, Watcher

# Changes that informers may be ahead of the fold: a second of a busy cluster, and 4 MB of decoded
# objects. While it is full the streams are not read, and the API server's own buffers and limits
# apply.
_INBOX_CHANGES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A composed watcher and what belongs to it."""

    watcher: Watcher
    seat: Seat  # to be entered while the watcher runs
    fleet: Fleet
    metrics: Route
    healthz: Route
    readyz: Route
    reports: Callable[[WorkloadKey], Sequence[Document]]  # what the status page tells of them
    workloads: Callable[[], int]  # how many are known


def compose(  # noqa: PLR0913 # what is asked of the cluster before it is watched comes beside
    settings: Settings,
    session: Session,
    store: tuple[Client, Names],
    *,
    registry: CollectorRegistry,
    pulse: Pulse,
    server_version: str = "",
    overlay: Callable[[], Overlay] = lambda: EMPTY,
) -> Running:
    """Return a watcher that follows the cluster of `session` and keeps its tables in `store`.

    `server_version` is the API server's; empty: nobody asked, for nothing needs it. `overlay`
    returns what of the settings ConfigMaps say, for those who follow it.
    """
    cluster = Cluster(fold_options(settings, server_version))
    inbox: queue.Queue[Change] = queue.Queue(maxsize=_INBOX_CHANGES)
    fleet = Fleet(session, inbox, StreamMetrics(registry))
    watch_metrics = WatchMetrics(registry)
    me = own_identity()
    seat = seat_of(settings, session, me=me, registry=registry, pulse=pulse)
    work, control, ledger = WorkQueue(*store), Control(*store), Ledger(*store)
    watcher = Watcher(
        Parts(
            inbox=inbox,
            streams=fleet,
            seat=seat,
            cluster=cluster,
            work=work,
            ledger=ledger,
            lead=_lead_ports(store, control, overlay, me=me, ways=settings.ways_digest()),
            rounds=Rounds(
                _round_ports(
                    store, _swept(store, work, cluster, settings), control, ledger, cluster
                ),
                watch_metrics,
                interval_s=settings.pipeline.sweep_interval_s,
                pulse=pulse,
            ),
            tally=FeedMetrics(registry),
            pulse=pulse,
            expected=_expected(settings),
            digest=digest_at(settings, RedisClock(*store)),
        )
    )
    show_watcher(watch_metrics, watcher, cluster)
    show_streams(watch_metrics, fleet, inbox, pulse)
    registry.register(OfTheLeader(QueueMetrics(work.census), watcher))
    registry.register(OfTheLeader(watch_metrics.images, watcher))
    return _running(
        watcher, cluster, seat, fleet, metrics=metrics_page(registry, watcher, cluster, settings)
    )


def _expected(settings: Settings) -> frozenset[tuple[str, str]]:
    """Return what must be loaded before anything is decided: resources, each in its namespace."""
    return frozenset((row.resource, _namespace(row, scope)) for row, scope in streams_of(settings))


def _running(
    watcher: Watcher, cluster: Cluster, seat: Seat, fleet: Fleet, *, metrics: Route
) -> Running:
    """Return the watcher with what others ask of it."""
    return Running(
        watcher=watcher,
        seat=seat,
        fleet=fleet,
        metrics=metrics,
        reports=lambda key: reports_told(cluster.reports.of(key)),
        workloads=lambda: cluster.workloads,
        healthz=health_route({"loop": lambda: loop_fault(watcher)}),
        readyz=health_route(
            {"loaded": lambda: loading(watcher), "election": lambda: seat.fault or watcher.fault}
        ),
    )


def _round_ports(
    store: tuple[Client, Names], tables: Ports, control: Control, ledger: Ledger, cluster: Cluster
) -> RoundPorts:
    redis, names = store
    return RoundPorts(
        tables=tables,
        requests=control,
        ledger=ledger,
        clock=RedisClock(redis, names),
        count_reports=lambda: len(cluster.reports),
    )


def _swept(
    store: tuple[Client, Names], work: WorkQueue, cluster: Cluster, settings: Settings
) -> Ports:
    redis, names = store
    images = Images(
        table=ImageTable(redis, names),
        databases=DatabaseTable(redis, names),
        rules=verification(settings),
    )
    return Ports(
        queue=work,
        rows=RowTable(redis, names),
        settled=SettledTable(redis, names),
        known=cluster,
        references=ResolutionTable(redis, names),
        images=images,
    )


def verification(settings: Settings) -> Verification:
    """Return how often the settings want images verified.

    A window that opens and closes between two sweeps would be as good as none: it lasts longer.
    """
    window, least_s = settings.verify.rescan_window, 1.2 * settings.pipeline.sweep_interval_s
    if window is not None and window.duration_s < least_s:
        window = replace(window, duration_s=least_s)
    return Verification(
        ttl_s=settings.verify.report_ttl_s,
        window=window,
        sweep_interval_s=settings.pipeline.sweep_interval_s,
        foreign_server=bool(settings.trivy.server_url),
    )


def _lead_ports(
    store: tuple[Client, Names],
    control: Control,
    overlay: Callable[[], Overlay],
    *,
    me: str,
    ways: str,
) -> LeadPorts:
    redis, names = store
    published = Published(
        EpochTable(redis, names, ways=ways),
        LeaderTable(redis, names, me=me),
        OverlayTable(redis, names),
        overlay,
    )
    return LeadPorts(
        fences=FenceTable(redis, names),
        epochs=published,
        lives=control,
        seen=SeenTable(redis, names),
        signs=published,
    )


def fold_options(settings: Settings, server_version: str = "") -> Options:
    """Return how the settings want the cluster folded."""
    return Options(
        selection=selection(settings.scope),
        wants=ContainerChoice.of(settings.scope).wants,
        copied_labels=settings.reports.resource_labels,
        replaced_labels=frozenset(
            [*settings.reports.resource_labels, *dict(settings.reports.additional_labels)]
        ),
        only_current_revisions=settings.scope.only_current_revisions,
        cluster_sboms=settings.cluster_reports.sboms,
        kbom=settings.cluster_reports.kbom,
        server_version=server_version,
        platform=settings.scope.platform,
    )


def streams_of(settings: Settings) -> tuple[tuple[Row, Scope], ...]:
    """Return every resource with every scope that must be followed, the cheapest first.

    The server does what filtering it can: target namespaces are followed one by one, excluded
    namespaces are left out by a field selector unless they are globs, which the fold handles.
    """
    targets = settings.scope.target_namespaces
    scopes: tuple[Scope, ...] = tuple(Scope(namespace=name) for name in targets)
    if not targets:
        # What no namespace can be called would break the selector, and excludes nothing.
        plain = (name for name in settings.scope.exclude_namespaces if is_namespace(name))
        excluded = ",".join(f"metadata.namespace!={name}" for name in plain)
        scopes = (Scope(field_selector=excluded),)
    return tuple(
        (row, scope)
        for row in rows_of(settings)
        for scope in (scopes if row.namespaced else (Scope(),))
    )


def rows_of(settings: Settings) -> tuple[Row, ...]:
    """Return every resource that must be followed."""
    # Nodes are read for their platform alone.
    rows = (row for row in ROWS if not (row.kind == "Node" and settings.scope.platform))
    return (*rows, *(CLUSTER_ROWS if settings.cluster_reports.any else ()))


def _namespace(row: Row, scope: Scope) -> str:
    return (scope.namespace or "") if row.namespaced else ""
