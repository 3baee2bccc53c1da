"""What an informer tells those who count."""

from __future__ import annotations

from typing import Protocol

from watcher.stream.signals import Note


class Meter(Protocol):
    """Counts what happens to the streams. Called from informer threads: cheap and thread-safe."""

    def received(self, resource: str, *, events: int, size_bytes: int) -> None:
        """Count a piece of a stream, or a page; its moment is the age of the last event."""

    def noted(self, resource: str, note: Note) -> None:
        """Count something unusual."""

    def failing(self, resource: str, reason: str, *, failures: int, wait_s: float) -> None:
        """Say that a try failed, for the how-manieth time in a row, and how long we wait.

        Logs want the first of a row only: an API server may be away for an hour.
        """


class NoMeter:
    """Counts nothing."""

    def received(self, resource: str, *, events: int, size_bytes: int) -> None:
        """Do nothing."""

    def noted(self, resource: str, note: Note) -> None:
        """Do nothing."""

    def failing(self, resource: str, reason: str, *, failures: int, wait_s: float) -> None:
        """Do nothing."""
