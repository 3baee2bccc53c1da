"""What the encodings cost the API server, and us: the same syncs and events in each of them.

The server is a real kube-apiserver and the CPU is its own. A sync is one WatchList of all Pods; the
events are status updates, replayed from the server's watch cache, so that nothing is written while
it is measured. Every encoding has its turn in every run. Our CPU is that of the thread that reads,
decodes and folds.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from common.kube.negotiate import Offer, offers
from common.kube.session import Session
from common.kube.wire import Pod
from common.model.errors import PreconditionError
from common.settings.parse import parse
from sandbox.controlplane import ControlPlane
from tests.bench.process_tree import cpu_seconds
from tests.bench.watch_pods import replica_set, status
from watcher.compose import fold_options
from watcher.fold.cluster import Cluster
from watcher.stream.ask import watch_query
from watcher.stream.catalog import BY_RESOURCE, Row
from watcher.stream.change import Change, Op
from watcher.stream.codec import decoder_for, splitter_for
from watcher.stream.signals import Added, At, Item, Marked, OpenWatch

PODS = 3_000
RUNS = 5
_EVENTS = 10_000  # what rows about events are scaled to; there is one event for each Pod
_READINGS = 3  # in one measurement: the kernel counts CPU in hundredths of a second
_WRITERS = 4
_REPLICAS = 10
_MADE_S = 180.0
_LOOK_S = 1.0
_ROW, _SETS = BY_RESOURCE["pods"], BY_RESOURCE["replicasets"]
_METADATA_ROW = BY_RESOURCE["vulnerabilityreports"]  # metadata is read alike for every kind
_IDLE_S = 60.0
_AT = At(0.0, 0.0)
_NOTHING = (b"", b"\n")

_PROTOBUF, _JSON = offers(metadata_only=False, protobuf=True)
_METADATA, _METADATA_JSON, _ = offers(metadata_only=True, protobuf=True)
_WAYS = {
    "json": _JSON,
    "protobuf": _PROTOBUF,  # as the watcher asks for Pods and workloads
    "metadata-json": _METADATA_JSON,
    "metadata": _METADATA,  # as it asks for reports
}
_GOALS = {"apiserver-sync-protobuf-vs-json": 3.0, "apiserver-sync-metadata-vs-json": 4.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What one reading cost."""

    server_cpu_s: float
    our_cpu_s: float
    size_bytes: float
    objects: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A server full of Pods."""

    plane: ControlPlane
    session: Session
    namespace: str
    pods: Sequence[str]  # their names

    @property
    def path(self) -> str:
        """Where the Pods are."""
        return _ROW.path(self.namespace)


@contextlib.contextmanager
def populated(plane: ControlPlane, *, pods: int = PODS) -> Iterator[Bench]:
    """Give a server with that many Pods in a namespace of their own, which is deleted after.

    Raises PreconditionError when its controllers do not make them in time.
    """
    namespace = f"bench-encodings-{secrets.token_hex(3)}"
    plane.create_namespace(namespace)
    sets, path = _SETS.path(namespace), _ROW.path(namespace)
    for number, first in enumerate(range(0, pods, _REPLICAS)):
        replicas = min(_REPLICAS, pods - first)
        plane.api.create(sets, replica_set(number, replicas=replicas))
    with contextlib.closing(Session.from_kubeconfig(str(plane.kubeconfig))) as session:
        names = _made(plane, path, pods)
        bench = Bench(plane=plane, session=session, namespace=namespace, pods=names)
        _update(bench, turn=0)
        yield bench
    plane.api.delete(f"/api/v1/namespaces/{namespace}")


def _made(plane: ControlPlane, path: str, wanted: int) -> list[str]:
    """Wait for the Pods; return their names."""
    deadline = time.monotonic() + _MADE_S
    while True:
        names = [each["metadata"]["name"] for each in plane.api.get(path)["items"]]
        if len(names) == wanted:
            return names
        if time.monotonic() > deadline:
            raise PreconditionError(f"{len(names)} of {wanted} Pods were made in {_MADE_S:g} s")
        time.sleep(_LOOK_S)


def measure(bench: Bench, *, runs: int = RUNS) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows, and whether every reading saw every Pod."""
    syncs = _in_turn(bench, runs, version=None)
    version = bench.plane.api.get(bench.path, limit="1")["metadata"]["resourceVersion"]
    _update(bench, turn=1)
    replays = _in_turn(bench, runs, version=version)
    count = len(bench.pods)
    every = [used for found in (syncs, replays) for way in found.values() for used in way]
    rows = [
        *_rows("sync", syncs, scale=1.0),
        *_rows("events", replays, scale=_EVENTS / count),
    ]
    return rows, all(used.objects == count for used in every)


def _update(bench: Bench, *, turn: int) -> None:
    """Write the status of every Pod once."""

    def write(numbered: tuple[int, str]) -> None:
        number, name = numbered
        body = {"status": status(number, turn)}
        bench.plane.api.patch(f"{bench.path}/{name}/status", body)

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(write, enumerate(bench.pods)))


# --- Reading --------------------------------------------------------------------------------------


def _in_turn(bench: Bench, runs: int, *, version: str | None) -> Mapping[str, list[Used]]:
    """Read in every way, in turn, again and again; the first time of each fills caches."""
    cluster = Cluster(fold_options(parse({})))
    for item, _ in _items(bench, _SETS, _PROTOBUF, None):
        cluster.apply([_change(_SETS, item)])
    found: dict[str, list[Used]] = {name: [] for name in _WAYS}
    for run in range(runs + 1):
        for name, way in _WAYS.items():
            used = _read(bench, way, version, cluster)
            if run:
                found[name].append(used)
    return found


def _read(bench: Bench, way: Offer, version: str | None, cluster: Cluster) -> Used:
    """Read everything some times; return what one time cost on average.

    The server's garbage is collected first: one collection costs as much as several readings, and
    which encoding has to pay for that of all would be chance.
    """
    bench.plane.api.request("GET", "/debug/pprof/heap?gc=1")
    server_cpu_s = cpu_seconds(bench.plane.apiserver_pid)
    our_cpu_s = time.thread_time()
    objects, size_bytes = 0, 0
    for _ in range(_READINGS):
        for item, size in _items(bench, _ROW, way, version):
            objects, size_bytes = objects + 1, size_bytes + size
            if isinstance(item.object, Pod):
                cluster.apply([_change(_ROW, item)])
    return Used(
        server_cpu_s=(cpu_seconds(bench.plane.apiserver_pid) - server_cpu_s) / _READINGS,
        our_cpu_s=(time.thread_time() - our_cpu_s) / _READINGS,
        size_bytes=size_bytes / _READINGS,
        objects=objects / _READINGS,
    )


def _items(bench: Bench, row: Row, way: Offer, version: str | None) -> Iterator[tuple[Item, int]]:
    """Yield every object of a sync with its size, or every Pod's event since `version`."""
    query = watch_query(OpenWatch(resource_version=version, timeout_s=600, offer=0))
    splitter = splitter_for(way.codec)
    decoder = decoder_for(way.codec, row if way in (_JSON, _PROTOBUF) else _METADATA_ROW)
    stream = bench.session.stream(
        row.path(bench.namespace), query=query, accept=way.watch, idle_timeout_s=_IDLE_S
    )
    seen = 0
    with stream:
        for chunk in stream:
            for event in splitter.feed(chunk):
                signal = decoder.event(event, _AT) if event not in _NOTHING else None
                if isinstance(signal, Added):
                    seen += 1
                    yield signal.item, len(event)
                elif isinstance(signal, Marked) and signal.ends_initial:
                    return
            if version is not None and seen == len(bench.pods):
                return


def _change(row: Row, item: Item) -> Change:
    return Change(
        resource=row.resource,
        op=Op.UPSERT,
        key=item.key,
        uid=item.uid,
        version=item.version,
        object=item.object,
    )


# --- Rows -----------------------------------------------------------------------------------------


def _rows(
    what: str, found: Mapping[str, Sequence[Used]], *, scale: float
) -> Iterator[dict[str, Any]]:
    """Yield a row for each way but JSON, against JSON."""
    parts: Mapping[str, tuple[str, Callable[[Used], float]]] = {
        "apiserver": ("CPU s", lambda used: used.server_cpu_s),
        "our": ("CPU s", lambda used: used.our_cpu_s),
        "wire": ("MB", lambda used: used.size_bytes / 1e6),
    }
    for part, (unit, of) in parts.items():
        values = {name: [of(used) * scale for used in way] for name, way in found.items()}
        for name, ours in values.items():
            if name != "json":
                yield _row(f"{part}-{what}-{name}-vs-json", unit, ours, values["json"])


def _row(case: str, unit: str, ours: Sequence[float], baseline: Sequence[float]) -> dict[str, Any]:
    median, theirs = statistics.median(ours), statistics.median(baseline)
    return {
        "case": case,
        "ours": median,
        "baseline": theirs,
        "baseline_name": "full JSON",
        "unit": unit,
        "ratio": theirs / median if median else None,  # None: too little to be measured
        "goal": _GOALS.get(case),
        "runs": len(ours),
        "spread": [min(ours), max(ours)],
    }
