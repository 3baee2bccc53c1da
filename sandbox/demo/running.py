"""Compares what runs with what is reported, from the cluster's own objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Manifest = Mapping[str, Any]
Place = tuple[str, str, str, str]  # namespace, kind, name, container

_LABEL = "trivy-operator."
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def ran(pods: Iterable[Manifest]) -> dict[Place, set[str]]:
    """Return, for every container that a kubelet started, the digests that it ran.

    A Pod counts for its controller, as reports do. Containers that wait have no digest yet.
    """
    found: dict[Place, set[str]] = {}
    for pod in pods:
        for container, digest in _started(pod["status"]):
            found.setdefault((*_owner(pod["metadata"]), container), set()).add(digest)
    return found


def unlike(digests: Mapping[Place, Iterable[str]], reports: Iterable[Manifest]) -> list[str]:
    """Return a sentence for each container whose report names another digest than what it ran."""
    reported = {
        _about(report): report["report"]["artifact"]["digest"]
        for report in reports
        if report["kind"] == "VulnerabilityReport"
    }
    return [
        f"{'/'.join(place)} runs {digest} and its report is of {reported.get(place, 'nothing')}"
        for place, run in sorted(digests.items())
        for digest in sorted(run)
        if digest != reported.get(place)
    ]


def unfinished(jobs: Iterable[Manifest]) -> list[str]:
    """Return the Jobs that did not succeed."""
    return sorted(
        f"{job['metadata']['namespace']}/{job['metadata']['name']}"
        for job in jobs
        if not job["status"].get("succeeded")
    )


def _started(status: Manifest) -> Iterator[tuple[str, str]]:
    for name in _STATUSES:
        for one in status.get(name) or ():
            _, at, digest = one.get("imageID", "").partition("@")
            if at:
                yield one["name"], digest


def _owner(metadata: Manifest) -> tuple[str, str, str]:
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            return metadata["namespace"], reference["kind"], reference["name"]
    return metadata["namespace"], "Pod", metadata["name"]


def _about(report: Manifest) -> Place:
    labels = report["metadata"]["labels"]
    return (
        labels[f"{_LABEL}resource.namespace"],
        labels[f"{_LABEL}resource.kind"],
        labels.get(f"{_LABEL}resource.name", ""),
        labels[f"{_LABEL}container.name"],
    )
