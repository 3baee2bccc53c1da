"""Trivy's JSON report to an `Inventory`: the allow-list of what may leave the scanner.

Pure. The report holds the image's whole configuration: environment, history, labels, commands.
None of it is decoded, so none of it can be stored. Secrets keep Trivy's masked line, but those
found in the configuration keep the mask alone: the rest of such a line *is* the environment or the
history, and Trivy masks only what its rule matched.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import field

from common.model.bounded import UNREADABLE
from common.model.errors import TransientError
from common.model.image import Inventory, Os, Secret
from worker.evidence.image.scan_request import Recording

_MASK = re.compile(r"\*+")
_FULL_MASK = "********"  # when Trivy shows no mask at all: better no text than a wrong one


class _ReportedOs(msgspec.Struct, frozen=True):
    family: str = field(name="Family", default="")
    name: str = field(name="Name", default="")
    eosl: bool = field(name="EOSL", default=False)


class _ReportedSecret(msgspec.Struct, frozen=True):
    rule_id: str = field(name="RuleID", default="")
    category: str = field(name="Category", default="")
    severity: str = field(name="Severity", default="UNKNOWN")
    title: str = field(name="Title", default="")
    match: str = field(name="Match", default="")


class _Result(msgspec.Struct, frozen=True):
    target: str = field(name="Target", default="")
    kind: str = field(name="Class", default="")
    packages: tuple[msgspec.Raw, ...] | None = field(name="Packages", default=())
    secrets: tuple[_ReportedSecret, ...] | None = field(name="Secrets", default=())


class _Metadata(msgspec.Struct, frozen=True):
    os: _ReportedOs | None = field(name="OS", default=None)


class _Trivy(msgspec.Struct, frozen=True):
    version: str = field(name="Version", default="")


class _Report(msgspec.Struct, frozen=True):
    trivy: _Trivy | None = field(name="Trivy", default=None)
    artifact_name: str = field(name="ArtifactName", default="")
    metadata: _Metadata | None = field(name="Metadata", default=None)
    results: tuple[_Result, ...] | None = field(name="Results", default=())


_DECODER = msgspec.json.Decoder(_Report)


def inventory_of(report: bytes, recording: Recording) -> Inventory:
    """Return the projection of one report, without an SBOM.

    `recording` holds the keys under which the match server keeps the layers. Raises TransientError
    when `report` is not a Trivy report: the run was cut, or the version is too new.
    """
    try:
        decoded = _DECODER.decode(report)
    except UNREADABLE as exc:
        raise TransientError(
            f"Trivy's report cannot be read: {exc}", reason="ReportUnreadable"
        ) from exc
    results = decoded.results or ()
    reported = (decoded.metadata.os if decoded.metadata else None) or _ReportedOs()
    has_packages = any(result.packages for result in results)
    return Inventory(
        scanner_version=decoded.trivy.version if decoded.trivy else "",
        artifact_id=recording.artifact_id,
        blob_ids=recording.blob_ids,
        target=decoded.artifact_name,
        os=Os(family=reported.family, name=reported.name, eosl=reported.eosl),
        covered=has_packages or any(result.kind == "os-pkgs" for result in results),
        has_packages=has_packages,
        secrets=_secrets(results),
    )


def _secrets(results: tuple[_Result, ...]) -> tuple[Secret, ...]:
    found = [
        Secret(
            target=result.target,
            rule_id=secret.rule_id,
            title=secret.title,
            category=secret.category,
            severity=secret.severity,
            match=_match(result.target, secret.match),
        )
        for result in results
        for secret in result.secrets or ()
    ]
    return tuple(sorted(found, key=msgspec.structs.astuple))


def _match(target: str, line: str) -> str:
    """Return what may be shown of the line. Files have absolute paths; the configuration none."""
    if target.startswith("/"):
        return line
    mask = _MASK.search(line)
    return mask.group(0) if mask else _FULL_MASK
