"""Pods of about 8 KB for benchmarks of the watcher, and status updates of them. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

Object = dict[str, Any]


def replica_set(number: int, *, replicas: int) -> Object:
    """Return a ReplicaSet whose Pods have 8 KB once a kubelet has told their status."""
    app, seed = f"app-{number % 12}", _digest(number)
    labels = {
        "app": app,
        "app.kubernetes.io/name": app,
        "app.kubernetes.io/instance": f"{app}-bench",
        "app.kubernetes.io/version": "1",
        "pod-template-hash": seed[:10],
        "team": "a",
    }
    annotations = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "9090",
        "checksum/config": seed,
        "kubectl.kubernetes.io/restartedAt": "2026-11-25T10:00:00Z",
    }
    spec = {
        "volumes": [
            {"name": "config", "configMap": {"name": f"{app}-config"}},
            {"name": "cache", "emptyDir": {}},
        ],
        "containers": [_container(app, number)],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "securityContext": {"fsGroup": 2000},
    }
    return {
        "metadata": {"name": f"{app}-{seed[:10]}", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"pod-template-hash": seed[:10]}},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": spec,
            },
        },
    }


def status(number: int, turn: int) -> Object:
    """Return a kubelet's status; of two turns only what no report depends on differs.

    The Pod is never ready, so that its ReplicaSet has nothing to write.
    """
    moment = f"2026-11-25T10:{turn % 60:02}:00Z"
    conditions = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    return {
        "phase": "Running",
        "conditions": [
            {"type": each, "status": "False", "lastTransitionTime": moment}
            for each in (*conditions, "PodScheduled")
        ],
        "hostIP": "10.0.0.12",
        "podIP": "10.2.3.4",
        "startTime": "2026-11-25T10:00:00Z",
        "containerStatuses": [
            {
                "name": "app",
                "image": "registry.example.com/team/app:1",
                "imageID": f"registry.example.com/team/app@sha256:{_digest(number % 12)}",
                "containerID": f"containerd://{_digest(number)}",
                "ready": False,
                "restartCount": turn,
                "state": {"running": {"startedAt": moment}},
            }
        ],
    }


def _container(app: str, number: int) -> Object:
    settings = [
        {"name": f"APP_SETTING_{each}", "value": f"value-{each}-{_digest(each)[:10]}"}
        for each in range(8)
    ]
    return {
        "name": "app",
        "image": f"registry.example.com/team/{app}:1.{number % 7}",
        "args": ["--config=/etc/app/config.yaml", "--log-level=info"],
        "ports": [
            {"name": "http", "containerPort": 8080},
            {"name": "metrics", "containerPort": 9090},
        ],
        "env": settings,
        "resources": {
            "limits": {"cpu": "500m", "memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "256Mi"},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/app"},
            {"name": "cache", "mountPath": "/var/cache/app"},
        ],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
        "securityContext": {
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
        },
    }


def _digest(seed: int) -> str:
    return hashlib.sha256(str(seed).encode()).hexdigest()
