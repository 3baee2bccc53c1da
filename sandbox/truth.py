"""What Trivy finds in each sample image, written down by hand: tests and demos measure against it.

Promise: an integration test compares every line with the real Trivy 0.76. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is to find in one image on linux/amd64."""

    packages: int
    before: Mapping[str, int] = field(default_factory=dict)  # severity → findings, level 1
    after: Mapping[str, int] = field(default_factory=dict)  # the same, level 2
    secrets: tuple[str, ...] = ()  # rule of each, sorted

    @property
    def changes(self) -> bool:
        """Whether the later database brings news for this image."""
        return self.before != self.after


_ALPINE = {"CRITICAL": 3, "HIGH": 2, "MEDIUM": 4}
_ALPINE_LATER = {"CRITICAL": 3, "HIGH": 2, "MEDIUM": 14}
_DEBIAN = {"CRITICAL": 1, "HIGH": 4, "LOW": 2}
_DEBIAN_NODE = {"CRITICAL": 3, "HIGH": 6, "LOW": 3}
_GO = {"CRITICAL": 1, "HIGH": 1, "MEDIUM": 1, "UNKNOWN": 1}

FOUND: Final[Mapping[str, Found]] = {
    "alpine-app": Found(packages=9, before=_ALPINE, after=_ALPINE_LATER),
    "alpine-python": Found(
        packages=14,
        before={"CRITICAL": 4, "HIGH": 3, "MEDIUM": 6},
        after={"CRITICAL": 4, "HIGH": 3, "MEDIUM": 17},
    ),
    "alpine-node": Found(
        packages=13,
        before={"CRITICAL": 5, "HIGH": 4, "MEDIUM": 4, "LOW": 1},
        after={"CRITICAL": 5, "HIGH": 4, "MEDIUM": 14, "LOW": 1},
    ),
    "debian-app": Found(packages=8, before=_DEBIAN, after=_DEBIAN),
    "debian-node": Found(packages=12, before=_DEBIAN_NODE, after=_DEBIAN_NODE),
    "go-app": Found(packages=4, before=_GO, after=_GO),
    "secrets": Found(
        packages=4,
        secrets=("aws-access-key-id", "aws-secret-access-key", "github-pat", "private-key"),
    ),
    "clean": Found(packages=4),
    "empty": Found(packages=0),
    "multi": Found(packages=9, before=_ALPINE, after=_ALPINE_LATER),
}
