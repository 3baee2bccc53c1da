"""What a Rego ignore policy is asked about each finding, and what follows from its answers. Pure.

A policy sees one finding at a time, as Trivy's JSON report shows it, and says whether to leave it
out. So its answer depends on nothing else, and is kept under the hash of what it saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from common.model.canonical import content_hash
from common.model.image import Finding, ImageRecord, Secret

Question: TypeAlias = Mapping[str, object]

_SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")  # Trivy's numbers of them


def questions(records: Iterable[ImageRecord]) -> dict[str, Question]:
    """Return what is to be asked of the images' findings, by hash; equal ones once."""
    return {question_hash(one): one for record in records for one in _asked(record)}


def question_hash(question: Question) -> str:
    """Return the name under which the answer is kept."""
    return content_hash(question)


def _asked(record: ImageRecord) -> Iterator[Question]:
    yield from map(about_finding, record.match.findings if record.match is not None else ())
    yield from map(about_secret, record.inventory.secrets if record.inventory is not None else ())


def about_finding(finding: Finding) -> Question:
    """Return a vulnerability as Trivy's report shows it, empty fields left out."""
    vendors = finding.vendor_severity.items()
    fields: dict[str, object] = {
        "VulnerabilityID": finding.vulnerability_id,
        "VendorIDs": list(finding.vendor_ids),
        "PkgID": finding.pkg_id,
        "PkgName": finding.resource,
        "PkgPath": finding.package_path,
        "PkgIdentifier": {"PURL": finding.purl} if finding.purl else {},
        "InstalledVersion": finding.installed_version,
        "FixedVersion": finding.fixed_version,
        "Status": finding.status,
        "Layer": finding.layer,
        "SeveritySource": finding.severity_source,
        "PrimaryURL": finding.primary_link,
        "DataSource": finding.data_source,
        "Title": finding.title,
        "Description": finding.description,
        "Severity": _known(finding.own_severity or finding.severity),
        "CweIDs": list(finding.cwe_ids),
        "VendorSeverity": {
            vendor: _SEVERITIES.index(severity)
            for vendor, severity in vendors
            if severity in _SEVERITIES
        },
        "CVSS": finding.cvss,
        "References": list(finding.links),
        "PublishedDate": finding.published,
        "LastModifiedDate": finding.modified,
    }
    return {"Type": "vulnerability", **{name: value for name, value in fields.items() if value}}


def about_secret(secret: Secret) -> Question:
    """Return a secret as Trivy's report shows it; its lines and its layer are not kept."""
    return {
        "Type": "secret",
        "RuleID": secret.rule_id,
        "Category": secret.category,
        "Severity": _known(secret.severity),
        "Title": secret.title,
        "Match": secret.match,
    }


def _known(severity: str) -> str:
    return severity if severity in _SEVERITIES else _SEVERITIES[0]
