"""One object for all equal ones, for as long as anybody uses it. Pure.

Thousands of reports say the same of one image. Not a cache: it forgets with the last user, so a
cluster that changes all day keeps nothing of yesterday.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Pool(Generic[T]):
    """Counts who uses what."""

    __slots__ = ("_shared",)

    def __init__(self) -> None:
        self._shared: dict[T, tuple[T, int]] = {}  # the object, and how many use it

    def take(self, value: T) -> T:
        """Return the one object that equals `value`, and count a user more."""
        shared, users = self._shared.get(value, (value, 0))
        self._shared[shared] = (shared, users + 1)
        return shared

    def give_back(self, value: T) -> None:
        """Count a user less; raises KeyError for what nobody took."""
        shared, users = self._shared[value]
        if users == 1:
            del self._shared[value]
        else:
            self._shared[shared] = (shared, users - 1)

    def __len__(self) -> int:
        return len(self._shared)
