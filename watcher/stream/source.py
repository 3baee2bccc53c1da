"""Where informers read from: the port that `common.kube.session.Session` fills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, Self


class Chunks(Protocol):
    """A body in pieces, as its readers see it: a context manager that `close` ends from outside."""

    @property
    def content_type(self) -> str:
        """The header; empty if the server did not say."""

    def __enter__(self) -> Self:
        """Start reading."""

    def __exit__(self, *raised: object) -> None:
        """Give the connection back, or close it if the body is not at its end."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces as they come."""

    def close(self) -> None:
        """End the iteration; any thread may call it."""


class Source(Protocol):
    """Where streams come from: `common.kube.session.Session`."""

    def stream(
        self, path: str, *, query: Sequence[tuple[str, str]], accept: str, idle_timeout_s: float
    ) -> Chunks:
        """Open a GET; raises a SluiceError."""
