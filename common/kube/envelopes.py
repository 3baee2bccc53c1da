"""What the API server puts around objects: watch events, pages of a list, and its word on failures.

As `wire`: partial structs that skip every other byte. Values only.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from common.kube.wire import Wire

T = TypeVar("T")


class WatchEvent(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One line of a watch: `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`."""

    type: str
    object: T


class ListMeta(Wire, frozen=True):
    """Where a list ends, and the version that it is a picture of."""

    resource_version: str = ""
    continue_token: str = msgspec.field(name="continue", default="")


class ObjectList(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One page of a list."""

    metadata: ListMeta = ListMeta()
    items: tuple[T, ...] | None = None


class StatusCause(Wire, frozen=True):
    """One machine-readable cause."""

    reason: str = ""


class StatusDetails(Wire, frozen=True):
    """The details of a failure."""

    retry_after_seconds: float = 0
    causes: tuple[StatusCause, ...] | None = None


class Status(Wire, frozen=True):
    """The API server's answer to what failed."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None

    @property
    def retry_after_s(self) -> float | None:
        """How long the server asks to wait; None if it does not say."""
        return (self.details.retry_after_seconds or None) if self.details else None

    @property
    def causes(self) -> frozenset[str]:
        """The reasons of all causes."""
        found = self.details.causes if self.details else None
        return frozenset(cause.reason for cause in found or ())
