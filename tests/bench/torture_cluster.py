"""A real API server in a torture: workloads to report on, and what becomes of their reports.

The history of the reports is seen by a watch of our own, which shares nothing with the product.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.kube.cluster import Cluster
from common.kube.session import Session
from common.model.key import WorkloadKey
from common.model.workload import Container, Running, WorkloadRow
from common.reports.crds import definitions
from sandbox.api import Api, ApiError
from tests.bench.torture_oracle import Stored
from tests.bench.torture_reports import key_of, reference, version_of

DIGEST = "sha256:" + "0a" * 32
PLATFORM = "linux-amd64"
_GROUP = "/apis/aquasecurity.github.io/v1alpha1"
_NOT_FOUND = 404


def install(kubeconfig: Path) -> None:
    """Install the report definitions; returns when they are served."""
    with contextlib.closing(Session.auto(str(kubeconfig), None)) as session:
        Cluster(session).install_crds(definitions())


@dataclass(kw_only=True)
class Reported:
    """A namespace with Pods, and the history of their reports. Use `reported`."""

    api: Api
    kubeconfig: Path
    namespace: str
    uids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._seen: dict[str, Stored] = {}  # by resourceVersion
        self._changed = threading.Condition()

    @property
    def reports_path(self) -> str:
        """Where the API server has the reports."""
        return f"{_GROUP}/namespaces/{self.namespace}/vulnerabilityreports"

    def workload(self, name: str) -> WorkloadKey:
        """Create a Pod, which a report needs as its owner, and return its key."""
        container = {"name": "app", "image": reference(0)}
        made = self.api.create(
            f"/api/v1/namespaces/{self.namespace}/pods",
            {"metadata": {"name": name}, "spec": {"containers": [container]}},
        )
        self.uids[name] = made["metadata"]["uid"]
        return WorkloadKey(kind="Pod", namespace=self.namespace, name=name)

    def row(self, key: WorkloadKey, version: int) -> WorkloadRow:
        """Return the row of a version: only the image's tag tells them apart."""
        running = Running(digest=DIGEST, platform=PLATFORM)
        return WorkloadRow(
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
            uid=self.uids[key.name],
            api_version="v1",
            created_at=1,
            containers=(
                Container(
                    name="app", role="container", image=reference(version), running=(running,)
                ),
            ),
            has_pods=True,
        )

    def history(self) -> list[Stored]:
        """Return every state of every report so far, in the order of the API server."""
        listed = self.api.get(self.reports_path)["items"]
        versions = {one["metadata"]["resourceVersion"] for one in listed}
        with self._changed:
            if not self._changed.wait_for(lambda: versions <= self._seen.keys(), timeout=30):
                raise TimeoutError("the watch of reports lags behind")
            return sorted(self._seen.values(), key=lambda state: int(state.object_version))

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Follow the reports for the block."""
        start = self.api.get(self.reports_path)["metadata"]["resourceVersion"]
        watch = self.api.watch(self.reports_path, resourceVersion=start, timeoutSeconds="3000")

        def follow() -> None:
            with contextlib.suppress(OSError):
                for event in watch:
                    if event["type"] in ("ADDED", "MODIFIED"):
                        self._saw(event["object"])
            watch.close()

        thread = threading.Thread(target=follow, name="reports")
        thread.start()
        try:
            yield
        finally:
            watch.interrupt()
            thread.join()

    def _saw(self, report: Mapping[str, Any]) -> None:
        metadata = report["metadata"]
        stamp = json.loads(metadata["annotations"]["kube-sluice/stamp"])
        state = Stored(
            name=key_of(metadata["name"]),
            object_version=metadata["resourceVersion"],
            version=version_of(report["report"]["artifact"]["tag"]),
            epoch=stamp["epoch"],
        )
        with self._changed:
            self._seen[state.object_version] = state
            self._changed.notify_all()


@contextlib.contextmanager
def reported(kubeconfig: Path, folder: Path) -> Iterator[Reported]:
    """Give a fresh namespace at the sandbox's API server; it is deleted afterwards."""
    config = json.loads(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = folder / "ca.crt"
    ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    with contextlib.closing(Api(cluster["server"], user["token"], ca)) as api:
        name = f"torture-{secrets.token_hex(4)}"
        api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        one = Reported(api=api, kubeconfig=kubeconfig, namespace=name)
        _await_account(api, name)
        try:
            with one.watching():
                yield one
        finally:
            api.delete(f"/api/v1/namespaces/{name}")


def _await_account(api: Api, namespace: str) -> None:
    """Wait for what a Pod needs and the controllers make."""
    pause = threading.Event()
    for _ in range(1200):
        try:
            api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            pause.wait(0.05)
        else:
            return
    raise TimeoutError(f"no ServiceAccount in {namespace}; do the controllers run?")
