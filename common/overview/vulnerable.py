"""Which images have a vulnerability: a look through the findings of every image, piece by piece.

Nothing is indexed, so nothing must be kept: evidence lies compressed in Redis, an image takes half
a millisecond to be looked through, and after each piece others get as long a turn. A look ends when
its time is up, or its answer is full, and says where the next one goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.model.brief import BriefFinding
from common.model.key import ImageKey
from common.overview.view import Document

_AT_ONCE = 8  # images: 200 KB as they are stored; unpacked one by one
_IMAGES = 50  # of one answer
_PACKAGES = 50  # told of one image
LOOK_S = 2.0

# As advisories are called; none needs an escape in JSON.
_NAME = re.compile(r"[A-Za-z]{2,12}-[A-Za-z0-9:._-]{2,50}")


class Briefs(Protocol):
    """Image records, as pages read them."""

    def findings(
        self, keys: Sequence[ImageKey], vulnerability: str
    ) -> list[Sequence[BriefFinding] | None]:
        """Return what is known of one vulnerability in each image; None: it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found."""

    found: Sequence[tuple[ImageKey, Sequence[BriefFinding]]]
    looked: int  # images of this look
    unread: int  # of these: what is on record of them cannot be read, or is too large
    left: int  # that it did not come to
    after: str  # where the next one goes on; empty: it is through


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Time, and how to let others have some of it."""

    monotonic: Callable[[], float]
    rest: Callable[[float], object]  # for seconds


def name_of(text: str) -> str:
    """Return the vulnerability's name that a user means; empty: the text is none.

    `cve-2024-1` is CVE-2024-1; of names with another beginning each letter counts.
    """
    if _NAME.fullmatch(text) is None:
        return ""
    head, _, rest = text.partition("-")
    match head.upper():
        case "CVE":
            return text.upper()
        case "GHSA":
            return f"GHSA-{rest.lower()}"
        case _ if any(character.isdigit() for character in rest) and head.isupper():
            return text
        case _:
            return ""


def look_through(
    briefs: Briefs, keys: Sequence[ImageKey], vulnerability: str, *, after: str, pace: Pace
) -> Look:
    """Look through the images behind `after`, in the order of their keys. Raises SluiceError."""
    asked = sorted((str(key), key) for key in keys)
    todo = [(text, key) for text, key in asked if text > after]
    until_s, at, unread = pace.monotonic() + LOOK_S, 0, 0
    found: list[tuple[ImageKey, Sequence[BriefFinding]]] = []
    while at < len(todo) and len(found) < _IMAGES:
        began_s = pace.monotonic()
        if began_s >= until_s:
            break
        part = [key for _, key in todo[at : at + _AT_ONCE]]
        answers = briefs.findings(part, vulnerability)
        unread += answers.count(None)
        found += [(key, each) for key, each in zip(part, answers, strict=True) if each]
        at += len(part)
        pace.rest(pace.monotonic() - began_s)
    left = len(todo) - at
    after = todo[at - 1][0] if left and at else after
    return Look(found=found, looked=at, unread=unread, left=left, after=after if left else "")


def told(finding: BriefFinding) -> Document:
    """Return what JSON shows of one package."""
    return {
        "id": finding.vulnerability_id,
        "severity": finding.severity,
        "package": finding.resource,
        "installed": finding.installed_version,
        "fixed": finding.fixed_version,
        "title": finding.title,
        "path": finding.package_path or finding.target,
    }


def packages(findings: Sequence[BriefFinding]) -> list[Document]:
    """Return the first packages of an image, each once."""
    distinct = {tuple(one.items()): one for one in map(told, findings)}
    return list(distinct.values())[:_PACKAGES]
