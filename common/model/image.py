"""What is kept about one image: the inventory (once per digest) and the match (per database).

Both are allow-listed projections of Trivy's output: nothing of the image's environment, history or
labels is ever stored. Wire format v1: JSON; a field that is added has a default and is left out
where it has it, so that older records decode and hash as before. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from common.model.canonical import ContentHash, content_hash
from common.model.key import ImageKey


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that Trivy found in the image; `match` is masked by Trivy."""

    target: str
    rule_id: str
    title: str
    category: str
    severity: str
    match: str


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One vulnerability of one package, as the match server answered it."""

    vulnerability_id: str
    resource: str
    installed_version: str
    fixed_version: str = ""
    severity: str = "UNKNOWN"
    title: str = ""
    description: str = ""
    primary_link: str = ""
    links: tuple[str, ...] = ()
    published: str = ""  # RFC 3339 or empty
    modified: str = ""
    score: float | None = None  # None: no vendor gives one
    cvss: dict[str, dict[str, float | str]] = {}
    target: str = ""
    package_class: str = ""
    package_type: str = ""
    package_path: str = ""
    purl: str = ""
    # What Trivy's own filters go by; `severity` is the one that trivy-operator shows.
    own_severity: str = ""  # empty: an older match, which did not keep it
    status: str = ""  # Trivy's word, such as `will_not_fix`; empty: an older match
    cwe_ids: tuple[str, ...] = ()
    # What ignore policies may look at besides; all under Trivy's own names.
    vendor_ids: tuple[str, ...] = ()
    severity_source: str = ""
    vendor_severity: dict[str, str] = {}
    data_source: dict[str, str] = {}
    layer: dict[str, str] = {}
    pkg_id: str = ""  # Trivy's own name of the installed package; two architectures have two


# What reports show only where settings ask for it, and what ignore policies alone look at: a third
# of all evidence and more. By name, the fields of a finding.
DETAILS: Mapping[str, tuple[str, ...]] = {
    "Description": ("description",),
    "Links": ("links",),
    "CVSS": ("cvss",),
    "Policy": (
        *("cwe_ids", "vendor_ids", "severity_source", "vendor_severity", "data_source", "layer"),
    ),
}


class Os(msgspec.Struct, frozen=True, kw_only=True):
    """The operating system that Trivy recognised; an empty family: none."""

    family: str = ""
    name: str = ""
    eosl: bool = False


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """What the match server is asked about an image: Trivy's own cache keys, and the name."""

    artifact_id: str
    blob_ids: tuple[str, ...]
    target: str


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What Trivy found in the image's layers, once per digest, platform and scan options."""

    scanner_version: str
    artifact_id: str  # Trivy's own cache keys: replayed to the match server
    blob_ids: tuple[str, ...]
    target: str  # the name under which Trivy scanned it; part of finding targets
    os: Os
    covered: bool  # False: no package database that Trivy knows, so zero findings prove nothing
    has_packages: bool
    secrets: tuple[Secret, ...] = ()
    # The reduced CycloneDX document as reports carry it, without timestamps; None: no packages.
    sbom: dict[str, object] | None = None

    @property
    def layers(self) -> Layers:
        """What the match server is asked about it."""
        return Layers(artifact_id=self.artifact_id, blob_ids=self.blob_ids, target=self.target)


class Match(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The findings of an inventory under one version of the database."""

    db_version: str  # UpdatedAt of the vulnerability database
    findings: tuple[Finding, ...]
    lacks: tuple[str, ...] = ()  # names of `DETAILS` that were not kept; an older match has all

    @property
    def findings_hash(self) -> ContentHash:
        """Equal findings, equal hash, whatever the database's version."""
        return content_hash(msgspec.to_builtins(self.findings))


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an image has no (newer) record. Users of many tenants read it."""

    reason: str
    message: str  # names no registry and no repository
    at: float  # Unix seconds, Redis time
    attempts: int = 0
    detail: str = ""  # the same with its names, for workloads of the namespace `whose` alone
    whose: str = ""

    def told_to(self, namespace: str) -> str:
        """Return what a workload of that namespace may read."""
        return self.detail if self.detail and self.whose == namespace else self.message


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about an image; `inventory` and `match` stay when a refresh fails."""

    inventory: Inventory | None = None
    match: Match | None = None
    failure: Failure | None = None
    # When the match server was last asked about it, Unix seconds by Redis' clock; None: never, or
    # before this was kept.
    verified_at: float | None = None

    @property
    def ready(self) -> bool:
        """Whether reports can be built from it."""
        return self.inventory is not None and self.match is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageState:
    """What a sweep asks about an image: what is on record, and whether anybody will look at it."""

    key: ImageKey
    used: bool  # by any workload
    has_inventory: bool = False
    has_match: bool = False
    fails: bool = False
    database: str = ""  # that the match was made with
    verified_at: float | None = None  # as in `ImageRecord`
    image_queued: bool = False  # queued, running, delayed or parked: its own key
    match_queued: bool = False  # the same of its match's key


class ImageUse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one workload names an image: what a worker needs to pull it. Names only, no secrets."""

    workload: str  # wire form of its key, or of a cluster's one that reports the image
    reference: str  # as the user wrote it
    namespace: str  # empty: not a workload's
    service_account: str = "default"
    pull_secrets: tuple[str, ...] = ()
    kubelet_ran_it: bool = False
    digest: str = ""  # the image's in this workload's repository; empty: that of the image's key
    # Of the workload's annotations; None: what the settings say.
    skip_files: tuple[str, ...] | None = None
    skip_dirs: tuple[str, ...] | None = None

    @property
    def pulls(self) -> bool:
        """Whether a pod could pull it so; reports about the cluster use an image, and cannot."""
        return bool(self.namespace)
