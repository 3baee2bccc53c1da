"""Kubernetes' own autoscaler reads the product's metric and follows the keys that wait.

The metrics adapter is a small one: it does what the rule in the chart's README says, on the
product's own metrics page.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from common.model.key import WorkKey
from common.queue.contract import Add
from common.queue.workqueue import WorkQueue
from common.state.names import Names
from sandbox.certificates import make
from sandbox.controlplane import ControlPlane
from tests.charts.release import apply, remove_global
from tests.charts.rendered import Rendered, render
from tests.queue_values import image
from tests.waiting import eventually
from watcher.queue_metrics import QueueMetrics

pytestmark = pytest.mark.integration

GROUP = "external.metrics.k8s.io"
VERSION = "v1beta1"
METRIC = "sluice_queue_depth"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
PATIENCE_S = 90.0  # the autoscaler looks every 15 s
LOOK_EVERY_S = 0.5


class Adapter(ThreadingHTTPServer):
    """Serves the metric as prometheus-adapter does with the README's rule."""

    daemon_threads = True

    def __init__(self, folder: Path, page: Callable[[], str]) -> None:
        """Serve at once, at `localhost`, what `page` says at that moment."""
        super().__init__(("127.0.0.1", 0), _Asked)
        self.page = page
        made = make(folder, names=("DNS:localhost",))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.server_certificate, made.server_key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def sums(self, selector: str) -> dict[str, float]:
        """Return `sum by (pool)` of what the selector (`pool in (a,b)`) chooses."""
        chosen = re.fullmatch(r"pool in \(([a-z,]+)\)", selector)
        assert chosen is not None, selector
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.page()):
            for sample in family.samples:
                pool = sample.labels.get("pool", "")
                if sample.name == METRIC and pool in chosen[1].split(","):
                    found[pool] = found.get(pool, 0.0) + sample.value
        return found


class _Asked(BaseHTTPRequestHandler):
    server: Adapter

    def do_GET(self) -> None:
        """Answer the API server: what there is, or the metric's values."""
        url = urlsplit(self.path)
        if url.path.endswith(f"/{METRIC}"):
            (selector,) = parse_qs(url.query)["labelSelector"]
            self._answer(_values(self.server.sums(selector)))
        else:
            self._answer(
                {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": f"{GROUP}/{VERSION}",
                    "resources": [
                        {
                            "name": METRIC,
                            "namespaced": True,
                            "kind": "ExternalMetricValueList",
                            "verbs": ["get"],
                        }
                    ],
                }
            )

    def _answer(self, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _values(sums: dict[str, float]) -> dict[str, Any]:
    items = [
        {
            "metricName": METRIC,
            "metricLabels": {"pool": pool},
            "timestamp": "2026-01-01T00:00:00Z",
            "value": str(int(value)),
        }
        for pool, value in sums.items()
    ]
    return {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/{VERSION}", "items": items}


@contextlib.contextmanager
def served(controlplane: ControlPlane, namespace: str, adapter: Adapter) -> Iterator[None]:
    """Let the API server ask the adapter, as it asks one in a Pod."""
    service = {
        "metadata": {"name": "adapter"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    controlplane.api.create(f"/api/v1/namespaces/{namespace}/services", service)
    name = f"{VERSION}.{GROUP}"
    controlplane.api.create(
        API_SERVICES,
        {
            "metadata": {"name": name},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {
                    "namespace": namespace,
                    "name": "adapter",
                    "port": adapter.server_address[1],
                },
            },
        },
    )
    try:
        yield
    finally:  # a group that nobody serves keeps every namespace from being deleted
        controlplane.api.delete(f"{API_SERVICES}/{name}")


def scaled(namespace: str) -> Rendered:
    """Render two pools, of which the scanning one follows the queue."""
    pools = {
        "reconcile": {"serves": ["reconcile", "rematch"], "replicas": 1},
        "scan": {
            "serves": ["scan"],
            "autoscaling": {
                "by": "hpa",
                "minReplicas": 2,
                "maxReplicas": 6,
                "keysPerReplica": 50,
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            },
        },
    }
    return render({"worker": {"pools": pools}}, name=namespace, namespace=namespace)


def test_kubernetes_own_autoscaler_follows_the_keys_that_wait(
    controlplane: ControlPlane,
    programs: dict[str, Path],
    redis_client: Redis,
    names: Names,
    tmp_path: Path,
) -> None:
    """2 at least without any metric, 4 for 180 keys of 50 each, 2 again when they are gone."""
    namespace = f"test-{secrets.token_hex(3)}"
    chart = scaled(namespace)
    queue = WorkQueue(redis_client, names)
    registry = CollectorRegistry()
    registry.register(QueueMetrics(queue.census))
    keys: list[WorkKey] = [image(each) for each in range(180)]
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{namespace}-kube-sluice-worker"

    def replicas(pool: str) -> int:
        return int(controlplane.api.get(f"{path}-{pool}")["spec"]["replicas"])

    def becomes(wanted: int) -> bool:
        pause = threading.Event()  # a look every 20 ms would keep the machine busy for a minute
        return eventually(
            lambda: replicas("scan") == wanted or pause.wait(LOOK_EVERY_S), within_s=PATIENCE_S
        )

    controlplane.create_namespace(namespace)
    try:
        apply(programs["kubectl"], controlplane, chart)
        assert replicas("scan") == 1  # what the API server fills in
        assert becomes(2)
        adapter = Adapter(tmp_path, lambda: generate_latest(registry).decode())
        with adapter, served(controlplane, namespace, adapter):
            queue.add([Add(key=key) for key in keys])
            assert becomes(4)
            apply(programs["kubectl"], controlplane, chart)  # an upgrade sets nothing back
            assert replicas("scan") == 4
            while claims := queue.claim("scan", "w1", limit=100, lease_s=60):
                assert claims
            assert becomes(2)
            adapter.shutdown()
        assert replicas("reconcile") == 1
    finally:
        remove_global(controlplane, chart)
        controlplane.api.delete(f"/api/v1/namespaces/{namespace}")
