"""A restart of the watcher with 10,000 workloads: nothing changed, a little changed, Redis empty.

Against a scripted API server in plain HTTP: what is counted are requests, keys and lanes. "Workers"
settle every key at once; no report is written, because every one of them is stored already.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from redis import Redis

from common.model.key import WorkloadKey
from common.state.ledger import Ledger
from common.state.names import Names
from sandbox.gobuild import Say
from sandbox.place import Place
from sandbox.valkey import Valkey
from tests.bench.queue_rows import row
from tests.bench.watch_objects import REPORT_KINDS, Cluster
from tests.bench.watch_process import Running, cpu_s, rss_mb, running
from tests.bench.watch_server import Server
from tests.bench.watch_workers import Queued, queued, settle

WORKLOADS = 10_000
_CLUSTER = "bench-restart"
_ENVIRON = {
    "SLUICE_LEADER_ELECTION": "false",  # nobody else stands for it, and no Lease is served
    "SLUICE_RESOURCE_LABELS": "team",
}
_PEER = "trivy-operator with 500 workloads: 0.45 CPU s, 68 requests, 1,697 reconciles"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What it took until the first sweep was done, and what it put into the queue."""

    seconds: float
    cpu_s: float
    resident_mb: float
    requests: int
    received_mb: float
    writes: int
    enqueued: int
    queued: Queued


def measure(place: Place, valkey: Valkey, *, say: Say) -> tuple[list[dict[str, object]], bool]:
    """Return the rows, and whether every count is what it must be."""
    cluster = Cluster(WORKLOADS)
    with Server(cluster) as server, Redis.from_url(valkey.socket_url) as redis:
        bench = _Bench(place, valkey, server, redis)
        first, same = bench.start(), bench.start()
        changed = change_some(cluster)
        some, again = bench.start(), bench.start()
        redis.flushall()
        flushed, live = bench.start(), bench.flush_while_running()
    checks = {
        "at first everything is new": first.enqueued == WORKLOADS,
        "of what did not change nothing is asked for": same.enqueued == 0,
        "of what changed everything is, and nothing else": some.queued.keys == changed,
        "each key once": some.enqueued == len(changed),
        "and then nothing more": again.enqueued == 0,
        "after a flush everything is": flushed.enqueued == live.enqueued == _living(cluster),
        "all of it in bulk": flushed.queued.lanes["fresh"] + live.queued.lanes["fresh"] == 0,
        "and nothing is written": not any(one.writes for one in (same, some, flushed, live)),
    }
    for key in sorted(changed ^ some.queued.keys):
        say(f"WRONG: {'missed' if key in changed else 'false'} {key}")
    for sentence, holds in checks.items():
        if not holds:
            say(f"WRONG: not so: {sentence}")
    return _rows(same, some, flushed, live, changed=changed), all(checks.values())


def change_some(cluster: Cluster) -> frozenset[str]:
    """Change five workloads in each of nine ways while no watcher runs; return their keys."""
    cluster.version += 1
    touched = [number * 200 + 7 for number in range(45)]
    for place, number in enumerate(touched):
        changed = cluster.change(number)
        match place % 9:
            case 0:
                changed.template += 1
            case 1:
                changed.digests[0] = f"sha256:{place:064x}"
            case 2:
                changed.deleted = True
            case 3:
                changed.labels["team"] = "shop"
            case 4:
                changed.reports[f"{REPORT_KINDS[0]}/0"] = 0  # deleted
            case 5:
                changed.reports[f"{REPORT_KINDS[1]}/0"] = 2  # edited: the generation tells
            case 6:
                changed.untold = {0, 1}  # its Pods were replaced, and tell nothing yet
                changed.pods += 1
            case 7:
                changed.template += 1
                changed.reports[f"{REPORT_KINDS[2]}/0"] = 0
            case _:
                changed.account = "another"
    return frozenset(cluster.key(number) for number in touched)


class _Bench:
    """Starts watchers one after the other, works off what they ask for, and counts."""

    def __init__(self, place: Place, valkey: Valkey, server: Server, redis: Redis) -> None:
        self._place = place
        self._valkey = valkey
        self._server = server
        self._redis = redis
        self._kubeconfig = server.kubeconfig(place.folder)

    def start(self) -> Start:
        """Run a watcher until its first sweep is done; then let workers settle everything."""
        before, sweeps = self._counts(), self._sweeps()
        with self._running() as watcher:
            seconds = watcher.await_swept(sweeps + 1)
            return self._found(before, watcher, seconds, used_s=cpu_s(watcher.pid))

    def flush_while_running(self) -> Start:
        """Empty Redis under a watcher in step, which must notice that by itself."""
        sweeps = self._sweeps()
        with self._running() as watcher:
            watcher.await_swept(sweeps + 1)
            settle(self._redis, watcher.names, self._reports)
            before, used_s = {**self._counts(), "enqueued": 0}, cpu_s(watcher.pid)
            began_s = time.monotonic()
            self._redis.flushall()
            watcher.await_swept(1)
            seconds, used_s = time.monotonic() - began_s, cpu_s(watcher.pid) - used_s
            return self._found(before, watcher, seconds, used_s=used_s)

    def _running(self) -> AbstractContextManager[Running]:
        return running(
            self._place, self._valkey, self._kubeconfig, cluster=_CLUSTER, environ=_ENVIRON
        )

    def _found(
        self, before: Mapping[str, int], watcher: Running, seconds: float, *, used_s: float
    ) -> Start:
        after = self._counts()
        grown = {name: after[name] - before[name] for name in after}
        found = Start(
            seconds=seconds,
            cpu_s=used_s,
            resident_mb=rss_mb(watcher.pid),
            requests=grown["requests"],
            received_mb=grown["sent_bytes"] / 1e6,
            writes=grown["writes"],
            enqueued=grown["enqueued"],
            queued=queued(self._redis, watcher.names),
        )
        settle(self._redis, watcher.names, self._reports)
        return found

    def _counts(self) -> dict[str, int]:
        return {
            "requests": self._server.requests,
            "sent_bytes": self._server.sent_bytes,
            "writes": self._server.writes,
            "enqueued": Ledger(self._redis, Names(_CLUSTER)).counts()["enqueued"],
        }

    def _sweeps(self) -> int:
        return Ledger(self._redis, Names(_CLUSTER)).counts()["swept"]

    def _reports(self, key: WorkloadKey) -> Mapping[str, str]:
        """Return what a run of a key made, which is then stored: what was amiss is put right."""
        cluster = self._server.cluster
        number = int(key.name.split("-")[1])
        if number in cluster.changed:
            cluster.changed[number].reports.clear()
        return {
            f"{kind}/{key.namespace}/{cluster.report_name(number, place)}": cluster.content_hash(
                number, kind, place
            )
            for kind in REPORT_KINDS
            for place in range(cluster.containers(number))
        }


def _living(cluster: Cluster) -> int:
    return cluster.workloads - sum(one.deleted for one in cluster.changed.values())


def _rows(
    same: Start, some: Start, flushed: Start, live: Start, *, changed: frozenset[str]
) -> list[dict[str, object]]:
    of = f"{WORKLOADS:,} workloads"
    kinds = {
        "restart": (same, f"{of}, nothing changed; {_PEER}"),
        "restart-changed": (some, f"{of}, {len(changed)} changed in nine ways meanwhile"),
        "restart-flushed": (flushed, f"{of}, Redis empty"),
        "flush": (live, f"{of}, Redis flushed while the watcher runs"),
    }
    rows = []
    for case, (start, beside) in kinds.items():
        rows += [
            row(f"{case}-enqueued", [start.enqueued], unit="keys", beside=beside),
            row(f"{case}-seconds", [start.seconds], unit="s", beside="to the end of the sweep"),
            row(f"{case}-cpu", [start.cpu_s], unit="CPU s"),
            row(f"{case}-requests", [start.requests], unit="requests"),
            row(f"{case}-writes", [start.writes], unit="writes", goal=0),
        ]
    rows.append(row("restart-received", [same.received_mb], unit="MB", beside="without TLS"))
    rows.append(row("restart-rss", [same.resident_mb], unit="MB", beside=of))
    return rows
