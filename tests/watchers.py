"""Several watchers' processes, and changes that go on while these change places."""

from __future__ import annotations

import collections
import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox.controlplane import ControlPlane, kubeconfig
from sandbox.valkey import Valkey
from tests import builders as b
from tests.line import Line
from tests.live import Live, environment, page_of, port_of, run_watcher
from tests.waiting import eventually

# Renewed every 0.4 s, writing ends after 2 s without: every wait of the tests is a few of these.
LEASE_S = "3"
EACH = 20  # workloads of each kind of change


@dataclass
class Watcher:
    """One watcher's process, and its own lines to API server and Redis."""

    process: subprocess.Popen[str]
    lines: list[str]
    api: Line
    redis: Line

    def metric(self, name: str) -> float:
        """Return a number that it shows; 0 where it shows none."""
        port = port_of(self.lines, "/metrics")
        text = page_of(port, "/metrics")[1] if port else ""
        found = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(found[0].split()[1]) if found else 0.0

    @property
    def leads(self) -> bool:
        """Whether it says that it leads."""
        return self.metric("sluice_watcher_leader") == 1

    @property
    def stands_by(self) -> bool:
        """Whether it is ready, and does not lead."""
        return self.is_ready and not self.leads

    @property
    def is_ready(self) -> bool:
        """Whether its probe says so."""
        port = port_of(self.lines, "/readyz")
        return bool(port) and page_of(port, "/readyz")[0] == 200

    @property
    def name(self) -> str:
        """How it calls itself in the Lease."""
        return str(self.said("lease taken")[-1]["holder"])

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        entries = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [entry for entry in entries if entry.get("event") == event]


@dataclass
class Stage:
    """The cluster, the key space, watchers, and changes that go on while these change places."""

    live: Live
    controlplane: ControlPlane
    valkey: Valkey
    folder: Path
    stack: contextlib.ExitStack
    expected: collections.Counter[str] = field(default_factory=collections.Counter)

    def start(self) -> Watcher:
        """Start a watcher; it is not ready yet."""
        api_port, redis_port = (
            urlsplit(url).port or 0 for url in (self.controlplane.server, self.valkey.url)
        )
        api = self.stack.enter_context(Line(api_port))
        redis = self.stack.enter_context(Line(redis_port))
        file = self.folder / f"{api.port}.kubeconfig"
        server = f"https://127.0.0.1:{api.port}"
        file.write_bytes(kubeconfig(server, self.controlplane.admin_token, self.controlplane.ca))
        told = {
            **environment(self.controlplane, self.valkey, self.live.namespace),
            "SLUICE_KUBECONFIG": str(file),
            "SLUICE_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
            "SLUICE_CLUSTER": self.live.names.cluster,
            "SLUICE_LEADER_LEASE_S": LEASE_S,
            "SLUICE_SWEEP_INTERVAL_S": "86400",
        }
        process, lines = self.stack.enter_context(run_watcher(told))
        return Watcher(process=process, lines=lines, api=api, redis=redis)

    def pair(self) -> tuple[Watcher, Watcher]:
        """Start two watchers; return the leader and the standby, both ready."""
        first, second = self.start(), self.start()

        def agreed() -> bool:
            return (first.leads and second.stands_by) or (second.leads and first.stands_by)

        assert eventually(agreed), (first.lines, second.lines)
        return (first, second) if first.leads else (second, first)

    # --- changes ---------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make workloads that will be changed or deleted, and let everything settle."""
        for kind in ("told", "gone"):
            for number in range(EACH):
                self.live.create_pod(f"{kind}-{number}")
        assert eventually(lambda: sum(self.enqueued().values()) == 2 * EACH)
        assert eventually(
            lambda: not self.live.queue.members(list(self.live.rows.keys())).count(True)
        )
        self.expected.update(self.enqueued())

    @contextlib.contextmanager
    def changing(self) -> Iterator[threading.Event]:
        """Change one thing after another during the block, and at least until it ends.

        Each workload changes exactly once. Yields what is set when a third of it is done.
        """
        begun, ended = threading.Event(), threading.Event()

        def change() -> None:
            for number in range(EACH):
                self.live.create_pod(f"new-{number}")
                self.live.tell(f"told-{number}", b.digest("a"))
                path = f"/api/v1/namespaces/{self.live.namespace}/pods/gone-{number}"
                self.live.api.delete(path, grace_s=0)
                if number >= EACH // 3:
                    begun.set()
                    ended.wait(0.3)

        thread = threading.Thread(target=change, name="changes")
        thread.start()
        try:
            yield begun
        finally:
            ended.set()
            thread.join()
        self.expected.update(f"{kind}-{n}" for kind in ("new", "told", "gone") for n in range(EACH))

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Settle every key that comes, as workers do."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.01):
                self.live.work()

        thread = threading.Thread(target=work, name="worker")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def holder(self) -> str:
        """Return whom the Lease names."""
        name = f"kube-sluice-{self.live.names.cluster}"
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.live.namespace}/leases/{name}"
        return str(self.live.api.get(path)["spec"]["holderIdentity"])

    # --- what must hold --------------------------------------------------------------------------

    def enqueued(self) -> collections.Counter[str]:
        """Return how often each workload was enqueued."""
        facts = (fact for _, fact in self.live.ledger.tail(10_000) if fact.kind == "enqueued")
        return collections.Counter(fact.key.rpartition("/")[2] for fact in facts)

    def is_complete(self) -> bool:
        """Say whether every change was enqueued at least once."""
        return not self.expected - self.enqueued()

    def check(self) -> None:
        """Nothing was lost, nothing doubled, and the rows are what the cluster is."""
        assert eventually(self.is_complete), self.expected - self.enqueued()
        digests = self.live.digests
        assert eventually(
            lambda: all(digests("Pod", f"told-{n}") == [b.digest("a")] for n in range(EACH))
        )
        rows = {key.name for key in list(self.live.rows.keys())}
        assert rows == {f"{kind}-{n}" for kind in ("new", "told") for n in range(EACH)}
        assert self.enqueued() == self.expected, self.causes()

    def causes(self) -> list[tuple[str, object, object]]:
        """Return why everything was enqueued, for the message of a failure."""
        facts = (fact for _, fact in self.live.ledger.tail(10_000) if fact.kind == "enqueued")
        return [(fact.key, fact.data.get("how"), fact.data.get("cause")) for fact in facts]
