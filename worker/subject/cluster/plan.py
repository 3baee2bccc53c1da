"""Decides what can be told about an image name now, and how its run ends. Pure, total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from common.model.clusterrow import SbomRow
from common.model.image import ImageRecord, ImageUse
from common.model.key import ImageKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Converge:
    """Everything that runs under the name is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvergePartly:
    """Some image failed; its success wakes this key."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitFor:
    """An image is being worked on; its end wakes this key."""

    on: ImageKey


End: TypeAlias = Converge | ConvergePartly | WaitFor


@dataclass(frozen=True, slots=True, kw_only=True)
class SbomPlan:
    """The images to tell of, and how the run ends."""

    images: tuple[tuple[ImageKey, ImageRecord], ...]  # each with an inventory; empty: none yet
    end: End


def uses_of(row: SbomRow, *, options: str) -> list[tuple[ImageUse, ImageKey]]:
    """Return the images that run under the name; `options` is the digest of the scan options."""
    use = ImageUse(workload=str(row.key), reference=row.reference, namespace="")
    return [
        (use, ImageKey(digest=seen.digest, platform=seen.platform, options=options))
        for seen in row.images
    ]


def plan(images: Mapping[ImageKey, tuple[ImageKey, ImageRecord]]) -> SbomPlan:
    """Choose what to tell of the images, by where their records stand.

    What waits goes before what failed, for it comes back the sooner.
    """
    known = tuple((key, record) for key, record in images.values() if record.inventory is not None)
    lacking = [(home, each[1]) for home, each in images.items() if each[1].inventory is None]
    pending = next((home for home, record in lacking if record.failure is None), None)
    failure = next((record.failure for _, record in lacking if record.failure is not None), None)
    end: End = Converge()
    if pending is not None:
        end = WaitFor(on=pending)
    elif failure is not None:
        end = ConvergePartly(reason=failure.reason)
    return SbomPlan(images=known, end=end)
