"""What a projector may know besides the image records: one value for all kinds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from common.model.ignore import Ignored
from common.model.image import ImageRecord
from common.model.key import ImageKey
from common.model.vex import VexIndex

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")
ADDITIONAL_FIELDS = (
    "Description",
    "Links",
    "CVSS",
    "Target",
    "Class",
    "PackageType",
    "PackagePath",
)

# The class of findings that each of Trivy's types of packages has.
PACKAGE_CLASSES = {"os": "os-pkgs", "library": "lang-pkgs"}
NOTHING_IGNORED = Ignored()

# One container's images, the primary's first; more than one while a tag rolls or on mixed nodes.
Records: TypeAlias = Sequence[tuple[ImageKey, ImageRecord]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """The settings that shape a report."""

    severities: frozenset[str] = frozenset(SEVERITIES)
    ignored_statuses: frozenset[str] = frozenset()  # Trivy's words, such as `will_not_fix`
    package_classes: frozenset[str] = frozenset(PACKAGE_CLASSES.values())
    ignored: Ignored = NOTHING_IGNORED
    vex: VexIndex = ()
    additional_fields: frozenset[str] = frozenset()  # of ADDITIONAL_FIELDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """One container's view of its image."""

    reference: str  # as the user wrote it
    digest: str  # of what runs (the primary's); empty: unknown
    scanner_version: str
    options: ReportOptions = ReportOptions()
    hidden: frozenset[str] = frozenset()  # hashes of what an ignore policy is asked; see `policy`
