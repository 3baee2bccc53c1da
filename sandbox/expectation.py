"""Counts what must exist once the sample workloads are scanned, without asking the product.

Promise: reads manifests and the written truth about images only; shares no rule with the product's
own code. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.images import Pushed
from sandbox.truth import FOUND


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The numbers that a complete scan of some workloads must show."""

    workloads: int
    containers: int
    images: frozenset[str]  # digests as the references resolve: an index counts once
    reports: Mapping[str, int]  # kind → objects
    changed_by_update: int  # VulnerabilityReports that differ under the later database


def expected(
    manifests: Sequence[Mapping[str, Any]],
    images: Mapping[str, Pushed],
    *,
    patches: Sequence[Mapping[str, Any]] = (),
) -> Expectation:
    """Return what scanning `manifests` of good sample images must give; `patches` add containers.

    Each manifest is one scanned workload: a Deployment counts as its one ReplicaSet, a CronJob as
    itself. Raises KeyError for an image that is no sample.
    """
    used = [
        _sample(container["image"], images)
        for manifest in (*manifests, *patches)
        for container in _containers(manifest)
    ]
    return Expectation(
        workloads=len(manifests),
        containers=len(used),
        images=frozenset(images[name].digest for name in used),
        reports={
            "VulnerabilityReport": len(used),
            "ExposedSecretReport": len(used),
            "SbomReport": sum(FOUND[name].packages > 0 for name in used),
        },
        changed_by_update=sum(FOUND[name].changes for name in used),
    )


def _containers(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every container below a manifest, wherever its Pod spec stands."""
    for key, value in manifest.items():
        if key in ("containers", "initContainers", "ephemeralContainers"):
            yield from value
        elif isinstance(value, Mapping):
            yield from _containers(value)


def _sample(reference: str, images: Mapping[str, Pushed]) -> str:
    """Return the sample that `reference` names, by its repository."""
    _, _, path = reference.partition("/")
    repository = path.partition("@")[0].partition(":")[0]
    return {each.repository: name for name, each in images.items()}[repository]
