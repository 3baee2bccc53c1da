"""What a request for a list or a watch says in its URL. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from watcher.stream.signals import OpenList, OpenWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which objects of a resource are followed; the server does the filtering."""

    namespace: str | None = None  # None: all
    label_selector: str = ""
    field_selector: str = ""

    @property
    def query(self) -> list[tuple[str, str]]:
        """The selectors as query parameters."""
        pairs = (("labelSelector", self.label_selector), ("fieldSelector", self.field_selector))
        return [pair for pair in pairs if pair[1]]


def watch_query(action: OpenWatch) -> list[tuple[str, str]]:
    """Return the parameters of a watch."""
    query = [
        ("watch", "true"),
        ("allowWatchBookmarks", "true"),
        ("timeoutSeconds", str(action.timeout_s)),
    ]
    if action.resource_version is None:
        return [*query, ("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]
    return [*query, ("resourceVersion", action.resource_version)]


def list_query(action: OpenList) -> list[tuple[str, str]]:
    """Return the parameters of one page of a list."""
    query = [("limit", str(action.limit))] if action.limit else []
    return [*query, ("continue", action.cursor)] if action.cursor else query
