"""What Trivy's own command line tells of an image, and how it differs from what our replay tells.

The report of an inventory run holds the findings of Trivy's client: its request, its reading of the
answer, its filters. A replay does all three by itself. So a new Trivy that does one of them in
another way shows as a difference, before anything relies on it. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
from msgspec import field

from common.model.bounded import UNREADABLE
from common.model.errors import TransientError
from common.model.image import Finding

_SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")


class Told(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One finding, as far as reports go by it. The purl is left out: of twins it is chance."""

    vulnerability_id: str
    resource: str
    installed_version: str
    fixed_version: str
    severity: str
    title: str
    target: str
    package_class: str
    package_type: str
    package_path: str
    pkg_id: str

    @property
    def shown(self) -> str:
        """For people: what, where, how."""
        return (
            f"{self.vulnerability_id} {self.resource} {self.installed_version} "
            f"({self.severity}, fixed {self.fixed_version or '-'}) in {self.target}"
        )


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """What only one of the two tells."""

    only_cli: tuple[Told, ...]
    only_replay: tuple[Told, ...]

    @property
    def number(self) -> int:
        """How many findings differ."""
        return len(self.only_cli) + len(self.only_replay)


class _Vulnerability(msgspec.Struct, frozen=True):
    id: str = field(name="VulnerabilityID")
    package: str = field(name="PkgName", default="")
    installed: str = field(name="InstalledVersion", default="")
    fixed: str = field(name="FixedVersion", default="")
    source: str = field(name="SeveritySource", default="")
    rated: dict[str, int] | None = field(name="VendorSeverity", default=None)
    title: str = field(name="Title", default="")
    path: str = field(name="PkgPath", default="")
    pkg_id: str = field(name="PkgID", default="")


class _Result(msgspec.Struct, frozen=True):
    target: str = field(name="Target", default="")
    kind: str = field(name="Class", default="")
    type: str = field(name="Type", default="")
    vulnerabilities: tuple[_Vulnerability, ...] | None = field(name="Vulnerabilities", default=())


class _Report(msgspec.Struct, frozen=True):
    results: tuple[_Result, ...] | None = field(name="Results", default=())


_DECODER = msgspec.json.Decoder(_Report)


def told_by(report: bytes) -> tuple[Told, ...]:
    """Return what Trivy's JSON report tells; raises TransientError when it cannot be read."""
    try:
        decoded = _DECODER.decode(report)
    except UNREADABLE as exc:
        raise TransientError(
            f"Trivy's findings cannot be read: {exc}", reason="ReportUnreadable"
        ) from exc
    return tuple(
        Told(
            vulnerability_id=found.id,
            resource=found.package,
            installed_version=found.installed,
            fixed_version=found.fixed,
            severity=_severity(found),
            title=found.title,
            target=result.target,
            package_class=result.kind,
            package_type=result.type,
            package_path=found.path,
            pkg_id=found.pkg_id,
        )
        for result in decoded.results or ()
        for found in result.vulnerabilities or ()
    )


def told_of(findings: Iterable[Finding]) -> tuple[Told, ...]:
    """Return the same of a replay's findings."""
    return tuple(
        Told(**{name: getattr(finding, name) for name in Told.__struct_fields__})
        for finding in findings
    )


def compare(cli: Iterable[Told], replay: Iterable[Told]) -> Differences:
    """Return what only one of them tells; how often each tells it counts."""
    theirs, ours = Counter(cli), Counter(replay)
    return Differences(
        only_cli=tuple(sorted((theirs - ours).elements())),
        only_replay=tuple(sorted((ours - theirs).elements())),
    )


def _severity(found: _Vulnerability) -> str:
    """Return the rating by the advisory's source, as reports show it."""
    rank = (found.rated or {}).get(found.source, 0)
    return _SEVERITIES[rank] if 0 <= rank < len(_SEVERITIES) else "UNKNOWN"
