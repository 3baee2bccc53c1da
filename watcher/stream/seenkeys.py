"""The keys that a reading of everything has seen, in eight bytes each. Pure.

A set of the keys themselves takes fifteen times that, for a moment, and leaves its room scattered
among what stays: 30 MB at 300,000 objects. Python's string hashes have 64 bits and a secret of the
process. That one object of a thousand which vanished meanwhile has the hash of one of 300,000
others happens once in 10^10 readings; then it is found missing by the next one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable


class SeenKeys:
    """Grows while everything is read; asked afterwards. Not for two threads at a time."""

    __slots__ = ("_hashes", "_sorted")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._hashes = array("q", map(hash, keys))
        self._sorted = False

    def add(self, key: str) -> None:
        """Note that this one exists."""
        self._hashes.append(hash(key))
        self._sorted = False

    def __contains__(self, key: object) -> bool:
        hashes, wanted = self._in_order(), hash(key)
        at = bisect_left(hashes, wanted)
        return at < len(hashes) and hashes[at] == wanted

    def __eq__(self, other: object) -> bool:
        """Whether two readings have seen the same."""
        return isinstance(other, SeenKeys) and self._in_order() == other._in_order()

    __hash__ = None  # type: ignore[assignment] # it grows

    def _in_order(self) -> array[int]:
        if not self._sorted:
            self._hashes = array("q", sorted(set(self._hashes)))
            self._sorted = True
        return self._hashes
