"""Watchers between a real control plane and a real Valkey, on threads and as processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from redis import Redis

from common.kube.session import Session
from common.model.errors import SluiceError
from common.model.key import WorkloadKey
from common.model.workload import WorkloadRow
from common.queue.contract import Settled
from common.queue.workqueue import WorkQueue
from common.reports.labels import CONTAINER_NAME, MANAGED_BY, MANAGER, naming_labels
from common.reports.stamp import Stamp, StampArtifact, render
from common.settings.parse import parse
from common.state.control import Control
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.rows import RowTable
from sandbox.controlplane import ControlPlane
from sandbox.valkey import Valkey
from tests.waiting import eventually
from watcher.compose import compose, streams_of
from watcher.pulse import Pulse

GROUP = "/apis/aquasecurity.github.io/v1alpha1"
HASH = "ab" * 16
WORKER = "test-worker"


class Live:
    """One namespace, one key space, and watchers that come and go."""

    def __init__(
        self, controlplane: ControlPlane, session: Session, redis: Redis, names: Names
    ) -> None:
        self.api, self.session = controlplane.api, session
        self.redis, self.names = redis, names
        self.queue, self.rows = WorkQueue(redis, names), RowTable(redis, names)
        self.ledger, self.control = Ledger(redis, names), Control(redis, names)
        self.namespace = ""

    # --- the watcher ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def watching(self, **environ: str) -> Iterator[CollectorRegistry]:
        """Run a watcher of the namespace on a thread; raises what it ended with."""
        told = {"OPERATOR_TARGET_NAMESPACES": self.namespace, "SLUICE_LEADER_ELECTION": "false"}
        settings = parse({**told, **environ})
        registry, stop, ended = CollectorRegistry(), threading.Event(), list[SluiceError]()
        running = compose(
            settings,
            self.session,
            (self.redis, self.names),
            registry=registry,
            pulse=Pulse(monotonic=time.monotonic, draw=lambda: 0.5),
        )

        def run() -> None:
            try:
                running.watcher.run(stop)
            except SluiceError as exc:
                ended.append(exc)

        thread = threading.Thread(target=run, name="watcher")
        running.fleet.start(streams_of(settings))
        thread.start()
        try:
            assert eventually(lambda: running.watcher.ready or ended)
            yield registry
        finally:
            stop.set()
            thread.join()
            running.fleet.stop(timeout_s=30.0)
        if ended:
            raise ended[0]

    def sweeps(self) -> int:
        """Return how many sweeps were done."""
        return self.ledger.counts()["swept"]

    def swept_once_more(self) -> dict[str, Any]:
        """Ask for a sweep, wait for it, and return its fact."""
        number = self.control.request_sweep()
        assert eventually(lambda: self.control.swept() >= number)
        facts = [fact for _, fact in self.ledger.tail(1000) if fact.kind == "swept"]
        return dict(facts[-1].data)

    def causes(self) -> list[str]:
        """Return why keys were queued, in order."""
        facts = (fact for _, fact in self.ledger.tail(100) if fact.kind == "enqueued")
        return [str(fact.data["cause"]) for fact in facts]

    # --- the workers ----------------------------------------------------------------------------

    def work(self) -> list[str]:
        """Claim and settle everything that is due, as workers do; return the names."""
        done: list[str] = []
        while claims := self.queue.claim("reconcile", WORKER, limit=64, lease_s=60):
            outcomes = []
            for claim in claims:
                assert isinstance(claim.key, WorkloadKey)
                found = self.rows.get(claim.key)
                outcome = Settled(fingerprint="", epoch=0, outcome="Gone")
                if found is not None:
                    outcome = Settled(
                        fingerprint=found[1], epoch=1, outcome="Converged", reports=self.reports()
                    )
                outcomes.append((claim, outcome))
                done.append(claim.key.name)
            assert all(self.queue.complete(WORKER, outcomes))
        return done

    def reports(self) -> dict[str, str]:
        """Return what a run must have made: the one report of these tests, if it is there."""
        found = self.api.get(f"{GROUP}/namespaces/{self.namespace}/vulnerabilityreports")
        return {
            f"VulnerabilityReport/{self.namespace}/{item['metadata']['name']}": HASH
            for item in found["items"]
        }

    def worked(self, name: str) -> bool:
        """Say whether a key of that name came and was worked on."""
        return eventually(lambda: name in self.work())

    def quiet(self) -> None:
        """Work until two sweeps in a row find nothing."""
        assert eventually(lambda: not self.work() and self.swept_once_more()["enqueued"] == 0)

    # --- the cluster ----------------------------------------------------------------------------

    def row(self, kind: str, name: str) -> WorkloadRow | None:
        """Return the row that workers would read."""
        found = self.rows.get(WorkloadKey(kind=kind, namespace=self.namespace, name=name))
        return None if found is None else found[0]

    def digests(self, kind: str, name: str) -> list[str]:
        """Return the running digests of a workload's first container."""
        row = self.row(kind, name)
        return [one.digest for one in row.containers[0].running] if row else []

    def create_pod(self, name: str) -> dict[str, Any]:
        """Create a bare Pod."""
        spec = {"containers": [{"name": "app", "image": "app:1"}]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        return self.api.create(f"/api/v1/namespaces/{self.namespace}/pods", body)

    def tell(self, pod: str, digest: str, **status: Any) -> None:
        """Write what a kubelet writes."""
        told = {
            "name": "app",
            "image": "app:1",
            "imageID": f"registry.example/app@{digest}",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-11-25T10:00:00Z"}},
        }
        self.api.patch(
            f"/api/v1/namespaces/{self.namespace}/pods/{pod}/status",
            {"status": {"phase": "Running", "containerStatuses": [told], **status}},
        )

    def create_deployment(self, name: str) -> None:
        """Create a Deployment of one replica."""
        labels = {"app": name}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        }
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
        self.api.create(
            f"/apis/apps/v1/namespaces/{self.namespace}/deployments", {**body, "spec": spec}
        )

    def listed(self, path: str) -> list[dict[str, Any]]:
        """Return the objects of a collection of the namespace."""
        root, _, resource = path.rpartition("/")
        items: list[dict[str, Any]] = self.api.get(
            f"{root}/namespaces/{self.namespace}/{resource}"
        )["items"]
        return items

    def write_report(self, owner: dict[str, Any]) -> str:
        """Create a VulnerabilityReport as a worker would; return its path."""
        name = f"pod-{owner['metadata']['name']}-app"
        stamp = Stamp(
            content_hash=HASH,
            epoch=1,
            generation=1,
            summary={"criticalCount": 2},
            artifact=StampArtifact(repository="app", tag="1"),
        )
        meta = {
            "name": name,
            "labels": {
                **naming_labels("Pod", self.namespace, owner["metadata"]["name"]),
                CONTAINER_NAME: "app",
                MANAGED_BY: MANAGER,
            },
            "annotations": render(stamp),
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        }
        counts = dict.fromkeys(
            ("criticalCount", "highCount", "mediumCount", "lowCount", "unknownCount"), 0
        )
        report = {
            "artifact": {"repository": "app", "tag": "1"},
            "os": {"family": "", "name": ""},
            "registry": {"server": "registry.example"},
            "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "0.76.0"},
            "summary": counts,
            "updateTimestamp": "2026-11-25T10:00:00Z",
            "vulnerabilities": [],
        }
        path = f"{GROUP}/namespaces/{self.namespace}/vulnerabilityreports"
        body = {"apiVersion": "aquasecurity.github.io/v1alpha1", "kind": "VulnerabilityReport"}
        self.api.create(path, {**body, "metadata": meta, "report": report})
        return f"{path}/{name}"


def environment(controlplane: ControlPlane, valkey: Valkey, namespace: str) -> dict[str, str]:
    """Return what a watcher's process is told, in the way of the chart."""
    return {
        "PATH": os.environ["PATH"],
        "SLUICE_KUBECONFIG": str(controlplane.kubeconfig),
        "SLUICE_REDIS_URL": valkey.url,
        "SLUICE_LOG_FORMAT": "json",
        "OPERATOR_NAMESPACE": namespace,
        "OPERATOR_TARGET_NAMESPACES": namespace,
        "OPERATOR_METRICS_BIND_ADDRESS": "127.0.0.1:0",
        "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
        "SLUICE_STATUS_ADDRESS": "127.0.0.1:0",
    }


@contextlib.contextmanager
def run_watcher(told: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run `python -m watcher`; its log lines come on the list."""
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "watcher"], env=told, stderr=subprocess.PIPE, text=True
    ) as started:
        assert started.stderr is not None
        stderr = started.stderr
        reader = threading.Thread(target=lambda: lines.extend(stderr))
        reader.start()
        try:
            yield started, lines
        finally:
            started.kill()
            reader.join()


def port_of(lines: list[str], route: str) -> int:
    """Return the port where a process says that it serves a route; 0: it has not said yet."""
    for line in list(lines):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if route in entry.get("routes", ()):
                return int(entry["port"])
    return 0


def page_of(port: int, path: str) -> tuple[int, str]:
    """Return status and text of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
