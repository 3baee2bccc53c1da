"""Memory of the watcher with 50,000 workloads, 100,000 Pods and 275,000 reports; and after a day.

The day is an accelerated one, as fast as the watcher takes it: every Pod tells three things of no
interest, a tenth of the workloads roll out, and every report is stamped anew, as after an update of
the vulnerability database, those of one image in sixteen with other findings. Nobody works the
queue off: what waits there is Redis', not the watcher's.
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.gobuild import Say
from sandbox.place import Place
from sandbox.valkey import Valkey
from tests.bench.queue_rows import row
from tests.bench.watch_objects import PODS_EACH, REPORT_KINDS, Cluster, Line
from tests.bench.watch_process import Running, peak_mb, poll_until, rss_mb, running
from tests.bench.watch_server import Server

WORKLOADS = 50_000
_ROLLED = 10  # one of so many workloads, and of so many images
_STATUS_EVENTS = 3
_CLUSTER = "bench-memory"
_ALONE = {"SLUICE_LEADER_ELECTION": "false"}
_DAY_S = 600.0  # for a machine that others load; it takes about a minute


def measure(place: Place, valkey: Valkey, *, say: Say) -> tuple[list[dict[str, object]], bool]:
    """Return the rows, and whether the watcher knew everything, before and after the day."""
    cluster = Cluster(WORKLOADS)
    with Server(cluster) as server:
        kubeconfig = server.kubeconfig(place.folder)
        with running(place, valkey, kubeconfig, cluster=_CLUSTER, environ=_ALONE) as watcher:
            seconds = watcher.await_swept()
            before_mb, peak = rss_mb(watcher.pid), peak_mb(watcher.pid)
            loaded = _objects(watcher)
            say(f"{loaded} in {seconds:.0f} s: {before_mb:.0f} MB, at most {peak:.0f} MB")
            events = _live_through(server, watcher, cluster)
            after_mb, peak = rss_mb(watcher.pid), peak_mb(watcher.pid)
            say(f"after {events:,} events: {after_mb:.0f} MB, at most {peak:.0f} MB")
            right = loaded == _objects(watcher) == expected(cluster)
    growth = 100 * (after_mb / before_mb - 1)
    beside = ", ".join(f"{count:,} {what}" for what, count in loaded.items())
    rows = [
        row("rss-50k", [before_mb], unit="MB", goal=200, beside=beside),
        row("rss-50k-peak", [peak], unit="MB", beside="at any time, the day included"),
        row("rss-50k-growth", [growth], unit="%", goal=5, beside=f"by {events:,} events of a day"),
        row("rss-50k-seconds", [seconds], unit="s", beside="from the start to the sweep's end"),
    ]
    return rows, right


def expected(cluster: Cluster) -> dict[str, int]:
    """Return how many workloads, Pods and reports there are."""
    numbers = range(cluster.workloads)
    return {
        "workloads": cluster.workloads,
        "pods": PODS_EACH * cluster.workloads,
        "reports": len(REPORT_KINDS) * sum(map(cluster.containers, numbers)),
    }


def day(cluster: Cluster) -> Iterator[Line]:
    """Yield the events of a day; the cluster follows."""
    cluster.live = True
    for noise in range(1, _STATUS_EVENTS + 1):
        for number in range(cluster.workloads):
            cluster.version += 1
            yield from (cluster.pod(number, place, noise=noise) for place in range(PODS_EACH))
    for number in range(0, cluster.workloads, _ROLLED):
        yield from _rollout(cluster, number)
    cluster.database += 1
    for number in range(cluster.workloads):
        cluster.version += 1
        for kind in REPORT_KINDS:
            for place in range(cluster.containers(number)):
                yield cluster.report(number, kind, place)


def _rollout(cluster: Cluster, number: int) -> Iterator[Line]:
    """Yield what a rollout of other Pods with another image looks like."""
    changed = cluster.change(number)
    cluster.version += 1
    yield from (cluster.pod(number, place, "DELETED") for place in range(PODS_EACH))
    changed.template += 1
    changed.pods += 1
    yield cluster.workload(number)
    changed.untold = set(range(PODS_EACH))
    for event in ("ADDED", "MODIFIED"):
        cluster.version += 1
        yield from (cluster.pod(number, place, event) for place in range(PODS_EACH))
        changed.untold = set()


def _live_through(server: Server, watcher: Running, cluster: Cluster) -> int:
    """Send the day, wait until it was taken in, and return how many events it had."""
    known = watcher.metric("sluice_watcher_events_total")
    events = server.send(day(cluster))
    poll_until(
        lambda: watcher.metric("sluice_watcher_events_total") - known >= events, timeout_s=_DAY_S
    )
    watcher.sweep()
    return events


def _objects(watcher: Running) -> dict[str, int]:
    return {
        "workloads": int(watcher.metric("sluice_watcher_workloads")),
        "pods": int(watcher.metric("sluice_watcher_objects", resource="pods")),
        "reports": int(watcher.metric("sluice_watcher_reports")),
    }
