"""Compares what Trivy's own command line finds in images with what our replay finds.

Both come from one run of the scanner: one pull, one database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.model.errors import PreconditionError, SluiceError
from common.model.image import ImageRecord, ImageUse, Inventory, Match
from common.model.key import ImageKey
from common.model.spread import turn_s
from worker.evidence.image.told import Differences, compare, told_of
from worker.project.vulnerability import told_once
from worker.subject.image.plan import attempts
from worker.subject.image.pull import Pulled

_SHOWN = 10  # differences told for one image


class Images(Protocol):
    """The image table."""

    def keys(self) -> list[ImageKey]:
        """Return every image that has a record or a user."""

    def get(self, key: ImageKey) -> ImageRecord:
        """Return what is known."""

    def uses(self, key: ImageKey) -> list[ImageUse]:
        """Return how workloads name it."""


class Pulls(Protocol):
    """Whoever analyses an image."""

    def try_out(self, key: ImageKey, tries: Sequence[ImageUse]) -> Pulled:
        """Return the inventory with Trivy's own findings."""


class Matches(Protocol):
    """Whoever matches an inventory."""

    def match(self, inventory: Inventory) -> Match:
        """Return its findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What one image showed."""

    image: str
    trivy: str = ""
    findings: int = 0
    differences: Differences | None = None  # None: it could not be analysed
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Tries images one after the other."""

    images: Images
    pull: Pulls
    matcher: Matches

    def run(self, number: int) -> list[Tried]:
        """Try up to `number` images. Raises PreconditionError when none is known yet."""
        keys = chosen(self.images, number)
        if not keys:
            raise PreconditionError(
                "no image was analysed yet, so there is nothing to compare; wait for the first "
                "reports (`sluice status`)"
            )
        return [self._try(key) for key in keys]

    def _try(self, key: ImageKey) -> Tried:
        try:
            pulled = self.pull.try_out(key, attempts(_pulling(self.images, key)))
            found = told_once(self.matcher.match(pulled.inventory).findings)
        except SluiceError as error:
            return Tried(image=key.shown, error=f"{error.reason}: {error}")
        return Tried(
            image=key.shown,
            trivy=pulled.inventory.scanner_version,
            findings=len(found),
            differences=compare(pulled.told, told_of(found)),
        )


def chosen(images: Images, number: int) -> list[ImageKey]:
    """Return images that are in use and were analysed: first one of each operating system."""
    families: dict[str, list[ImageKey]] = {}
    for key in sorted(images.keys(), key=lambda each: turn_s(each, over_s=1.0)):
        record = images.get(key)
        if record.inventory is not None and _pulling(images, key):
            families.setdefault(record.inventory.os.family, []).append(key)
    rounds = range(max(map(len, families.values()), default=0))
    ordered = [keys[turn] for turn in rounds for keys in families.values() if turn < len(keys)]
    return ordered[:number]


def _pulling(images: Images, key: ImageKey) -> list[ImageUse]:
    return [use for use in images.uses(key) if use.pulls]


def verdict(tried: Iterable[Tried]) -> str:
    """Return the version that showed no difference; empty: none that can be trusted. Pure."""
    judged = [each for each in tried if each.differences is not None]
    versions = {each.trivy for each in judged}
    if len(versions) != 1 or any(each.differences.number for each in judged if each.differences):
        return ""
    if not any(each.findings for each in judged):
        return ""  # equal, because there is nothing: that proves nothing
    return versions.pop()


def doubt(tried: Iterable[Tried]) -> str:
    """Return why `verdict` names no version, with what may help. Pure."""
    judged = [each for each in tried if each.differences is not None]
    if not judged:
        return "no image could be compared; the lines above say why"
    if any(each.differences.number for each in judged if each.differences):
        return "findings differ"
    if len({each.trivy for each in judged}) > 1:
        return "more than one Trivy answered; try again once the rollout is over"
    return "equal for want of findings, which proves nothing; compare more images with --images"


def lines(tried: Iterable[Tried]) -> list[str]:
    """Return what people are told of each image. Pure."""
    told = []
    for each in tried:
        if each.differences is None:
            told.append(f"{each.image}: not compared: {each.error}")
            continue
        verb = "differs" if each.differences.number else "agrees"
        told.append(f"{each.image}: {verb}, {each.findings} findings, Trivy {each.trivy}")
        both = (
            ("only Trivy's command line", each.differences.only_cli),
            ("only our replay", each.differences.only_replay),
        )
        for who, findings in both:
            told += [f"  {who}: {finding.shown}" for finding in findings[:_SHOWN]]
            if len(findings) > _SHOWN:
                told.append(f"  {who}: {len(findings) - _SHOWN} more")
    return told


def document(tried: Iterable[Tried], version: str, *, trusts: bool = True) -> dict[str, object]:
    """Return the same for scripts. Pure."""
    return {
        "agrees": version or None,
        "trusted": (version or None) if trusts else None,
        "images": [
            {
                "image": each.image,
                "trivy": each.trivy,
                "findings": each.findings,
                "differences": each.differences.number if each.differences else None,
                "error": each.error,
            }
            for each in tried
        ],
    }
