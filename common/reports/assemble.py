"""The full report object, and how it meets what is stored already. Pure, total."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from common.model.canonical import ContentHash
from common.model.image import Os
from common.model.key import ImageKey
from common.model.workload import WorkloadRow
from common.reports.body import ReportBody, body_hash
from common.reports.catalog import API_VERSION, CLUSTER_SBOM_REPORT, SBOM_REPORT
from common.reports.labels import OWN_ANNOTATIONS, OWN_LABELS, report_annotations, report_labels
from common.reports.naming import collision_name, container_report_name
from common.reports.stamp import Stamp, StampArtifact, StampInput, render


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPolicy:
    """What the settings add to every report."""

    additional: Mapping[str, str] = field(default_factory=dict)
    report_ttl: str = ""  # Go duration such as 24h0m0s; empty: no lifetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One report as it must be, short of the stamp and the time of writing."""

    name: str
    container: str
    row: WorkloadRow
    body: ReportBody
    content_hash: ContentHash
    labels: Mapping[str, str]
    annotations: Mapping[str, str]  # the stamp's two left out

    @property
    def namespace(self) -> str:
        """The workload's."""
        return self.row.namespace

    @property
    def owner_uid(self) -> str:
        """Whose report it is."""
        return self.row.uid

    @property
    def owners(self) -> list[dict[str, object]]:
        """The workload, as the one owner."""
        return [owner_reference(self.row)]

    @property
    def shown(self) -> str:
        """`Kind/namespace/name`, as facts and the settled table name it."""
        return f"{self.body.kind}/{self.row.namespace}/{self.name}"

    def sidestep(self) -> Draft:
        """Return the draft under a name of its own: another live owner holds the plain one."""
        return replace(self, name=collision_name(self.row.kind, self.row.uid, self.container))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDraft:
    """One report about the cluster as it must be, short of the stamp and the time of writing."""

    name: str
    body: ReportBody
    content_hash: ContentHash
    labels: Mapping[str, str]
    annotations: Mapping[str, str]  # the stamp's two left out

    owner_name: str = ""  # of the ClusterSbomReport that it is about; empty: it has no owner
    owner_uid: str = ""

    namespace: str = field(default="", init=False)

    @property
    def owners(self) -> list[dict[str, object]]:
        """The ClusterSbomReport as the one owner, or none."""
        if not self.owner_name:
            return []
        return [_reference(API_VERSION, CLUSTER_SBOM_REPORT, self.owner_name, uid=self.owner_uid)]

    @property
    def shown(self) -> str:
        """`Kind//name`: no namespace stands between."""
        return f"{self.body.kind}//{self.name}"

    def sidestep(self) -> ClusterDraft:
        """Return the same: what a name is made of is what the report is about."""
        return self


AnyDraft: TypeAlias = Draft | ClusterDraft


def draft(row: WorkloadRow, container: str, body: ReportBody, *, policy: LabelPolicy) -> Draft:
    """Return the report about `container` under its plain name."""
    return Draft(
        name=container_report_name(row.kind, row.name, container),
        container=container,
        row=row,
        body=body,
        content_hash=body_hash(body),
        labels=report_labels(body.kind, row, container, additional=policy.additional),
        annotations=report_annotations(body, row, report_ttl=policy.report_ttl),
    )


def owner_reference(row: WorkloadRow) -> dict[str, object]:
    """Return the one owner of the report.

    `blockOwnerDeletion` is false: true would need a permission on the owner's finalizers.
    """
    return _reference(row.api_version, row.kind, row.name, uid=row.uid)


def _reference(api_version: str, kind: str, name: str, *, uid: str) -> dict[str, object]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def stamp_of(
    wanted: AnyDraft, *, epoch: int, generation: int, inputs: Iterable[ImageKey], db_version: str
) -> Stamp:
    """Return the stamp of the report, with what its body says about image and findings.

    `generation` is the `metadata.generation` that the write will give.
    """
    report = wanted.body.report
    artifact = {**_mapping(report, "registry"), **_mapping(report, "artifact")}
    os = _mapping(report, "os")
    return Stamp(
        content_hash=wanted.content_hash,
        epoch=epoch,
        generation=generation,
        inputs=tuple(map(StampInput.of, inputs)),
        summary={
            name: count
            for name, count in _mapping(report, "summary").items()
            if isinstance(count, int)
        },
        artifact=StampArtifact(
            registry=str(artifact.get("server", "")),
            repository=str(artifact.get("repository", "")),
            tag=str(artifact.get("tag", "")),
            digest=str(artifact.get("digest", "")),
        ),
        os=Os(
            family=str(os.get("family", "")),
            name=str(os.get("name", "")),
            eosl=os.get("eosl") is True,
        ),
        covered=wanted.body.covered,
        db_version=db_version,
    )


def _mapping(report: Mapping[str, object], field: str) -> dict[str, object]:
    """Return the object under `field`; empty where the kind has none."""
    found = report.get(field)
    return found if isinstance(found, dict) else {}


class Existing(Protocol):
    """Metadata of a stored report, as the API server gives it."""

    @property
    def labels(self) -> Mapping[str, str]:
        """All labels, ours and foreign."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """All annotations, ours and foreign."""

    @property
    def resource_version(self) -> str:
        """The version that a write is based on."""


def assemble(
    wanted: AnyDraft, stamp: Stamp, *, now: str, existing: Existing | None = None
) -> dict[str, object]:
    """Return the object to create, or to put in place of `existing`.

    `now` is RFC 3339 in UTC with whole seconds. Foreign labels and annotations of `existing`
    stay, ours are overwritten, our stale ones go. An owner is replaced, never merged: a second
    controller beside ours would be refused for ever.
    """
    annotations = {**wanted.annotations, **render(stamp)}
    metadata: dict[str, object] = {
        "name": wanted.name,
        "labels": dict(wanted.labels),
        "annotations": annotations,
        "ownerReferences": list(wanted.owners),
    }
    if wanted.namespace:
        metadata["namespace"] = wanted.namespace
    if existing is not None:
        metadata["resourceVersion"] = existing.resource_version
        metadata["labels"] = {**_foreign(existing.labels, OWN_LABELS), **wanted.labels}
        metadata["annotations"] = {
            **_foreign(existing.annotations, OWN_ANNOTATIONS),
            **annotations,
        }
    return {
        "apiVersion": API_VERSION,
        "kind": wanted.body.kind,
        "metadata": metadata,
        "report": _dated(wanted.body, now),
    }


def _dated(body: ReportBody, now: str) -> dict[str, object]:
    """Add the times that the body's hash must not see."""
    report = {"updateTimestamp": now, **body.report}
    bom = report.get("components")
    if body.kind in (SBOM_REPORT, CLUSTER_SBOM_REPORT) and isinstance(bom, dict):
        metadata = {"timestamp": now, **bom.get("metadata", {})}
        report["components"] = {**bom, "metadata": metadata}
    return report


def metadata_patch(wanted: AnyDraft, stamp: Stamp, *, existing: Existing) -> dict[str, object]:
    """Return the JSON merge patch that makes stored metadata the wanted one; the body stays."""
    annotations = {**wanted.annotations, **render(stamp)}
    return {
        "metadata": {
            "resourceVersion": existing.resource_version,
            "labels": _patched(existing.labels, OWN_LABELS, wanted.labels),
            "annotations": _patched(existing.annotations, OWN_ANNOTATIONS, annotations),
            "ownerReferences": list(wanted.owners),
        }
    }


def _foreign(stored: Mapping[str, str], own: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in stored.items() if name not in own}


def _patched(
    stored: Mapping[str, str], own: frozenset[str], wanted: Mapping[str, str]
) -> dict[str, str | None]:
    """Return the wanted ones, and a null for each stored one of ours that is not wanted."""
    stale = sorted(own & stored.keys() - wanted.keys())
    return {**dict.fromkeys(stale), **wanted}
