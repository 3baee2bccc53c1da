"""Keys and outcomes for tests of the queue and its tables."""

from __future__ import annotations

from common.model.errors import SluiceError
from common.model.image import Failure, Finding, ImageUse, Inventory, Match, Os
from common.model.key import ImageKey, WorkloadKey
from common.model.workload import Container, WorkloadRow
from common.queue.contract import (
    UNKNOWN,
    Claim,
    Failed,
    Hold,
    ImageUpdate,
    Park,
    Retry,
    Settled,
    Tally,
)
from common.queue.policy import decide

LEASE_S = 60.0


def judged(error: SluiceError, claim: Claim) -> Failed:
    """Decide as the product does, but for the dice; no source has a circuit."""
    return decide(error, claim.tallies, draw=0.5)


def tallies(failures: int, waited_s: float, budget: str = UNKNOWN) -> dict[str, Tally]:
    """Return what a key that failed that often carries."""
    return {budget: Tally(failures=failures, waited_s=waited_s)} if failures else {}


def workload(name: str = "web", namespace: str = "shop", kind: str = "ReplicaSet") -> WorkloadKey:
    """Return a workload's key."""
    return WorkloadKey(kind=kind, namespace=namespace, name=name)


def workloads(number: int, prefix: str = "web") -> list[WorkloadKey]:
    """Return that many keys, in the order of their names."""
    return [workload(f"{prefix}-{index:05d}") for index in range(number)]


def image(seed: int = 1) -> ImageKey:
    """Return an image's key."""
    return ImageKey(digest=f"sha256:{seed:064x}", platform="linux-amd64", options="o1")


def row(key: WorkloadKey, reference: str = "app:1") -> WorkloadRow:
    """Return a workload's row with one container."""
    return WorkloadRow(
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        uid=f"uid-{key.name}",
        api_version="apps/v1",
        created_at=1,
        containers=(Container(name="app", role="container", image=reference),),
    )


def use(key: WorkloadKey, reference: str = "app:1") -> ImageUse:
    """Return how the workload names an image."""
    return ImageUse(workload=str(key), reference=reference, namespace=key.namespace)


def inventory(target: str = "app:1") -> Inventory:
    """Return what Trivy found in an image."""
    return Inventory(
        scanner_version="0.76.0",
        artifact_id="sha256:a",
        blob_ids=("sha256:b",),
        target=target,
        os=Os(family="alpine", name="3.20"),
        covered=True,
        has_packages=True,
    )


def match(*ids: str, version: str = "db1") -> Match:
    """Return findings under one version of the database."""
    findings = tuple(
        Finding(vulnerability_id=one, resource="musl", installed_version="1") for one in ids
    )
    return Match(db_version=version, findings=findings)


def converged(fingerprint: str = "f1", **reports: str) -> Settled:
    """Return the end of a run that wrote what there was to write."""
    return Settled(fingerprint=fingerprint, epoch=1, outcome="Converged", reports=reports)


def landed(*ids: str, version: str = "db1") -> Settled:
    """Return the end of an image's run that stored inventory and findings."""
    update = ImageUpdate(inventory=inventory(), match=match(*ids, version=version))
    return Settled(fingerprint="", epoch=1, outcome="Converged", image=update)


def failed(reason: str = "SourceUnavailable", delay_s: float = 0.0) -> Retry:
    """Return a failed run that is worth another try."""
    failure = Failure(reason=reason, message="no route", at=0.0)
    return Retry(
        delay_s=delay_s, reason=reason, message="no route", image=ImageUpdate(failure=failure)
    )


def parked(reason: str = "ImageNotFound", probe_after_s: float = 600.0) -> Park:
    """Return a run that ends in the dead letters."""
    return Park(reason=reason, message="manifest unknown", probe_after_s=probe_after_s)


def charged(error_class: str, reason: str = "", delay_s: float = 0.0) -> Retry:
    """Return a failed run that is charged to a class."""
    return Retry(delay_s=delay_s, reason=reason or error_class, message="no", budget=error_class)


def held(source: str, delay_s: float = 0.0) -> Hold:
    """Return a run that a source's fault ended."""
    return Hold(delay_s=delay_s, source=source, reason="Away", message="no route")


def used_up(error_class: str, reason: str = "") -> Park:
    """Return a run that parks its key by a class's policy."""
    return Park(reason=reason or error_class, message="no", budget=error_class, probe_after_s=600.0)
