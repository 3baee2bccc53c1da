"""A small report as a worker writes it, for a real API server. Pure."""

from __future__ import annotations

from typing import Any

from common.reports.labels import CONTAINER_NAME, MANAGED_BY, MANAGER, naming_labels
from common.reports.stamp import Stamp, StampArtifact, render

CONTENT_HASH = "ab" * 16
_COUNTS = ("criticalCount", "highCount", "mediumCount", "lowCount", "unknownCount")


def report(namespace: str, owner: str, *, container: str = "app", uid: str = "") -> dict[str, Any]:
    """Return the VulnerabilityReport about a container of a ReplicaSet.

    Without its `uid` it is about one by name only: the garbage collector leaves it alone.
    """
    stamp = Stamp(
        content_hash=CONTENT_HASH,
        epoch=1,
        generation=1,
        artifact=StampArtifact(repository="app", tag="1"),
    )
    return {
        "apiVersion": "aquasecurity.github.io/v1alpha1",
        "kind": "VulnerabilityReport",
        "metadata": {
            "name": f"replicaset-{owner}-{container}",
            "labels": {
                **naming_labels("ReplicaSet", namespace, owner),
                CONTAINER_NAME: container,
                MANAGED_BY: MANAGER,
            },
            "annotations": render(stamp),
            "ownerReferences": [_reference(owner, uid)] if uid else [],
        },
        "report": {
            "artifact": {"repository": "app", "tag": "1"},
            "os": {"family": "", "name": ""},
            "registry": {"server": "registry.example"},
            "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "0.76.0"},
            "summary": dict.fromkeys(_COUNTS, 0),
            "updateTimestamp": "2026-11-25T10:00:00Z",
            "vulnerabilities": [],
        },
    }


def _reference(owner: str, uid: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": owner,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
