"""The part of a sweep that is about images: reads them a slice at a time, and counts their ages.

`decide.images` judges; here are the reads of Redis around it. Image keys stand in no row: without
this, one that was lost would be found by nobody before the next database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from common.model.image import ImageState
from common.model.key import ImageKey
from watcher.decide.images import Due, Verification, due, overdue


class Published(Protocol):
    """The database in use."""

    @property
    def version(self) -> str:
        """As the match server names it."""


class Databases(Protocol):
    """Where the database in use is published; raises TransientError."""

    def current(self) -> Published | None:
        """Return it; None: there has been none."""


class ImageTable(Protocol):
    """What is on record about images; raises TransientError."""

    def walk(self, size: int) -> Iterator[ImageKey]:
        """Yield every image, read so many at a time."""

    def states(self, keys: Sequence[ImageKey]) -> list[ImageState]:
        """Return what is on record about each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What a sweep reads of images, and what it is held to."""

    table: ImageTable
    databases: Databases
    rules: Verification

    def due(self, keys: Sequence[ImageKey], ages: Ages, *, now_s: float) -> list[Due]:
        """Return those that must be looked at; note in `ages` when each was verified.

        The database is read last: what a newer one has queued already is found queued, or queued
        once more at most.
        """
        states = self.table.states(keys)
        row = self.databases.current()
        ages.note(states, self.rules, now_s=now_s)
        return due(states, self.rules, database=row.version if row else "", now_s=now_s)


@dataclass(slots=True, kw_only=True)
class Ages:
    """When the images in use were verified, as one sweep found them."""

    verified_at: dict[ImageKey, float] = field(default_factory=dict)  # Unix seconds
    never: set[ImageKey] = field(default_factory=set)
    overdue: set[ImageKey] = field(default_factory=set)

    def note(self, states: Sequence[ImageState], rules: Verification, *, now_s: float) -> None:
        """Add images; one that was met before counts as it is now."""
        for image in states:
            for known in (self.never, self.overdue):
                known.discard(image.key)
            self.verified_at.pop(image.key, None)
            if not image.used:
                continue
            if image.verified_at is None:
                self.never.add(image.key)
            else:
                self.verified_at[image.key] = image.verified_at
            if overdue(image, rules, now_s=now_s):
                self.overdue.add(image.key)
