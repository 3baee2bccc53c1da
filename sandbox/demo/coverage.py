"""Finds what a complete scan must have written and has not, from the cluster's objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sandbox.images import Pushed
from sandbox.truth import FOUND

_LABEL = "trivy-operator."
Manifest = Mapping[str, Any]


def missing(
    workloads: Iterable[Manifest],
    reports: Iterable[Manifest],
    images: Mapping[str, Pushed],
    *,
    replica_sets: Iterable[Manifest],
    ephemeral: Iterable[tuple[str, str, Manifest]] = (),
) -> list[str]:
    """Return `namespace/Kind/name/container: ReportKind` for every report that is not stored.

    A Deployment's reports stand on its ReplicaSet. `ephemeral` adds containers (namespace, Pod,
    container).
    """
    owners = {
        (one["metadata"]["namespace"], ref["name"]): one["metadata"]["name"]
        for one in replica_sets
        for ref in one["metadata"].get("ownerReferences", ())
    }
    stored = {_about(report) for report in reports}
    return sorted(
        f"{'/'.join(about)}: {kind}"
        for about, image in _wanted(workloads, owners, ephemeral)
        for kind in _kinds(image, images)
        if (*about, kind) not in stored
    )


About = tuple[str, str, str, str]  # namespace, kind, name, container


def _wanted(
    workloads: Iterable[Manifest],
    owners: Mapping[tuple[str, str], str],
    ephemeral: Iterable[tuple[str, str, Manifest]],
) -> Iterator[tuple[About, str]]:
    """Yield every container with its image."""
    for one in workloads:
        namespace, name = one["metadata"]["namespace"], one["metadata"]["name"]
        kind = one["kind"]
        if kind == "Deployment":
            kind, name = "ReplicaSet", owners.get((namespace, name), f"{name}-?")
        for container in _containers(one):
            yield (namespace, kind, name, container["name"]), container["image"]
    for namespace, pod, container in ephemeral:
        yield (namespace, "Pod", pod, container["name"]), container["image"]


def _containers(manifest: Manifest) -> Iterator[Manifest]:
    for key, value in manifest.items():
        if key in ("containers", "initContainers"):
            yield from value
        elif isinstance(value, Mapping):
            yield from _containers(value)


def _kinds(image: str, images: Mapping[str, Pushed]) -> tuple[str, ...]:
    """Return the kinds that an image gives: no SBOM without packages."""
    path = image.partition("/")[2].partition("@")[0].partition(":")[0]
    name = next(name for name, pushed in images.items() if pushed.repository == path)
    both = ("VulnerabilityReport", "ExposedSecretReport")
    return (*both, "SbomReport") if FOUND[name].packages else both


def _about(report: Manifest) -> tuple[str, str, str, str, str]:
    labels = report["metadata"]["labels"]
    return (
        labels[f"{_LABEL}resource.namespace"],
        labels[f"{_LABEL}resource.kind"],
        labels.get(f"{_LABEL}resource.name", ""),
        labels[f"{_LABEL}container.name"],
        report["kind"],
    )
