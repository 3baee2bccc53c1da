"""Makes a report small enough for the API server, in a fixed order, with exact counts.

First the long texts go, then the details of one severity after the other from the lowest, at last
all details; an SBOM loses properties, then hashes, licences and suppliers, then dependencies, then
components. A severity goes whole, so that the annotation `kube-sluice/truncated` can say what is
complete: `text,UNKNOWN,LOW` leaves every finding from MEDIUM upwards. Pure, total: what does not
fit even then is returned at its smallest, and the API server will say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

from common.model.canonical import canonical_json
from common.reports.body import ReportBody
from common.reports.catalog import (
    CLUSTER_SBOM_REPORT,
    CLUSTER_VULNERABILITY_REPORT,
    EXPOSED_SECRET_REPORT,
    SBOM_REPORT,
    VULNERABILITY_REPORT,
)

# etcd refuses requests over 1.5 MiB (--max-request-bytes, 1572864); the object is stored with its
# metadata and managedFields, for which 128 KiB are kept: labels and annotations of ours are below
# 8 KiB, foreign annotations may be up to 256 KiB but hardly ever are.
REPORT_LIMIT_BYTES = 1_572_864 - 131_072

# Long enough for the sentence that tells what it is.
_TEXT_CHARACTERS = 128

# Go's encoder, which writes what etcd stores, spells these as six bytes (`\u003c`).
_ESCAPED = (b"<", b">", b"&")
_ESCAPED_WIDE = ("\u2028".encode(), "\u2029".encode())

_Report: TypeAlias = dict[str, object]
_Step: TypeAlias = tuple[str, Callable[[_Report], _Report]]


def size_bytes(report: Mapping[str, object]) -> int:
    """Return how many bytes the API server stores for `report`."""
    text = canonical_json(report)
    escaped = sum(text.count(one) for one in _ESCAPED)
    wide = sum(text.count(one) for one in _ESCAPED_WIDE)
    return len(text) + 5 * escaped + 3 * wide


def fit(body: ReportBody, limit_bytes: int = REPORT_LIMIT_BYTES) -> ReportBody:
    """Return the body, degraded step by step until it is within `limit_bytes`.

    A body that fits is returned as it is. Counts under `summary` are never touched.
    """
    for name, step in _STEPS.get(body.kind, ()):
        if size_bytes(body.report) <= limit_bytes:
            break
        report = step(body.report)
        if report != body.report:
            body = replace(body, report=report, truncated=(*body.truncated, name))
    return body


def _without(names: Iterable[str]) -> Callable[[_Report], _Report]:
    """Return a function that drops the fields `names` of one entry."""
    dropped = frozenset(names)
    return lambda entry: {name: value for name, value in entry.items() if name not in dropped}


def _short(value: object) -> object:
    if isinstance(value, str) and len(value) > _TEXT_CHARACTERS:
        return f"{value[: _TEXT_CHARACTERS - 3]}…"  # three bytes: never longer than it was
    return value


def _plain_finding(finding: _Report) -> _Report:
    """Keep what identifies a finding and how grave it is."""
    kept = _without(("description", "cvss"))(finding)
    return {**kept, "links": [], "title": _short(kept.get("title", ""))}


def _plain_secret(secret: _Report) -> _Report:
    """Keep where it lies and what it is; the masked line may be as long as the file."""
    return {**secret, "match": _short(secret.get("match")), "title": _short(secret.get("title"))}


def _entries(report: _Report, field: str) -> list[_Report]:
    """Return the list under `field`; empty where there is none."""
    found = report.get(field)
    return found if isinstance(found, list) else []


def _each(field: str, change: Callable[[_Report], _Report]) -> Callable[[_Report], _Report]:
    """Return a step that changes every entry of the list `field`."""
    return lambda report: {**report, field: [change(one) for one in _entries(report, field)]}


def _less(field: str, severity: str) -> Callable[[_Report], _Report]:
    """Return a step that leaves the entries of one severity out of the list `field`."""
    return lambda report: {
        **report,
        field: [one for one in _entries(report, field) if one.get("severity") != severity],
    }


def _empty(field: str) -> Callable[[_Report], _Report]:
    """Return a step that empties the list `field`."""
    return lambda report: {**report, field: []}


def _in_bom(step: Callable[[_Report], _Report]) -> Callable[[_Report], _Report]:
    """Return a step on the document under `components`."""

    def inside(report: _Report) -> _Report:
        bom = report.get("components")
        return {**report, "components": step(bom)} if isinstance(bom, dict) else report

    return inside


def _plain_bom(names: Iterable[str]) -> Callable[[_Report], _Report]:
    """Return a step that drops `names` of every component, the described one too."""
    drop = _without(names)

    def plain(bom: _Report) -> _Report:
        metadata = bom.get("metadata")
        if isinstance(metadata, dict) and isinstance(metadata.get("component"), dict):
            bom = {**bom, "metadata": {**metadata, "component": drop(metadata["component"])}}
        return _each("components", drop)(bom)

    return _in_bom(plain)


_FINDINGS = "vulnerabilities"
_SECRETS = "secrets"
_FINDING_STEPS: tuple[_Step, ...] = (
    ("text", _each(_FINDINGS, _plain_finding)),
    ("UNKNOWN", _less(_FINDINGS, "UNKNOWN")),
    ("LOW", _less(_FINDINGS, "LOW")),
    ("MEDIUM", _less(_FINDINGS, "MEDIUM")),
    ("HIGH", _less(_FINDINGS, "HIGH")),
    ("details", _empty(_FINDINGS)),
)
_BOM_STEPS: tuple[_Step, ...] = (
    ("properties", _plain_bom(("properties",))),
    ("text", _plain_bom(("hashes", "licenses", "supplier"))),
    ("dependencies", _in_bom(_empty("dependencies"))),
    ("details", _in_bom(_empty("components"))),
)
_STEPS: dict[str, tuple[_Step, ...]] = {
    CLUSTER_SBOM_REPORT: _BOM_STEPS,
    CLUSTER_VULNERABILITY_REPORT: _FINDING_STEPS,
    VULNERABILITY_REPORT: _FINDING_STEPS,
    SBOM_REPORT: _BOM_STEPS,
    EXPOSED_SECRET_REPORT: (
        ("text", _each(_SECRETS, _plain_secret)),
        ("LOW", _less(_SECRETS, "LOW")),
        ("MEDIUM", _less(_SECRETS, "MEDIUM")),
        ("HIGH", _less(_SECRETS, "HIGH")),
        ("details", _empty(_SECRETS)),
    ),
}
