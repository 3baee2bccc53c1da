"""The cluster's own software: its nodes, its control plane and its add-ons. Pure.

What counts, and what it is called, follows trivy-operator (through trivy-kubernetes), so that the
vulnerability database knows it by the same names. Two things differ. Pods of one controller are one
component and bear its name: a restart is no news, and a DaemonSet on a thousand nodes is one line.
And the label `component` counts in kube-system alone: everywhere else applications use it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from common.kube.wire import Node, Pod
from common.model.clusterrow import KbomComponent, KbomImage, KbomNode, KbomRow
from common.model.errors import BadReferenceError
from common.model.refs import DEFAULT_REGISTRY, parse_reference
from common.reports.naming import KBOM_REGISTRY, KBOM_REPOSITORY, cluster_sbom_name

_SYSTEM = "kube-system"
_LABEL, _ADDON = "component", "k8s-app"
# OpenShift labels its control plane in namespaces of its own.
_OPENSHIFT = {
    "openshift-kube-apiserver": "apiserver",
    "openshift-kube-controller-manager": "kube-controller-manager",
    "openshift-kube-scheduler": "scheduler",
    "openshift-etcd": "etcd",
}
_NAME, _VERSION, _TYPE = (f"app.kubernetes.io/{each}" for each in ("name", "version", "component"))
# Source: trivy-kubernetes, pkg/k8s/k8s.go: labels' values to repositories, those to organisations.
_REPOSITORIES = {
    "kube-controller-manager": "controller-manager",
    "kube-apiserver": "apiserver",
    "api server": "apiserver",
    "etcd": "etcd/v3",
    "cloud-controller-manager": "cloud-provider",
}
_ORGANISATIONS = {
    **dict.fromkeys(
        (
            "controller-manager",
            "kubelet",
            "apiserver",
            "kubectl",
            "kubernetes",
            "kube-scheduler",
            "kube-proxy",
            "cloud-provider",
            "ingress-nginx",
        ),
        "k8s.io",
    ),
    "secrets-store-csi-driver": "sigs.k8s.io",
    "etcd/v3": "go.etcd.io",
}
_TYPES = {
    **dict.fromkeys(
        ("controller-manager", "apiserver", "kube-scheduler", "etcd/v3", "cloud-provider"),
        "controlPlane",
    ),
    "kube-proxy": "node",
}
_CONTROL_PLANE = frozenset(
    {"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}
)
_DISTRIBUTIONS = ("+rke2", "-rke2", "+k3s", "-k3s")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Kbom:
    """Fold of nodes and core Pods. Every method is O(1) but `row`."""

    def __init__(self, version: str) -> None:
        """`version` is the API server's; empty: there is no row."""
        self._version = version.strip("vV").replace("+", "-")
        # Not when it is asked for: every event of a Pod asks, and the hash is a loop.
        self._name = (
            cluster_sbom_name(KBOM_REGISTRY, KBOM_REPOSITORY, self._version)
            if self._version
            else ""
        )
        self._nodes: dict[str, KbomNode] = {}
        self._pods: dict[tuple[str, str], KbomComponent] = {}
        self._components: Counter[KbomComponent] = Counter()

    @property
    def name(self) -> str:
        """The name of the row; empty: there is none."""
        return self._name

    def put_node(self, node: Node) -> bool:
        """Take a node in; return whether anything changed."""
        now = _node(node)
        if self._nodes.get(now.name) == now:
            return False
        self._nodes[now.name] = now
        return True

    def remove_node(self, name: str) -> bool:
        """Forget a node; return whether it was known."""
        return self._nodes.pop(name, None) is not None

    def put_pod(self, pod: Pod) -> bool:
        """Take a Pod in, if it runs a component; return whether anything changed."""
        meta = pod.metadata
        now = _component(pod)
        if now is None:
            return self.remove_pod(meta.namespace, meta.name)
        place = (meta.namespace, meta.name)
        before = self._pods.get(place)
        if before == now:
            return False
        changed = before is not None and self._count(before, -1)
        self._pods[place] = now
        return self._count(now, 1) or changed

    def remove_pod(self, namespace: str, name: str) -> bool:
        """Forget a Pod; return whether anything changed."""
        before = self._pods.pop((namespace, name), None)
        return before is not None and self._count(before, -1)

    def row(self) -> KbomRow | None:
        """Return the row; None: the version is not known, or no node is."""
        if not self._version or not self._nodes:
            return None
        return KbomRow(
            name=self.name,
            version=self._version,
            nodes=tuple(sorted(self._nodes.values())),
            components=tuple(sorted(self._components)),
        )

    def _count(self, component: KbomComponent, change: int) -> bool:
        """Count a component up or down; return whether it came or went."""
        before = self._components[component]
        self._components[component] += change
        if not self._components[component]:
            del self._components[component]
        return not before or component not in self._components


def _node(node: Node) -> KbomNode:
    info, labels = node.status.node_info, node.metadata.labels or {}
    return KbomNode(
        name=node.metadata.name,
        role="worker" if _CONTROL_PLANE.isdisjoint(labels) else "master",
        kubelet=_bare(_upstream(info.kubelet_version)),
        runtime=info.container_runtime_version,
        os_image=info.os_image,
        kernel=info.kernel_version,
        operating_system=info.operating_system,
        architecture=info.architecture,
    )


def _component(pod: Pod) -> KbomComponent | None:
    """Return what a Pod runs of the cluster; None: nothing, or it ends."""
    meta, labels = pod.metadata, pod.metadata.labels or {}
    label = _label(meta.namespace, labels)
    if not label or meta.deletion_timestamp is not None:
        return None
    told, images = labels[label], _images(pod)
    name, kind = labels.get(_NAME, ""), labels.get(_TYPE, "")
    if not name:
        name = _REPOSITORIES.get(told, told)
        kind = _TYPES.get(name, kind)
    organisation = _ORGANISATIONS.get(name.lower(), "")
    controller = meta.controller
    made_by_node = controller is None or controller.kind == "Node"
    return KbomComponent(
        namespace=meta.namespace,
        owner=meta.name if made_by_node or controller is None else controller.name,
        name=f"{organisation}/{name}" if organisation else name,
        version=labels.get(_VERSION, "") or _bare(_version(images, told)),
        type=kind,
        images=images,
    )


def _label(namespace: str, labels: Mapping[str, str]) -> str:
    """Return the key of the label that says which component a Pod runs; empty: none."""
    if namespace == _SYSTEM and _LABEL in labels:
        return _LABEL
    if _ADDON in labels:
        return _ADDON
    label = _OPENSHIFT.get(namespace, "")
    return label if label in labels else ""


def _images(pod: Pod) -> tuple[KbomImage, ...]:
    """Return the images that kubelets run for the Pod's containers; others are left out."""
    ids = {one.name: one.image_id for one in pod.status.container_statuses or ()}
    found = []
    for one in pod.spec.containers or ():
        digest = ids.get(one.name, "").rpartition("@")[2]
        try:
            reference = parse_reference(one.image.partition("@")[0])
        except BadReferenceError:
            continue
        if _DIGEST.fullmatch(digest) is None:
            continue
        repository = reference.repository
        if reference.registry == DEFAULT_REGISTRY:
            repository = repository.removeprefix("library/")
        found.append(
            KbomImage(
                registry=reference.registry,
                repository=repository,
                tag=reference.tag,
                digest=digest,
            )
        )
    return tuple(found)


def _version(images: tuple[KbomImage, ...], name: str) -> str:
    """Return the version that the tag of the component's image tells; empty: none does."""
    for one in images:
        if "rke2" in one.tag or "k3s" in one.tag:
            return _upstream(one.tag)
        if name in f"{one.repository}:{one.tag}":
            return one.tag
    return ""


def _upstream(version: str) -> str:
    """Return a distribution's version as Kubernetes' own."""
    for mark in _DISTRIBUTIONS:
        if mark in version:
            return version.partition(mark)[0]
    return version


def _bare(version: str) -> str:
    return version.strip("vV").strip()
