"""Builders of the values that report tests arrange: rows, image records, contexts.

Limits: `record_of` reads Trivy's own JSON by the field map alone, as an independent reading of it;
it knows nothing of the match server's form.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.model.image import Finding, ImageRecord, Inventory, Match, Os, Secret
from common.model.key import ImageKey
from common.model.workload import Container, WorkloadRow
from common.reports.body import ReportBody
from worker.project.context import ReportContext, ReportOptions

GOLDEN = Path(__file__).parent.parent / "golden" / "reports"
DIGEST = "sha256:5f1e9589cebe60732679496ff6ab50355e576e45d3728b5746c476b39a87097a"
OTHER_DIGEST = "sha256:" + "0b" * 32
REFERENCE = "127.0.0.1:5055/demo/alpine-app:1.0"
NOW = "2026-11-25T00:00:00Z"

_SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")


def golden(name: str) -> dict[str, Any]:
    """Return a golden file's JSON object."""
    loaded: dict[str, Any] = json.loads((GOLDEN / name).read_text())
    return loaded


def golden_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a golden table."""
    return list(csv.DictReader((GOLDEN / name).read_text().splitlines(), delimiter="\t"))


def image_key(digest: str = DIGEST, platform: str = "linux-amd64") -> ImageKey:
    """Return an image key."""
    return ImageKey(digest=digest, platform=platform, options="0f0f0f0f")


def finding(vulnerability_id: str = "CVE-2024-0001", **fields: Any) -> Finding:
    """Return a finding of `openssl` unless `fields` say otherwise."""
    defaults = {"resource": "openssl", "installed_version": "3.0.1", "severity": "HIGH"}
    return Finding(vulnerability_id=vulnerability_id, **{**defaults, **fields})


def secret(**fields: Any) -> Secret:
    """Return a found secret."""
    defaults = {
        "target": "/app/id_rsa",
        "rule_id": "private-key",
        "title": "Asymmetric Private Key",
        "category": "AsymmetricPrivateKey",
        "severity": "HIGH",
        "match": "****",
    }
    return Secret(**{**defaults, **fields})


def inventory(**fields: Any) -> Inventory:
    """Return the inventory of a covered image with packages."""
    defaults: dict[str, Any] = {
        "scanner_version": "0.76.0",
        "artifact_id": "sha256:aa",
        "blob_ids": ("sha256:bb",),
        "target": "registry.test/team/app@" + DIGEST,
        "os": Os(family="alpine", name="3.18.2", eosl=True),
        "covered": True,
        "has_packages": True,
    }
    return Inventory(**{**defaults, **fields})


def record(*findings: Finding, **fields: Any) -> ImageRecord:
    """Return a record with these findings; `fields` are the inventory's."""
    return ImageRecord(
        inventory=inventory(**fields),
        match=Match(db_version="2026-11-25T00:00:00Z", findings=findings),
    )


def context(reference: str = REFERENCE, digest: str = DIGEST, **options: Any) -> ReportContext:
    """Return a context; `options` are the report's."""
    return ReportContext(
        reference=reference,
        digest=digest,
        scanner_version="0.76.0",
        options=ReportOptions(**options),
    )


def row(name: str = "web-6799fc88d8", **fields: Any) -> WorkloadRow:
    """Return the row of a ReplicaSet with one container `app`."""
    defaults: dict[str, Any] = {
        "kind": "ReplicaSet",
        "namespace": "shop",
        "name": name,
        "uid": "5c5e4a6e-0000-4000-8000-000000000001",
        "api_version": "apps/v1",
        "created_at": 1_790_000_000,
        "containers": (Container(name="app", role="container", image=REFERENCE),),
    }
    return WorkloadRow(**{**defaults, **fields})


def body(kind: str = "VulnerabilityReport", **fields: Any) -> ReportBody:
    """Return a small body of `kind`."""
    return ReportBody(kind=kind, report={"summary": {"criticalCount": 1}}, **fields)


def record_of(report: Mapping[str, Any], *, sbom: dict[str, object] | None = None) -> ImageRecord:
    """Return the record of an image from the JSON that `trivy image` printed."""
    results = report.get("Results", [])
    os = report["Metadata"].get("OS", {})
    return ImageRecord(
        inventory=inventory(
            target=report["ArtifactName"],
            os=Os(family=os["Family"], name=os["Name"], eosl=os.get("EOSL", False)),
            secrets=tuple(
                secret(
                    target=result["Target"],
                    rule_id=found["RuleID"],
                    title=found["Title"],
                    category=found["Category"],
                    severity=found["Severity"],
                    match=found["Match"],
                )
                for result in results
                for found in result.get("Secrets", [])
            ),
            sbom=sbom,
        ),
        match=Match(
            db_version="2026-11-25T00:00:00Z",
            findings=tuple(
                _finding_of(result, found)
                for result in results
                for found in result.get("Vulnerabilities", [])
            ),
        ),
    )


def _finding_of(result: Mapping[str, Any], found: Mapping[str, Any]) -> Finding:
    severity = found.get("VendorSeverity", {}).get(found.get("SeveritySource"), 0)
    scores = {vendor: one.get("V3Score") for vendor, one in found.get("CVSS", {}).items()}
    vendors = [score for vendor, score in sorted(scores.items()) if vendor != "nvd" and score]
    return Finding(
        vulnerability_id=found["VulnerabilityID"],
        resource=found["PkgName"],
        installed_version=found["InstalledVersion"],
        fixed_version=found.get("FixedVersion", ""),
        severity=_SEVERITIES[severity],
        title=found.get("Title", ""),
        description=found.get("Description", ""),
        primary_link=found.get("PrimaryURL", ""),
        links=tuple(found.get("References", ())),
        published=found.get("PublishedDate", ""),
        modified=found.get("LastModifiedDate", ""),
        score=vendors[0] if vendors else scores.get("nvd"),
        cvss=found.get("CVSS", {}),
        target=result["Target"],
        package_class=result["Class"],
        package_type=result["Type"],
        package_path=found.get("PkgPath", ""),
        purl=found.get("PkgIdentifier", {}).get("PURL", ""),
    )
