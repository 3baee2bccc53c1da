"""The settings of ConfigMaps go to Redis with the epoch, and before it.

So who sees a new epoch finds what it is made of. What is wrong in them changes without the
settings: it goes out with the signs of life.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from common.model.overlay import Overlay
from watcher.lead import Epochs, Signs


class Overlays(Protocol):
    """Where it is published; raises TransientError."""

    def publish(self, overlay: Overlay, *, fence: int) -> None:
        """Store it; raises StaleFenceError."""


class Published:
    """An epoch and signs of life that carry the settings along. Belongs to the watcher's thread."""

    def __init__(
        self, epochs: Epochs, signs: Signs, overlays: Overlays, overlay: Callable[[], Overlay]
    ) -> None:
        self._epochs = epochs
        self._signs = signs
        self._overlays = overlays
        self._overlay = overlay
        self._told: Overlay | None = None

    def current(self) -> int:
        """Return the published epoch; 0: none."""
        return self._epochs.current()

    def publish(self, digest: str, at_least: int = 0, *, fence: int) -> int:
        """Publish settings and generation, and return its number; raises StaleFenceError."""
        self._tell(fence)
        return self._epochs.publish(digest, at_least, fence=fence)

    def alive(self, *, fence: int) -> None:
        """Say that we lead, and what is new about the settings; raises StaleFenceError."""
        if self._overlay() != self._told:
            self._tell(fence)
        self._signs.alive(fence=fence)

    def _tell(self, fence: int) -> None:
        overlay = self._overlay()
        self._overlays.publish(overlay, fence=fence)
        self._told = overlay
