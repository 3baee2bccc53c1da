"""A Lease of the coordination API, as far as an election needs it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """Who holds a Lease, and since when.

    The two times are for people and for equality: other machines' clocks wrote them.
    """

    holder: str = ""  # identity of the holder; empty: it was given back
    duration_s: int = 0  # how long after its last change the holder may not be replaced
    acquired_at: str = ""  # RFC 3339, by the holder's clock; empty: nobody said
    renewed_at: str = ""  # the same
    transitions: int = 0  # how often it passed from one holder to another
    version: str = ""  # the resourceVersion that was read

    def says_the_same_as(self, other: LeaseRecord | None) -> bool:
        """Whether two readings differ in nothing that a holder writes: a label is no renewal."""
        return other is not None and replace(self, version="") == replace(other, version="")
