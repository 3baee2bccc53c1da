"""What a watcher shows of itself: the metrics page, gauges, and the words of its probes."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from common.ops.probes import Page, Route, metrics_route
from common.overview.documents import Document
from common.settings.value import Settings
from watcher import exporter
from watcher.fold.cluster import Cluster
from watcher.fold.reportfacts import SEVERITIES, ReportFact
from watcher.metrics import WatchMetrics
from watcher.pulse import Pulse
from watcher.stream.change import Change
from watcher.stream.fleet import Fleet
from watcher.watch import Watcher

_REPORTS = 200  # told of one workload; a Pod may have a thousand containers
# A loop that is silent for longer hangs: Redis' own time-outs end after 15 s.
_SILENT_S = 60.0


class Described(Protocol):
    """Metrics that can be told without their samples."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""

    def describe(self) -> Iterable[Metric]:
        """Return every metric without samples."""


class OfTheLeader(Collector):
    """Serves what is the whole cluster's while no other watcher is known to serve it.

    Two that served the same numbers would double every sum over them.
    """

    def __init__(self, shown: Described, watcher: Watcher) -> None:
        self._shown = shown
        self._watcher = watcher

    def collect(self) -> Iterable[Metric]:
        """Return the metrics, or nothing."""
        return self._shown.collect() if self._watcher.led_last else ()

    def describe(self) -> Iterable[Metric]:
        """Return every metric without samples."""
        return self._shown.describe()


def reports_told(reports: Iterable[ReportFact]) -> list[Document]:
    """Return what the status page tells of a workload's reports, by what their metadata says."""
    return [
        {
            "kind": one.kind,
            "namespace": one.namespace,
            "name": one.name,
            "container": one.gist.container,
            "counts": dict(zip(SEVERITIES, one.gist.counts, strict=False)) or None,
            "ours": one.stamped,
            "edited": one.edited,
            "epoch": one.gist.epoch,
        }
        for one in islice(reports, _REPORTS)
    ]


def metrics_page(
    registry: CollectorRegistry, watcher: Watcher, cluster: Cluster, settings: Settings
) -> Route:
    """Return the page: our own metrics, and the findings where no other watcher serves them."""
    own = metrics_route(registry)
    copied, prefix = settings.reports.resource_labels, settings.ops.resource_labels_prefix

    def page() -> Page:
        shown = own()
        if not watcher.led_last:
            return shown
        findings = exporter.render(cluster.reports, copied=copied, prefix=prefix)
        return Page(body=shown.body, rest=findings, content_type=shown.content_type)

    return page


def show_watcher(metrics: WatchMetrics, watcher: Watcher, cluster: Cluster) -> None:
    """Show what the watcher is and knows."""
    metrics.show(
        "sluice_watcher_leader",
        "1 while this watcher writes, 0 while it stands by.",
        lambda: float(watcher.leads),
    )
    metrics.show(
        "sluice_watcher_ready",
        "1 once everything is loaded and Redis has answered.",
        lambda: float(watcher.ready),
    )
    metrics.show(
        "sluice_watcher_workloads", "Workloads that have a row.", lambda: cluster.workloads
    )
    metrics.show("sluice_watcher_reports", "Reports seen.", lambda: len(cluster.reports))
    metrics.show_each(
        "sluice_watcher_objects", "Objects that exist, as far as is known.", cluster.objects
    )
    metrics.show(
        "sluice_watcher_pending_keys",
        "Keys that Redis has not taken yet.",
        lambda: watcher.pending,
    )


def show_streams(
    metrics: WatchMetrics, fleet: Fleet, inbox: queue.Queue[Change], pulse: Pulse
) -> None:
    """Show how each resource is followed."""
    metrics.show_each(
        "sluice_watcher_last_event_age_seconds",
        "Seconds since the server said anything about a resource (bookmarks come every minute);"
        " of several namespaces the most silent one.",
        lambda resource: fleet.age_s(resource, now_s=pulse.monotonic()),
    )
    metrics.show_each(
        "sluice_watcher_synced",
        "1 once everything of a resource was read, or where it is not followed.",
        lambda resource: float(fleet.is_synced(resource)),
    )
    metrics.show(
        "sluice_watcher_inbox_changes",
        "Changes that were received and not folded yet; at 1,000 the streams are not read.",
        inbox.qsize,
    )


def loop_fault(watcher: Watcher) -> str:
    """Return what is wrong with the watcher's loop; empty: nothing."""
    silent_s = watcher.silent_s
    return f"silent for {silent_s:.0f} s" if silent_s > _SILENT_S else ""


def loading(watcher: Watcher) -> str:
    """Return what the watcher is not ready for yet; empty: it is ready."""
    if watcher.ready:
        return ""
    if missing := sorted(watcher.missing):
        return f"loading {', '.join(missing)}"
    if behind := watcher.behind:
        return f"reading {', '.join(behind)} as far as the leader before, or for a minute"
    return "waiting for redis"
