"""The world around the product: a cluster, a registry with images and a database, a Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common.model.errors import PreconditionError
from sandbox import controlplane, node_host, registry, vulndb
from sandbox import node as real_node
from sandbox.api import Api, ApiError
from sandbox.controlplane import ControlPlane
from sandbox.demo.proof import Seen
from sandbox.images import Pushed, push_samples
from sandbox.kubelet import Kubelet
from sandbox.metrics import RequestCount
from sandbox.place import Place
from sandbox.processes import POLL_S, Stack
from sandbox.programs import find
from sandbox.pull import USER_AGENT as PULLER
from sandbox.registry import Registry
from sandbox.valkey import Valkey

GROUP = "aquasecurity.github.io"
REPORTS = {
    "VulnerabilityReport": "vulnerabilityreports",
    "ExposedSecretReport": "exposedsecretreports",
    "SbomReport": "sbomreports",
}
_WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE")
# Who pulls for a kubelet: containerd on a real node, the stand-in elsewhere.
_KUBELETS = ("containerd", PULLER)
_RUNNING_S = 60.0
_NOT_YET = (404, 429)


class Plane(Protocol):
    """A cluster: the control plane alone, or a whole node."""

    @property
    def kubeconfig(self) -> Path:
        """The path of an administrator's."""

    @property
    def api(self) -> Api:
        """An administrator's requests."""

    def metrics(self) -> list[RequestCount]:
        """Return what the API server counted."""

    def create_namespace(self, name: str) -> None:
        """Create one that Pods can be made in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that the product meets."""

    plane: Plane
    registry: Registry
    valkey: Valkey
    images: Mapping[str, Pushed]

    def environ(self) -> dict[str, str]:
        """Return a product's settings for this world, with no port that others may hold."""
        address = self.registry.address
        return {
            "KUBECONFIG": str(self.plane.kubeconfig),
            "TRIVY_DB_REPOSITORY": f"{address}/{vulndb.REPOSITORY}:{vulndb.TAG}",
            "TRIVY_JAVA_DB_REPOSITORY": f"{address}/{vulndb.JAVA_REPOSITORY}:{vulndb.JAVA_TAG}",
            "TRIVY_INSECURE": "true",
            "OPERATOR_METRICS_BIND_ADDRESS": "127.0.0.1:0",
            "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
            "SLUICE_STATUS_ADDRESS": "127.0.0.1:0",
            "SLUICE_MATCHER_ADDRESS": "127.0.0.1:0",
            "SLUICE_LOG_FORMAT": "json",
            # The proof counts what images cost; the cluster's own software is a match and two
            # reports beside that.
            "SLUICE_KBOM_ENABLED": "false",
        }

    def seen(self) -> Seen:
        """Return what registry and API server counted so far, of what the product did."""
        repositories = {pushed.repository for pushed in self.images.values()}
        return Seen(
            registry_requests=sum(
                request.repository in repositories
                and not request.user_agent.startswith(_KUBELETS)
                and request.method in ("GET", "HEAD")
                for request in self.registry.requests()
            ),
            report_writes=sum(
                one.count
                for one in self.plane.metrics()
                if one.group == GROUP and one.verb in _WRITES and one.code.startswith("2")
            ),
        )

    def pulls(self) -> dict[str, int]:
        """Return how often the product pulled each image's manifest by digest."""
        counted = {pushed.digest: 0 for pushed in self.images.values()}
        for request in self.registry.requests():
            if request.method != "GET" or request.kind != "manifest":
                continue
            digest = request.path.rpartition("/")[2]
            if digest in counted and not request.user_agent.startswith(_KUBELETS):
                counted[digest] += 1
        return counted

    def create_namespace(self, name: str) -> None:
        """Create a namespace and wait until Pods can be made in it."""
        self.plane.create_namespace(name)

    def await_running(self, namespace: str, pod: str) -> None:
        """Wait until a Pod runs; raises PreconditionError after a minute."""
        deadline = time.monotonic() + _RUNNING_S
        while time.monotonic() < deadline:
            found = self.plane.api.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")
            if found["status"].get("phase") == "Running":
                return
            time.sleep(POLL_S)
        raise PreconditionError(f"Pod {namespace}/{pod} does not run after {_RUNNING_S:g} s")

    def reports(self) -> list[Mapping[str, Any]]:
        """Return every stored report of the three kinds."""
        return [
            {**item, "kind": kind}
            for kind, plural in REPORTS.items()
            for item in self.items(f"/apis/{GROUP}/v1alpha1/{plural}")
        ]

    def items(self, path: str) -> list[Mapping[str, Any]]:
        """List; reports have no storage yet in the second after their installation or a restart."""
        try:
            return list(self.plane.api.get(path)["items"])
        except ApiError as error:
            if error.status in _NOT_YET:
                return []
            raise


Say = Callable[[str], None]


def build(place: Place, stack: Stack, *, node: bool = False, say: Say) -> World:
    """Bring up a cluster and everything else.

    The cluster is a control plane with a stand-in for the kubelet or, as `node`, a real node.
    Raises PreconditionError, for one when this host cannot run a node.
    """
    if node:
        node_host.require()  # before a build of minutes
    cluster = real_node.PROGRAMS if node else controlplane.PROGRAMS
    programs = find((*cluster, *registry.PROGRAMS), say=say)
    store = Registry(place, programs, stack).start()
    images = push_samples(store.address)
    plane: Plane
    if node:
        plane = _node(place, stack, programs=programs, store=store, say=say)
    else:
        plane = _control_plane(place, stack, programs=programs, say=say)
    valkey = Valkey(place, stack).start()
    return World(plane=plane, registry=store, valkey=valkey, images=images)


def _control_plane(
    place: Place, stack: Stack, *, programs: Mapping[str, Path], say: Say
) -> ControlPlane:
    """Start a control plane and the stand-in for the kubelet."""
    say("starting etcd, kube-apiserver and kube-controller-manager (about 4 s)")
    plane = ControlPlane(place, programs, stack).start()
    Kubelet(plane, stack).start()
    return plane


def _node(
    place: Place, stack: Stack, *, programs: Mapping[str, Path], store: Registry, say: Say
) -> real_node.Node:
    """Start a real node that pulls from `store`."""
    say("starting a node: control plane, kubelet, containerd (about 6 s)")
    port = int(store.address.rpartition(":")[2])
    return real_node.Node(place, programs, stack, registry_port=port).start()


def create_all(api: Api, objects: Iterable[Mapping[str, Any]]) -> None:
    """Create namespaced objects of the kinds that the samples use, in order."""
    for item in objects:
        api.create(_collection(item), item)


def _collection(item: Mapping[str, Any]) -> str:
    """Return the path that creates the object."""
    version, kind = item["apiVersion"], item["kind"].lower()
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    if kind == "namespace":
        return f"{root}/namespaces"
    return f"{root}/namespaces/{item['metadata']['namespace']}/{kind}s"
