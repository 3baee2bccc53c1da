"""A scripted cluster of any size, as the JSON that an API server sends: made when asked for.

Nothing is kept but what differs from the beginning, so 450,000 objects cost no memory here. Of ten
workloads eight are ReplicaSets of a Deployment, one a StatefulSet and one a DaemonSet; each has two
Pods that run and, for each of its one or two containers, three reports as a worker writes them.
Workloads share images, as in every cluster. Deterministic.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from common.reports import catalog
from common.reports.labels import CONTAINER_NAME, MANAGED_BY, MANAGER, SPEC_HASH, naming_labels
from common.reports.naming import container_report_name
from common.reports.stamp import Stamp, StampArtifact, StampInput, render

Json = dict[str, Any]

NAMESPACES = 100
PODS_EACH = 2
IMAGES = 4_000  # of the applications
SIDECARS = 200
EPOCH = 1
REPORT_KINDS = catalog.PRODUCED_KINDS
_NODES = 500
_MADE_AT = "2026-11-01T10:00:00Z"
_API_VERSIONS = {"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1"}
_RESOURCES = {
    "Deployment": "deployments",
    "ReplicaSet": "replicasets",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
}
REPORT_RESOURCES = {kind: catalog.BY_KIND[kind].plural for kind in REPORT_KINDS}


@dataclass(frozen=True, slots=True)
class Line:
    """One event of one resource."""

    resource: str
    data: bytes  # with its line end


@dataclass(slots=True)
class Changed:
    """What is not as in the beginning, of one workload."""

    deleted: bool = False
    template: int = 0  # how often its template was changed
    digests: dict[int, str] = field(default_factory=dict)  # container → what its image name runs
    untold: set[int] = field(default_factory=set)  # Pods whose kubelet has told nothing yet
    labels: dict[str, str] = field(default_factory=dict)
    account: str = "app"
    pods: int = 0  # how often its Pods were replaced by others
    reports: dict[str, int] = field(default_factory=dict)  # `Kind/container` → generation; 0: gone


_UNCHANGED = Changed()


class Cluster:
    """The objects of `workloads` workloads, and what was changed of them."""

    def __init__(self, workloads: int) -> None:
        self.workloads = workloads
        self.version = 10_000_000  # of the last change; what exists from the beginning has less
        self.live = False  # True: every event is newer than the last change
        self.database = 0  # how often the vulnerability database was updated
        self.changed: dict[int, Changed] = {}

    def change(self, number: int) -> Changed:
        """Return what is different about workload `number`, to be changed."""
        return self.changed.setdefault(number, Changed())

    # --- names ----------------------------------------------------------------------------------

    @staticmethod
    def kind(number: int) -> str:
        """Return the kind of workload `number`."""
        return {8: "StatefulSet", 9: "DaemonSet"}.get(number % 10, "ReplicaSet")

    @staticmethod
    def namespace(number: int) -> str:
        """Return where workload `number` is."""
        return f"team-{number % NAMESPACES}"

    def name(self, number: int) -> str:
        """Return the name of workload `number`."""
        stem = f"service-{number}"
        return stem if self.kind(number) != "ReplicaSet" else f"{stem}-{_hex(stem)[:10]}"

    @staticmethod
    def containers(number: int) -> int:
        """Return how many containers workload `number` has."""
        return 1 if number % 6 == 5 else 2  # 5.5 reports a workload

    def key(self, number: int) -> str:
        """Return the work key of workload `number`."""
        return f"workload/{self.kind(number)}/{self.namespace(number)}/{self.name(number)}"

    def report_name(self, number: int, container: int) -> str:
        """Return the name of the reports about a container."""
        return container_report_name(self.kind(number), self.name(number), _container(container))

    # --- everything that exists -----------------------------------------------------------------

    def all(self, resource: str) -> Iterator[bytes]:
        """Yield every object of a resource, as an event that adds it."""
        match resource:
            case "nodes":
                return (_event("ADDED", _node(number)) for number in range(_NODES))
            case "pods":
                return self._all_pods()
            case "deployments":
                return (self.deployment(one) for one in self._living("ReplicaSet"))
            case _ if resource in REPORT_RESOURCES.values():
                return self._all_reports(resource)
            case _:
                kinds = [kind for kind, plural in _RESOURCES.items() if plural == resource]
                return (self.workload(one).data for kind in kinds for one in self._living(kind))

    def _all_pods(self) -> Iterator[bytes]:
        for number in self._living():
            yield from (self.pod(number, place).data for place in range(PODS_EACH))

    def _all_reports(self, resource: str) -> Iterator[bytes]:
        (kind,) = (kind for kind, plural in REPORT_RESOURCES.items() if plural == resource)
        for number in self._living():
            for container in range(self.containers(number)):
                changed = self.changed.get(number)
                if changed is None or changed.reports.get(f"{kind}/{container}") != 0:
                    yield self.report(number, kind, container).data

    def _living(self, kind: str = "") -> Iterator[int]:
        for number in range(self.workloads):
            changed = self.changed.get(number)
            if (not kind or self.kind(number) == kind) and not (changed and changed.deleted):
                yield number

    # --- one object -----------------------------------------------------------------------------

    def deployment(self, number: int) -> bytes:
        """Return the event about the Deployment above ReplicaSet `number`."""
        meta = self._meta(number, f"service-{number}", "Deployment", labels=_labels(number))
        meta["annotations"] = {"deployment.kubernetes.io/revision": "1"}
        return _event("ADDED", {"kind": "Deployment", "metadata": meta, "spec": self._spec(number)})

    def workload(self, number: int, event: str = "MODIFIED", *, noise: int = 0) -> Line:
        """Return an event about workload `number`; `noise` is what changes for no reason."""
        kind, name = self.kind(number), self.name(number)
        changed = self.changed.get(number, _UNCHANGED)
        meta = self._meta(number, name, kind, labels=_labels(number) | changed.labels)
        if kind == "ReplicaSet":
            meta["annotations"] = {"deployment.kubernetes.io/revision": "1"}
            stem = f"service-{number}"
            owner = _owner("apps/v1", "Deployment", stem, _uid("Deployment", stem))
            meta["ownerReferences"] = [owner]
        status = {"replicas": PODS_EACH, "readyReplicas": noise % 3, "observedGeneration": noise}
        body = {"kind": kind, "metadata": meta, "spec": self._spec(number), "status": status}
        return Line(_RESOURCES[kind], _event(event, body))

    def pod(self, number: int, place: int, event: str = "MODIFIED", *, noise: int = 0) -> Line:
        """Return an event about a Pod of workload `number`."""
        kind, owner = self.kind(number), self.name(number)
        changed = self.changed.get(number, _UNCHANGED)
        name = f"{owner}-{_hex(f'{owner}/{place}/{changed.pods}')[:5]}"
        meta = self._meta(number, name, "Pod", labels=_labels(number))
        meta["ownerReferences"] = [_owner(_API_VERSIONS[kind], kind, owner, _uid(kind, owner))]
        told = [] if place in changed.untold else self._told(number, noise)
        ready = {"type": "Ready", "status": "True", "lastProbeTime": None, "observedGeneration": 1}
        status = {
            "phase": "Running" if told else "Pending",
            "podIP": f"10.{number % 250}.{place}.{noise % 250}",
            "conditions": [{**ready, "lastTransitionTime": f"2026-11-25T10:00:{noise % 60:02}Z"}],
            "containerStatuses": told,
        }
        spec = {**self._spec(number)["template"]["spec"], "nodeName": f"node-{number % _NODES}"}
        body = {"kind": "Pod", "metadata": meta, "spec": spec, "status": status}
        return Line("pods", _event(event, body))

    def report(
        self, number: int, kind: str, container: int, event: str = "MODIFIED", *, noise: int = 0
    ) -> Line:
        """Return an event about a report, with metadata only."""
        owner_kind, owner = self.kind(number), self.name(number)
        namespace, name = self.namespace(number), self.report_name(number, container)
        labels = {
            CONTAINER_NAME: _container(container),
            MANAGED_BY: MANAGER,
            SPEC_HASH: _hex(owner)[:32],
            **naming_labels(owner_kind, namespace, owner),
        }
        if noise:
            labels["team"] = f"team-{noise}"
        meta = self._meta(number, name, kind, labels=labels)
        changed = self.changed.get(number, _UNCHANGED)
        image = self._image(number, container)
        written = 1 + self._findings(image)
        meta["generation"] = changed.reports.get(f"{kind}/{container}", written)
        meta["annotations"] = _stamp(kind, image, self.database, self._findings(image))
        reference = _owner(_API_VERSIONS[owner_kind], owner_kind, owner, _uid(owner_kind, owner))
        meta["ownerReferences"] = [reference]
        body = {"kind": "PartialObjectMetadata", "metadata": meta}
        return Line(REPORT_RESOURCES[kind], _event(event, body))

    def content_hash(self, number: int, kind: str, container: int) -> str:
        """Return the hash that the stamp of a report holds: of the image, as bodies are."""
        image = self._image(number, container)
        return _content_hash(kind, image, self._findings(image))

    def _findings(self, image: str) -> int:
        """Return how often the findings of an image changed: one in sixteen has any that do."""
        return self.database if _hex(image)[0] == "7" else 0

    # --- parts ----------------------------------------------------------------------------------

    def _meta(self, number: int, name: str, kind: str, *, labels: dict[str, str]) -> Json:
        new = self.live or number in self.changed
        version = self.version if new else 1_000_000 + number
        return {
            "name": name,
            "namespace": self.namespace(number),
            "uid": _uid(kind, name),
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": _MADE_AT,
            "labels": labels,
            "managedFields": _MANAGED,
        }

    def _image(self, number: int, container: int) -> str:
        changed = self.changed.get(number)
        tag = changed.template if changed else 0
        if container:
            return f"registry.example/mesh/proxy-{number % SIDECARS}:2.0.{tag}"
        return f"registry.example/shop/app-{number % IMAGES}:1.4.{tag}"

    def _spec(self, number: int) -> Json:
        listed = [
            {"name": _container(place), "image": self._image(number, place), "env": _ENVIRON}
            for place in range(self.containers(number))
        ]
        account = self.changed.get(number, _UNCHANGED).account
        return {"template": {"spec": {"containers": listed, "serviceAccountName": account}}}

    def _told(self, number: int, noise: int) -> list[Json]:
        changed = self.changed.get(number, _UNCHANGED)
        return [
            {
                "name": _container(place),
                "image": self._image(number, place),
                "imageID": f"registry.example/x@{self._digest(number, place, changed)}",
                "restartCount": noise,
                "state": {"running": {"startedAt": _MADE_AT}},
            }
            for place in range(self.containers(number))
        ]

    def _digest(self, number: int, container: int, changed: Changed) -> str:
        return changed.digests.get(container) or _digest(self._image(number, container))


def _container(place: int) -> str:
    return "proxy" if place else "app"


def _labels(number: int) -> dict[str, str]:
    return {"app": f"service-{number}", "app.kubernetes.io/part-of": "shop", "tier": "backend"}


@functools.lru_cache(maxsize=20_000)
def _stamp(kind: str, image: str, database: int, findings: int) -> dict[str, str]:
    """Return the stamp of a report about an image."""
    digest = _digest(image)
    name, _, tag = image.partition(":")
    registry, _, repository = name.partition("/")
    summary = dict.fromkeys(
        ("criticalCount", "highCount", "mediumCount", "lowCount", "unknownCount"), 3
    )
    stamp = Stamp(
        content_hash=_content_hash(kind, image, findings),
        epoch=EPOCH,
        generation=1 + findings,
        inputs=(StampInput(digest=digest, platform="linux-amd64", options="0" * 16),),
        summary=summary if kind != catalog.SBOM_REPORT else {"componentsCount": 120},
        artifact=StampArtifact(registry=registry, repository=repository, tag=tag, digest=digest),
        db_version=f"2026-11-25T{database:02}:00:00Z",
    )
    return render(stamp)


def _content_hash(kind: str, image: str, findings: int) -> str:
    return _hex(f"{kind} {image} {findings}")[:32]


def _owner(api_version: str, kind: str, name: str, uid: str) -> Json:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _node(number: int) -> Json:
    meta = {
        "name": f"node-{number}",
        "uid": _uid("Node", str(number)),
        "resourceVersion": str(number + 1),
    }
    info = {"operatingSystem": "linux", "architecture": "amd64"}
    return {"kind": "Node", "metadata": meta, "status": {"nodeInfo": info}}


def _event(kind: str, body: Json) -> bytes:
    return orjson.dumps({"type": kind, "object": body}, option=orjson.OPT_APPEND_NEWLINE)


@functools.lru_cache(maxsize=50_000)
def _hex(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()


@functools.lru_cache(maxsize=10_000)
def _digest(image: str) -> str:
    return f"sha256:{_hex(image)}"


def _uid(kind: str, name: str) -> str:
    found = _hex(f"{kind} {name}")
    return f"{found[:8]}-{found[8:12]}-{found[12:16]}-{found[16:20]}-{found[20:32]}"


# What every object carries and nobody here reads.
_MANAGED = [
    {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "time": _MADE_AT,
        "fieldsType": "FieldsV1",
        "fieldsV1": {f"f:field-{number}": {".": {}, "f:name": {}} for number in range(20)},
    }
]
_ENVIRON = [{"name": f"SETTING_{number}", "value": f"value {number}"} for number in range(4)]
