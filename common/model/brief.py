"""As much of an image's record as pages tell of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from common.model.image import Failure, Os


class Called(NamedTuple):
    """What workloads call an image."""

    users: int
    references: tuple[str, ...]


class BriefFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What a page tells of a `Finding`."""

    vulnerability_id: str
    resource: str = ""
    installed_version: str = ""
    fixed_version: str = ""
    severity: str = "UNKNOWN"
    title: str = ""
    target: str = ""
    package_path: str = ""


class BriefSbom(msgspec.Struct, frozen=True):
    """An SBOM of which the components are counted."""

    components: list[msgspec.Raw] = []


class BriefInventory(msgspec.Struct, frozen=True, kw_only=True):
    """What a page tells of an `Inventory`; secrets are counted, and never read."""

    scanner_version: str
    os: Os
    covered: bool
    blob_ids: tuple[str, ...] = ()
    secrets: list[msgspec.Raw] = []
    sbom: BriefSbom | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What is on record about an image."""

    inventory: BriefInventory | None
    findings: Sequence[BriefFinding] | None
    failure: Failure | None
    verified_at: float | None  # Unix seconds; None: never
    database: str  # that the findings were matched with
    unread: bool  # there is more than could be read: too large, or another version's

    @property
    def empty(self) -> bool:
        """Whether nothing is on record."""
        parts = (self.inventory, self.findings, self.failure)
        return not self.unread and all(part is None for part in parts)
