"""Pods as the API server sends them, for tests of those who read them."""

from __future__ import annotations

from typing import Any

IMAGE = "127.0.0.1:5000/app:1"
ON_NODE = "node-1"


def container(name: str = "web", image: str = IMAGE, **more: Any) -> dict[str, Any]:
    """Return a container."""
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", **more}


def pod(
    *containers: dict[str, Any],
    node: str | None = ON_NODE,
    owner: str = "ReplicaSet",
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Return a Pod with `containers` (one, when none is given) on `node` (None: not bound)."""
    placed = {} if node is None else {"nodeName": node}
    return {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "0d2f",
            "ownerReferences": [{"kind": owner, "name": "web", "controller": True}],
        },
        "spec": {
            "schedulerName": "default-scheduler",
            "containers": list(containers or (container(),)),
            **placed,
            **spec,
        },
        "status": status or {"phase": "Pending"},
    }


def terminating(some: dict[str, Any]) -> dict[str, Any]:
    """Return the Pod with a deletion time."""
    return {
        **some,
        "metadata": {**some["metadata"], "deletionTimestamp": "2026-11-25T10:00:00Z"},
    }
