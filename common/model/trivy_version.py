"""Trivy's versions, as far as they decide what may be mixed with what. Pure, total.

A patch release neither changes what an analysis stores nor how a server reads it. A server reads
what an older scanner stored; what a newer one stored it reads in part, without a word: fields that
it does not know are dropped, and their findings with them.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Trusted(NamedTuple):
    """The newest Trivy whose analyses were found good."""

    version: str
    since_s: float  # Unix seconds by Redis' clock


_NUMBERS = re.compile(r"v?(\d{1,9})\.(\d{1,9})")


def release(version: str) -> tuple[int, int] | None:
    """Return major and minor number; None for what is no version (a build of one's own)."""
    numbers = _NUMBERS.match(version)
    return None if numbers is None else (int(numbers[1]), int(numbers[2]))


def is_newer(version: str, *, than: str) -> bool:
    """Whether `version` is of a later release; what is no version is not, nor older."""
    ours, theirs = release(version), release(than)
    return ours is not None and theirs is not None and ours > theirs
