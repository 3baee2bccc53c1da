"""The match server's answer to findings: an allow-listed, ordered projection.

Pure. The answer repeats every package of the image; only the named fields are decoded, so a long
one costs milliseconds. Fields follow trivy-operator's mapping (severity by the advisory's source,
score by vendor), except that the choice among vendors does not depend on the order of a Go map.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

import msgspec

from common.model.bounded import UNREADABLE
from common.model.errors import SourceUnavailableError
from common.model.image import DETAILS, Finding

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")
# Trivy's numbers of them; a newer one that is not here counts as not known.
STATUSES = (
    "unknown",
    "not_affected",
    "affected",
    "fixed",
    "under_investigation",
    "will_not_fix",
    "fix_deferred",
    "end_of_life",
)
_RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}

# RFC 3339 with the fraction that reports do not carry; Go's zero time means "not known".
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")
_ZERO_TIME = "0001-01-01T00:00:00"


class _Identifier(msgspec.Struct, frozen=True):
    purl: str = ""


class _Score(msgspec.Struct, frozen=True):
    v2_vector: str = ""
    v3_vector: str = ""
    v40_vector: str = ""
    v2_score: float = 0.0
    v3_score: float = 0.0
    v40_score: float = 0.0


class _Layer(msgspec.Struct, frozen=True):
    digest: str = ""
    diff_id: str = ""


class _DataSource(msgspec.Struct, frozen=True):
    id: str = ""
    base_id: str = ""
    name: str = ""
    url: str = ""


class _Vulnerability(msgspec.Struct, frozen=True):
    vulnerability_id: str
    pkg_name: str
    installed_version: str
    fixed_version: str = ""
    title: str = ""
    description: str = ""
    references: tuple[str, ...] | None = ()
    pkg_identifier: _Identifier | None = None
    severity_source: str = ""
    vendor_severity: dict[str, str] | None = None
    cvss: dict[str, _Score] | None = None
    primary_url: str = ""
    published_date: str | None = None
    last_modified_date: str | None = None
    pkg_path: str = ""
    severity: str = ""
    status: int = 0
    cwe_ids: tuple[str, ...] | None = ()
    vendor_ids: tuple[str, ...] | None = ()
    layer: _Layer | None = None
    data_source: _DataSource | None = None
    pkg_id: str = ""


class _Result(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    target: str = ""
    class_: str = ""
    type: str = ""
    vulnerabilities: tuple[_Vulnerability, ...] | None = ()


class _Answer(msgspec.Struct, frozen=True):
    results: tuple[_Result, ...] | None = ()


_DECODER = msgspec.json.Decoder(_Answer)
_BARE = Finding(vulnerability_id="", resource="", installed_version="")


def findings_of(answer: bytes, lacks: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return the findings in the JSON answer to a `Scan` call, worst first, then by name.

    `lacks`: the `DETAILS` that nobody asks for. Raises SourceUnavailableError when it is not an
    answer: the server speaks another version.
    """
    try:
        decoded = _DECODER.decode(answer)
    except UNREADABLE as exc:
        raise SourceUnavailableError(
            f"the match server's answer cannot be read: {exc}; is it Trivy 0.70 or newer?",
            reason="MatchServerUnreadable",
        ) from exc
    empty = {field: getattr(_BARE, field) for name in lacks for field in DETAILS[name]}
    found = (msgspec.structs.replace(one, **empty) for one in _findings(decoded))
    return tuple(sorted(found, key=_order))


def _findings(answer: _Answer) -> Iterator[Finding]:
    for result in answer.results or ():
        for found in result.vulnerabilities or ():
            yield _finding(result, found)


def _finding(result: _Result, found: _Vulnerability) -> Finding:
    return Finding(
        vulnerability_id=found.vulnerability_id,
        resource=found.pkg_name,
        installed_version=found.installed_version,
        fixed_version=found.fixed_version,
        severity=_severity(found),
        title=found.title,
        description=found.description,
        primary_link=found.primary_url,
        links=tuple(found.references or ()),
        published=_seconds(found.published_date),
        modified=_seconds(found.last_modified_date),
        score=_score(found.cvss or {}),
        cvss={vendor: _cvss(score) for vendor, score in sorted((found.cvss or {}).items())},
        target=result.target,
        package_class=result.class_,
        package_type=result.type,
        package_path=found.pkg_path,
        purl=found.pkg_identifier.purl if found.pkg_identifier else "",
        pkg_id=found.pkg_id,
        own_severity=found.severity if found.severity in _RANK else "UNKNOWN",
        status=STATUSES[found.status] if 0 <= found.status < len(STATUSES) else STATUSES[0],
        cwe_ids=tuple(found.cwe_ids or ()),
        vendor_ids=tuple(found.vendor_ids or ()),
        severity_source=found.severity_source,
        vendor_severity=dict(sorted((found.vendor_severity or {}).items())),
        data_source=_named(found.data_source, _DATA_SOURCE),
        layer=_named(found.layer, _LAYER),
    )


_DATA_SOURCE = {"ID": "id", "BaseID": "base_id", "Name": "name", "URL": "url"}
_LAYER = {"Digest": "digest", "DiffID": "diff_id"}


def _named(value: msgspec.Struct | None, names: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that are not empty, under the names of Trivy's reports."""
    fields = {name: str(getattr(value, field, "")) for name, field in names.items()}
    return {name: text for name, text in fields.items() if text}


def _severity(found: _Vulnerability) -> str:
    """Return the severity that the advisory's own source gives, as trivy-operator shows it."""
    severity = (found.vendor_severity or {}).get(found.severity_source, "UNKNOWN")
    return severity if severity in _RANK else "UNKNOWN"


def _score(cvss: dict[str, _Score]) -> float | None:
    """Return the first CVSS 3 score, vendors by name and NVD last; None when nobody gives one."""
    vendors = sorted(cvss, key=lambda vendor: (vendor == "nvd", vendor))
    return next((cvss[vendor].v3_score for vendor in vendors if cvss[vendor].v3_score), None)


def _cvss(score: _Score) -> dict[str, float | str]:
    """Return one vendor's entry under the report's key names, empty ones left out."""
    entry: dict[str, float | str] = {
        "V2Vector": score.v2_vector,
        "V3Vector": score.v3_vector,
        "V40Vector": score.v40_vector,
        "V2Score": score.v2_score,
        "V3Score": score.v3_score,
        "V40Score": score.v40_score,
    }
    return {key: value for key, value in entry.items() if value}


def _seconds(time: str | None) -> str:
    """Return an RFC 3339 time in whole seconds, or an empty text for none."""
    parts = _TIME.fullmatch(time or "")
    return "" if parts is None or parts[1] == _ZERO_TIME else parts[1] + parts[2]


def _order(finding: Finding) -> tuple[int | str, ...]:
    return (
        _RANK[finding.severity],
        finding.vulnerability_id,
        finding.resource,
        finding.package_path,
        finding.installed_version,
        finding.target,
        finding.purl,
    )
