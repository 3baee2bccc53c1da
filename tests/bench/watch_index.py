"""Finding an owner's reports among 10,000: the watcher's index, against a LIST by labels.

The LIST is the one that trivy-operator makes: one namespace, selected by the labels that name the
owner; metadata only, which is kinder to it than bodies. Real API server, real reports; the index is
filled by the watcher's own informers from the same server.
"""

from __future__ import annotations

import contextlib
import queue
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from common.kube.negotiate import METADATA_LIST
from common.kube.paths import report_path
from common.kube.session import Session
from common.model.key import WorkloadKey
from common.reports.labels import naming_labels
from common.settings.parse import parse
from sandbox.controlplane import ControlPlane
from sandbox.gobuild import Say
from tests.bench.queue_rows import against
from tests.bench.watch_reports import report
from watcher.compose import fold_options
from watcher.fold.cluster import Cluster
from watcher.stream.ask import Scope
from watcher.stream.catalog import BY_RESOURCE
from watcher.stream.change import Change, Op
from watcher.stream.fleet import Fleet
from watcher.stream.meter import NoMeter

REPORTS = 10_000
OWNERS = 5_000
NAMESPACE = "bench-index"
_KIND = "VulnerabilityReport"
_WRITERS = 8
_LOOKUPS = 20_000
_LISTS = 5
_SYNC_S = 300.0


def measure(plane: ControlPlane, *, runs: int, say: Say) -> tuple[list[dict[str, object]], bool]:
    """Return the row, and whether both ways find the same reports."""
    plane.create_namespace(NAMESPACE)
    with contextlib.closing(Session.from_kubeconfig(str(plane.kubeconfig))) as session:
        _create(session)
        say(f"{REPORTS:,} reports are there")
        cluster = _folded(session)
        ours, theirs, equal = [], [], True
        for turn in range(runs):
            ours.append(_lookup_us(cluster))
            key = _owner(turn * 997 % OWNERS)
            listed_us, names = _list_us(session, key)
            theirs.append(listed_us)
            equal = equal and names == sorted(one.name for one in cluster.reports.of(key))
    found = against(
        "owner-index-vs-list",
        ours,
        theirs,
        name="LIST by owner labels, metadata only",
        unit="us",
        goal=100,
        less_is_better=True,
    )
    return [found], equal and len(cluster.reports) == REPORTS


def _owner(number: int) -> WorkloadKey:
    return WorkloadKey(kind="ReplicaSet", namespace=NAMESPACE, name=f"service-{number}")


def _create(session: Session) -> None:
    """Create two reports for each owner, who is known by labels only: nobody collects them."""
    path = report_path(_KIND, NAMESPACE)

    def create(number: int) -> None:
        owner = _owner(number % OWNERS)
        body: dict[str, Any] = report(NAMESPACE, owner.name, container=f"c{number // OWNERS}")
        session.request("POST", path, body=orjson.dumps(body))

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(create, range(REPORTS)))


def _folded(session: Session) -> Cluster:
    """Return the watcher's fold of these reports, read as the watcher reads them."""
    cluster = Cluster(fold_options(parse({})))
    changes: queue.Queue[Change] = queue.Queue(1000)
    fleet = Fleet(session, changes, NoMeter())
    fleet.start([(BY_RESOURCE["vulnerabilityreports"], Scope(namespace=NAMESPACE))])
    try:
        while (change := changes.get(timeout=_SYNC_S)).op is not Op.SYNCED:
            cluster.load([change])
    finally:
        fleet.stop()
    return cluster


def _lookup_us(cluster: Cluster) -> float:
    """Return the microseconds of one look-up, over many different owners."""
    keys = [_owner(number % OWNERS) for number in range(_LOOKUPS)]
    began_s = time.perf_counter()
    for key in keys:
        cluster.reports.of(key)
    return (time.perf_counter() - began_s) / _LOOKUPS * 1e6


def _list_us(session: Session, key: WorkloadKey) -> tuple[float, list[str]]:
    """Return the microseconds of one LIST, the median of some, and the names that it found."""
    labels = naming_labels(key.kind, key.namespace, key.name)
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    taken = []
    names: list[str] = []
    for _ in range(_LISTS):
        began_s = time.perf_counter()
        body = session.request(
            "GET",
            report_path(_KIND, NAMESPACE),
            query=[("labelSelector", selector)],
            accept=METADATA_LIST,
        ).body
        taken.append((time.perf_counter() - began_s) * 1e6)
        names = _names(body)
    return statistics.median(taken), names


def _names(body: bytes) -> list[str]:
    return sorted(item["metadata"]["name"] for item in orjson.loads(body)["items"])
