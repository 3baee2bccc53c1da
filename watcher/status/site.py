"""From a request to a page: which one, for people or for scripts, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

import orjson

from common.model.errors import SluiceError
from common.model.key import ImageKey, WorkloadKey, try_key
from common.ops.probes import Asked, Page
from common.overview.documents import Document
from common.overview.vulnerable import name_of
from watcher.status.answer import Answer, Query, Seen
from watcher.status.failures import away, failed, nothing
from watcher.status.frame import POLICY, Frame, framed
from watcher.status.front import front, warning
from watcher.status.hosts import is_ours
from watcher.status.images import image_page, images_document, images_page
from watcher.status.markup import Html, path
from watcher.status.queue import history_page, queue_page
from watcher.status.search import SHOWN, search_page, vulnerability_page
from watcher.status.shelf import Shelf
from watcher.status.workloads import Reports, workload_page, workloads_document, workloads_page

_LONGEST = 2_000  # characters of path and query: a key has 600 at most
_HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_HTML, _JSON = "text/html; charset=utf-8", "application/json"


class Looks(Protocol):
    """The last look at the tables."""

    def look(self) -> Seen:
        """Return it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for, taken apart."""

    parts: tuple[str, ...]  # of the path, as it was meant
    query: Query
    text: str  # of the query, as it was written
    json: bool

    @property
    def root(self) -> str:
        """The way from here to the first page."""
        return "../" * (len(self.parts) - 1)


class StatusSite:
    """Answers requests on any thread."""

    paths = ("/", "/status.json")

    def __init__(
        self, looks: Looks, shelf: Shelf, *, reports: Reports, hosts: Collection[str] = ()
    ) -> None:
        """Take what is read; `hosts`: names of ours besides the usual ones."""
        self._looks = looks
        self._shelf = shelf
        self._reports = reports
        self._hosts = hosts
        # What the last look tells, whether Redis answers now or not.
        self._looked_up: Mapping[tuple[str, ...], Callable[[Wish, Seen], Answer]] = {
            ("",): self._front,
            ("status",): self._front,
            ("workloads",): self._workloads,
            ("search",): self._search,
        }

    def __call__(self, asked: Asked) -> Page:
        """Return the page."""
        if not is_ours(asked.host, self._hosts):
            return _refusal(421, "this name is not known to be ours: SLUICE_STATUS_HOSTS allows it")
        if len(asked.path) + len(asked.query) > _LONGEST:
            return _refusal(414, f"an address has {_LONGEST} characters at most")
        if way := _without_slash(asked):
            return _elsewhere(way)
        wish, seen = _wish(asked), self._looks.look()
        if (name := _vulnerability(wish)) and not wish.json:
            return _elsewhere(path("vulnerability", name))
        try:
            answer = self._answer(wish, seen)
        except SluiceError as exc:
            answer = failed(exc)
        return self._page(answer, wish, seen)

    def _answer(self, wish: Wish, seen: Seen) -> Answer:
        """Return the page; raises SluiceError."""
        of_the_look = self._looked_up.get(wish.parts)
        if of_the_look is not None and not _vulnerability(wish):
            return of_the_look(wish, seen)
        if seen.unread is not None and seen.unread.away:
            return away(seen.unread.message)
        return self._read(wish)

    def _read(self, wish: Wish) -> Answer:
        match wish.parts:
            case ("images",):
                return images_page(self._images(wish.query), wish.query)
            case ("queue",):
                return queue_page(self._shelf.queue(wish.query), wish.query)
            case ("history",):
                return history_page(self._shelf.history(wish.query))
            case ("search",):
                return vulnerability_page(
                    self._shelf.vulnerability(_vulnerability(wish), wish.query)
                )
            case ("vulnerability", text) if name := name_of(text):
                return vulnerability_page(self._shelf.vulnerability(name, wish.query))
            case _:
                return self._one(wish)

    def _front(self, wish: Wish, seen: Seen) -> Answer:
        return front(seen, hold=bool(wish.query.get("hold")))

    def _workloads(self, wish: Wish, seen: Seen) -> Answer:
        return workloads_page(self._listed(wish.query, seen), wish.query)

    def _listed(self, asked: Query, seen: Seen) -> Document:
        roster = seen.overview.roster if seen.overview else None
        return workloads_document(roster, asked, self._reports)

    def _images(self, asked: Query) -> Document:
        return images_document(self._shelf.images(), asked, now_s=self._shelf.now_s())

    def _one(self, wish: Wish) -> Answer:
        """Return the page of a single workload or image."""
        match try_key("/".join(wish.parts)):
            case WorkloadKey() as key:
                reports = list(self._reports(key))
                return workload_page({**self._shelf.workload(key), "reports": reports})
            case ImageKey() as key:
                return image_page(self._shelf.image(key, wish.query), wish.query)
            case _:
                return nothing()

    def _search(self, wish: Wish, seen: Seen) -> Answer:
        text = wish.query.get("q")
        first = Query(values={"q": text, "limit": str(SHOWN)})
        workloads = self._listed(first, seen)
        images: Document = {"images": None, "total": None}
        if text and not (seen.unread and seen.unread.away):
            images = self._images(first)
        document = {
            "q": text,
            "workloads": workloads["workloads"],
            "workloads_total": workloads["total"],
            "images": images["images"],
            "images_total": images["total"],
        }
        return search_page(text, document)

    def _page(self, answer: Answer, wish: Wish, seen: Seen) -> Page:
        if wish.json:
            return Page(body=_json(answer, wish, seen), status=answer.status, content_type=_JSON,
                        headers=_HEADERS)  # fmt: skip
        frame = Frame(
            title=answer.title,
            cluster=self._shelf.cluster,
            root=wish.root,
            tab=answer.tab,
            json=_json_link(wish),
            asked=answer.asked,
            refresh=answer.refresh,
        )
        body = framed(frame, _with_warning(answer, wish, seen))
        return Page(body=body, status=answer.status, content_type=_HTML, headers=_HEADERS)


def _wish(asked: Asked) -> Wish:
    path_, json = asked.path.removeprefix("/"), asked.path.endswith(".json")
    parts = path_.removesuffix(".json").rstrip("/").split("/")
    return Wish(
        parts=tuple(unquote(part, errors="replace") for part in parts),
        query=Query.read(asked.query),
        text=asked.query,
        json=json,
    )


def _without_slash(asked: Asked) -> str:
    """Return the way to a page that is asked for as if it were a folder; empty: it is not.

    Pages link from where they are: from within a folder all of their links would lead nowhere.
    """
    bare = asked.path.rstrip("/")
    if not bare or bare == asked.path:
        return ""
    up = "../" * (len(asked.path) - len(bare))
    return f"{up}{bare.rpartition('/')[2]}{'?' if asked.query else ''}{asked.query}"


def _vulnerability(wish: Wish) -> str:
    """Return the vulnerability that is searched for; empty: none is."""
    return name_of(wish.query.get("q")) if wish.parts == ("search",) else ""


def _with_warning(answer: Answer, wish: Wish, seen: Seen) -> Iterator[Html]:
    """Yield the parts of a page, after what is to be known about how old they are."""
    if wish.parts[0] in ("", "workloads", "search"):
        yield warning(seen)
    yield from answer.parts()


def _json(answer: Answer, wish: Wish, seen: Seen) -> bytes:
    """Return the document; what comes from a look says how old that is, and why not younger."""
    document = dict(answer.document)
    if wish.parts[0] in ("status", "workloads", "search"):
        document["snapshot"] = {
            "age_s": round(seen.age_s, 3) if seen.overview else None,
            "fault": seen.unread.message if seen.unread else None,
        }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)


def _json_link(wish: Wish) -> str:
    name = "status" if wish.parts == ("",) else path(wish.parts[-1])
    return f"{name}.json{'?' if wish.text else ''}{wish.text}"


def _elsewhere(way: str) -> Page:
    return Page(body=b"", status=303, headers=(*_HEADERS, ("Location", way)))


def _refusal(status: int, words: str) -> Page:
    return Page(body=f"{words}\n".encode(), status=status, headers=_HEADERS)
