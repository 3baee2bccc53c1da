"""A scanner and a matcher in memory, held to the same contracts as the real ones."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.model.errors import (
    ImageNotFoundError,
    LayerCacheMissingError,
    NoPlatformError,
    ScanTimeoutError,
    SluiceError,
)
from common.model.image import Finding, Inventory, Match, Os
from common.model.refs import parse_reference
from worker.evidence.image.inventory import InventoryJob, InventoryResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeImage:
    """What a registry would hold under one digest."""

    platforms: Sequence[str] = ()  # of an index; empty: one manifest, whatever is asked for
    has_packages: bool = True
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)  # by database version


class FakeScanner:
    """Takes stock of the images it was given, by digest. Thread-safe."""

    def __init__(self, images: Mapping[str, FakeImage]) -> None:
        self.images = dict(images)
        self.jobs: list[InventoryJob] = []  # what was asked, in order
        self.failures: list[SluiceError] = []  # raised first, one per job
        self._lock = threading.Lock()

    def inventory(self, job: InventoryJob) -> InventoryResult:
        """Take stock; see `Scanner.inventory`."""
        reference = parse_reference(job.reference)
        with self._lock:
            self.jobs.append(job)
            if self.failures:
                raise self.failures.pop(0)
        if job.deadline_s <= 0:
            raise ScanTimeoutError("the job's time was over before it began")
        image = self.images.get(reference.digest)
        if image is None:
            raise ImageNotFoundError(f"the registry does not know {reference.pull_name}")
        if image.platforms and job.platform not in image.platforms:
            raise NoPlatformError(f"no child with platform {job.platform}")
        return InventoryResult(inventory=_inventory(reference.pull_name, image), seconds=0.1)


def _inventory(target: str, image: FakeImage) -> Inventory:
    digest = target.rpartition("@")[2]
    return Inventory(
        scanner_version="0.76.0",
        artifact_id=digest,
        blob_ids=(digest,),
        target=target,
        os=Os(family="alpine", name="3.18.2") if image.has_packages else Os(),
        covered=image.has_packages,
        has_packages=image.has_packages,
        sbom={"bomFormat": "CycloneDX", "components": []} if image.has_packages else None,
    )


class FakeMatcher:
    """Matches what `FakeScanner` took stock of, under the version that is set. Thread-safe."""

    def __init__(self, images: Mapping[str, FakeImage], version: str) -> None:
        self.images = images
        self.version = version
        self.matched: list[str] = []  # artifact ids, in order
        self.failures: list[SluiceError] = []  # raised first, one per call
        self._lock = threading.Lock()

    def match(self, inventory: Inventory) -> Match:
        """Match; see `Matcher.match`."""
        with self._lock:
            self.matched.append(inventory.artifact_id)
            if self.failures:
                raise self.failures.pop(0)
        image = self.images.get(inventory.artifact_id)
        if image is None:
            raise LayerCacheMissingError("layer cache missing")
        return Match(db_version=self.version, findings=image.findings.get(self.version, ()))
