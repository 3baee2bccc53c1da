"""Asks the status site for a page, as the server does, without Redis behind it."""

from __future__ import annotations

import html.parser
from types import SimpleNamespace
from typing import cast

from common.ops.probes import Asked, Page
from watcher.status.answer import Seen
from watcher.status.shelf import Shelf
from watcher.status.site import StatusSite

_VOID = {"meta", "link", "input", "rect"}


class Elements(html.parser.HTMLParser):
    """A page as a browser takes it: elements with attributes, and the text between them."""

    def __init__(self, body: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(body.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that holds nothing."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """Close the element that is open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """The page's words."""
        return " ".join(" ".join(self.words).split())


class Looks:
    """One look, for ever."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def look(self) -> Seen:
        """Return it."""
        return self._seen


def ask(
    path: str, seen: Seen, *, host: str = "localhost:8081", hosts: tuple[str, ...] = ()
) -> Page:
    """Return the answer to a path, with its query; pages that need Redis cannot be had."""
    shelf = cast("Shelf", SimpleNamespace(cluster="abcd1234"))
    site = StatusSite(Looks(seen), shelf, reports=lambda _: (), hosts=hosts)
    where, _, query = path.partition("?")
    return site(Asked(path=where, query=query, host=host))
