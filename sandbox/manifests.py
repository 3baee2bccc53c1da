"""Makes the Kubernetes objects of sample workloads, one function for each shape of owner.

Promise: every object runs on a real node as it stands, needs almost nothing of it, and ends within
a second of being asked to. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.images import SUCCEED

Manifest = dict[str, Any]

_API = {
    "Pod": "v1",
    "ReplicationController": "v1",
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
}
# 29 February: a sample CronJob has never run, unless the sandbox is up on that very day.
NEVER_SOON = "0 0 29 2 *"
_LABEL = "app.kubernetes.io/name"
# Small enough that forty of them fit on any machine; a kubelet still sets cgroups from them.
_RESOURCES = {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "32Mi"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One container: its name and the full image reference."""

    name: str
    image: str
    init: bool = False


def workload(
    kind: str,
    name: str,
    parts: Sequence[Part],
    *,
    namespace: str,
    pull_secrets: Sequence[str] = (),
) -> Manifest:
    """Return an object of one of the eight kinds that users create. Raises KeyError for others."""
    pod = _pod(parts, runs_once=kind in ("Job", "CronJob"), pull_secrets=pull_secrets)
    template = {"metadata": {"labels": {_LABEL: name}}, "spec": pod}
    return {
        "apiVersion": _API[kind],
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": {_LABEL: name}},
        "spec": pod if kind == "Pod" else _spec(kind, name, template),
    }


def namespace_object(name: str) -> Manifest:
    """Return a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _spec(kind: str, name: str, template: Mapping[str, Any]) -> Manifest:
    """Return what stands around the Pod template."""
    if kind == "Job":
        return {"template": template, "backoffLimit": 0}
    if kind == "CronJob":
        job = {"spec": {"template": template, "backoffLimit": 0}}
        return {"schedule": NEVER_SOON, "jobTemplate": job}
    if kind == "ReplicationController":
        return {"replicas": 1, "selector": {_LABEL: name}, "template": template}
    spec = {"selector": {"matchLabels": {_LABEL: name}}, "template": template}
    if kind == "StatefulSet":
        return {**spec, "replicas": 1, "serviceName": name}
    return spec if kind == "DaemonSet" else {**spec, "replicas": 1}


def _pod(parts: Sequence[Part], *, runs_once: bool, pull_secrets: Sequence[str]) -> Manifest:
    init = [_container(part, command=SUCCEED) for part in parts if part.init]
    command = SUCCEED if runs_once else ()
    secrets = [{"name": each} for each in pull_secrets]
    return {
        "containers": [_container(part, command=command) for part in parts if not part.init],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        **({"initContainers": init} if init else {}),
        **({"restartPolicy": "Never"} if runs_once else {}),
        **({"imagePullSecrets": secrets} if secrets else {}),
    }


def _container(part: Part, *, command: Sequence[str]) -> Manifest:
    return {
        "name": part.name,
        "image": part.image,
        "imagePullPolicy": "IfNotPresent",
        "resources": _RESOURCES,
        **({"command": list(command)} if command else {}),
    }
