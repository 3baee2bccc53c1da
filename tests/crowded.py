"""Tables of a cluster of any size, as watcher and workers leave them: for tests of pages."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.model.circuit import Fail
from common.model.facts import Fact
from common.model.image import Failure, Finding, ImageUse, Match
from common.model.key import ImageKey, WorkloadKey
from common.model.workload import Container, Running, WorkloadRow, fingerprint
from common.overview.documents import Document
from common.overview.tables import Tables
from common.queue.contract import Add, Claim, ImageUpdate, Lane, Outcome, Park, Retry, Settled
from common.state.database import DatabaseRow
from common.state.fence import FenceTable
from common.state.leader import LeaderTable
from tests.evidence import inventory, packages

WORKLOADS, IMAGES = 240, 40  # in tests that only look
CVE = "CVE-2026-31415"  # every tenth image has it
MISSING = "CVE-2026-27182"  # no image has it
_NAMESPACES = ("shop", "payments", "search", "media", "platform", "identity", "reporting", "data")
_NAMES = ("frontend", "checkout", "cart", "ledger", "indexer", "gateway", "resizer", "mailer")
_REPOSITORIES = ("registry.example/team", "ghcr.io/acme", "docker.io/library")
_AT_ONCE = 500
_SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "LOW")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """What was put into the tables."""

    rows: Sequence[WorkloadRow]
    images: Sequence[ImageKey]


def image_key(number: int) -> ImageKey:
    """Return the key of an image."""
    return ImageKey(
        digest=f"sha256:{hashlib.sha256(b'%d' % number).hexdigest()}",
        platform="linux-amd64",
        options="0f0f",
    )


def reference(number: int) -> str:
    """Return what its users call it."""
    name = _NAMES[number % len(_NAMES)]
    return f"{_REPOSITORIES[number % len(_REPOSITORIES)]}/{name}-{number}:1.{number}"


def row(number: int, images: int) -> WorkloadRow:
    """Return a workload that runs one image."""
    name, used = f"{_NAMES[number % len(_NAMES)]}-{number:04d}", number % images
    image = image_key(used)
    return WorkloadRow(
        kind="ReplicaSet",
        namespace=_NAMESPACES[number % len(_NAMESPACES)],
        name=f"{name}-7d9c{number % 97:02d}",
        uid=f"uid-{number}",
        api_version="apps/v1",
        created_at=0,
        containers=(
            Container(
                name="app",
                role="container",
                image=reference(used),
                running=(Running(digest=image.digest, platform=image.platform),),
            ),
        ),
        has_pods=True,
        top_kind="Deployment",
        top_name=name,
        service_account=_NAMES[number % len(_NAMES)],
    )


def match(number: int) -> Match:
    """Return the findings of an image."""
    names = packages(40, seed=number % 7)
    findings = [
        Finding(
            vulnerability_id=f"CVE-20{16 + at % 11}-{1000 + (number * 31 + at * 97) % 58000}",
            resource=names[at % 40][0],
            installed_version=names[at % 40][1],
            fixed_version=f"{names[at % 40][1]}.1" if at % 3 else "",
            severity=_SEVERITIES[at % len(_SEVERITIES)],
            title=f"{names[at % 40][0]}: heap overflow while a crafted certificate is decoded",
            target="app (debian 12.5)",
        )
        for at in range(60)
    ]
    if number % 10 == 0:
        findings.append(
            Finding(
                vulnerability_id=CVE,
                resource="libssl3",
                installed_version="3.0.11-1~deb12u2",
                fixed_version="3.0.14-1~deb12u1",
                severity="CRITICAL",
                title="openssl: possible code execution while a handshake is parsed",
                target="app (debian 12.5)",
            )
        )
    return Match(db_version=_hours_ago(5), findings=tuple(findings))


def fill(tables: Tables, *, workloads: int, images: int, trouble: bool = False) -> Crowd:
    """Fill the tables; with `trouble` some of everything fails, waits and runs."""
    tables.database.publish(
        DatabaseRow(version=_hours_ago(5), server_url="http://m:1", trivy_version="0.76.1")
    )
    fence = FenceTable(tables.client, tables.names).take()
    LeaderTable(tables.client, tables.names, me="kube-sluice-watcher-7c9f").alive(fence=fence)
    rows = [row(number, images) for number in range(workloads)]
    _store(tables, rows, fence)
    keys = [image_key(number) for number in range(images)]
    used = rows[:images] if workloads >= images else rows
    for at, each in enumerate(rows):
        tables.images.lookup(_use(each), [keys[at % images]])
    at_key = {key: at for at, key in enumerate(keys)}
    _end(tables, "scan", lambda claim: _scanned(claim, at_key, trouble=trouble))
    _end(tables, "reconcile", _ends({each.key: at for at, each in enumerate(rows)}, rows,
                                    trouble=trouble))  # fmt: skip
    if trouble:
        _trouble(tables, rows, fence)
    tables.queue.beat("worker-5b7d-reconcile-0", lease_s=600)
    return Crowd(rows=rows, images=keys[: len(used)])


def reports_of(crowd: Crowd) -> Callable[[WorkloadKey], list[Document]]:
    """Return what the watcher knows of reports: one of each kind, of every workload."""
    numbers = {each.key: at for at, each in enumerate(crowd.rows)}

    def reports(key: WorkloadKey) -> list[Document]:
        at = numbers.get(key)
        if at is None:
            return []
        counts: dict[str, int] = {
            "critical": 12 + (at % 10 == 0), "high": 12, "medium": 12, "low": 24, "unknown": 0,
        }  # fmt: skip
        return [_report(key, "VulnerabilityReport", counts), _report(key, "SbomReport", None)]

    return reports


def _report(key: WorkloadKey, kind: str, counts: dict[str, int] | None) -> Document:
    return {
        "kind": kind,
        "namespace": key.namespace,
        "name": f"replicaset-{key.name}-app",
        "container": "app",
        "counts": counts,
        "ours": True,
        "edited": False,
        "epoch": 1,
    }


def _store(tables: Tables, rows: Sequence[WorkloadRow], fence: int) -> None:
    for part in _parts(rows):
        adds = [Add(key=each.key, row=each, cause="RowChanged", lane=Lane.BULK) for each in part]
        tables.queue.add(adds, fence=fence)


def _use(each: WorkloadRow) -> ImageUse:
    return ImageUse(
        workload=str(each.key),
        reference=each.containers[0].image,
        namespace=each.namespace,
        kubelet_ran_it=True,
    )


def _end(tables: Tables, pool: str, outcome: Callable[[Claim], Outcome]) -> None:
    worker = f"worker-5b7d-{pool}-0"
    while claims := tables.queue.claim(pool, worker, limit=_AT_ONCE, lease_s=600):
        tables.queue.complete(worker, [(claim, outcome(claim)) for claim in claims])


def _scanned(claim: Claim, numbers: dict[Any, int], *, trouble: bool) -> Outcome:
    assert isinstance(claim.key, ImageKey)
    number = numbers[claim.key]
    if trouble and number % 40 == 7:
        failure = Failure(reason="ImageNotFound", message="the registry does not know it", at=1.0)
        return Park(reason="ImageNotFound", message="the registry does not know it",
                    probe_after_s=7_200, image=ImageUpdate(failure=failure))  # fmt: skip
    known = inventory(packages(40, seed=number % 7), seed=number)
    return Settled(fingerprint="", epoch=0, outcome="Converged",
                   image=ImageUpdate(inventory=known, match=match(number)))  # fmt: skip


def _ends(
    numbers: dict[Any, int], rows: Sequence[WorkloadRow], *, trouble: bool
) -> Callable[[Claim], Outcome]:
    def outcome(claim: Claim) -> Outcome:
        number = numbers[claim.key]
        what = "Converged"
        if trouble and number % 50 == 3:
            return Park(
                reason="TooLarge", message="the API server refuses 3.2 MB", probe_after_s=7_000
            )
        if trouble and number % 50 == 9:
            return Retry(delay_s=300, reason="SourceUnavailable", budget="SourceUnavailable",
                         message="registry.example does not answer")  # fmt: skip
        if trouble and number % 40 == 7:
            what = "Partial:ImageNotFound"
        return Settled(fingerprint=fingerprint(rows[number]), epoch=0, outcome=what)

    return outcome


def _trouble(tables: Tables, rows: Sequence[WorkloadRow], fence: int) -> None:
    """Leave some keys queued and some running, and a registry that does not answer."""
    for each in rows[:30]:
        tables.queue.add([Add(key=each.key, cause="ReportEdited")], fence=fence)
    tables.queue.claim("reconcile", "worker-5b7d-reconcile-0", limit=6, lease_s=600)
    fail = Fail(
        key=str(rows[0].key),
        failed_before=False,
        reason="SourceUnavailable",
        message="connection refused",
    )
    for _ in range(12):
        tables.circuits.failed("registry/registry.example", fail)
    tables.ledger.append([Fact(kind="relisted", data={"resource": "pods", "reason": "start"})])


def _parts(rows: Sequence[WorkloadRow]) -> Iterator[list[WorkloadRow]]:
    each = iter(rows)
    while part := list(itertools.islice(each, _AT_ONCE)):
        yield part


def _hours_ago(hours: int) -> str:
    now = datetime.now(tz=UTC).timestamp()
    return datetime.fromtimestamp(now - hours * 3600, tz=UTC).isoformat(timespec="seconds")
