"""What the same bytes gave before: most of a Pod stays as it is when its status changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Raw = TypeVar("Raw", bound=Hashable)
T = TypeVar("T")


class Remembered(Generic[Raw, T]):
    """Reads bytes, or a tuple of them, unless it has read the same ones lately. One thread.

    Only their hashes are kept: 64 bits and a secret of the process. That one of a billion events a
    day is taken for another one's happens once in 10,000 years.
    """

    __slots__ = ("_known", "_most", "_read")

    def __init__(self, read: Callable[[Raw], T], *, most: int) -> None:
        """`read` must be pure; what it raises is not remembered. `most` values are kept."""
        self._read = read
        self._most = most
        self._known: dict[int, T] = {}

    def __call__(self, raw: Raw) -> T:
        """Return what is in the bytes."""
        known = self._known
        key = hash(raw)
        found = known.get(key)
        if found is None:
            found = self._read(raw)
            if len(known) >= self._most:
                known.clear()
            known[key] = found
        return found
