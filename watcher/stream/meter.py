"""What an informer tells those who count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from common.model.errors import SluiceError
from watcher.stream.signals import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A try that failed."""

    reason: str  # stable CamelCase
    error: SluiceError | None  # what was said, if anything was
    failures: int  # how many in a row
    wait_s: float  # before the next try
    is_news: bool  # the first of a row, or for another reason than the one before


class Meter(Protocol):
    """Counts what happens to the streams. Called from informer threads: cheap and thread-safe."""

    def received(self, resource: str, *, events: int, size_bytes: int) -> None:
        """Count a piece of a stream, or a page; its moment is the age of the last event."""

    def noted(self, resource: str, note: Note) -> None:
        """Count something unusual."""

    def failing(self, resource: str, trouble: Trouble) -> None:
        """Say that a try failed.

        Logs want the news only: an API server may be away for an hour.
        """


class NoMeter:
    """Counts nothing."""

    def received(self, resource: str, *, events: int, size_bytes: int) -> None:
        """Do nothing."""

    def noted(self, resource: str, note: Note) -> None:
        """Do nothing."""

    def failing(self, resource: str, trouble: Trouble) -> None:
        """Do nothing."""
