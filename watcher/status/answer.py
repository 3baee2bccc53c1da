"""What a page is before it is drawn: a document for scripts, and the parts for people. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from common.overview.documents import Document
from common.overview.view import Overview
from watcher.status.markup import Html

ROWS = 100  # of one page
_MOST_ROWS = 1_000  # that somebody may ask for
_TEXT_CHARACTERS = 200
_MOST_PAGES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Why the last look at the tables failed."""

    away: bool  # Redis does not answer; otherwise it answers what we cannot use
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The last look that succeeded, and what became of the last one."""

    overview: Overview | None  # None: there was none yet
    age_s: float  # of the overview
    unread: Unread | None  # None: the last look succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One page."""

    title: str
    document: Document
    parts: Callable[[], Iterable[Html]]  # called for people alone
    status: int = 200
    tab: str | None = None  # as in `Frame`
    asked: str = ""  # what was searched for
    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What stands behind the question mark, as far as it may be long. Total."""

    values: Mapping[str, str]

    @classmethod
    def read(cls, text: str) -> Query:
        """Return it; of several values of a name the first one counts."""
        found = parse_qs(text, errors="replace", max_num_fields=None)
        return cls(values={name: each[0].strip() for name, each in found.items()})

    def get(self, name: str) -> str:
        """Return a value, empty where it is not given; cut to 200 characters."""
        return self.values.get(name, "")[:_TEXT_CHARACTERS]

    @property
    def page(self) -> int:
        """Which page is meant, from 1."""
        return self._whole("page", 1, _MOST_PAGES)

    @property
    def limit(self) -> int:
        """How many rows a page has."""
        return self._whole("limit", ROWS, _MOST_ROWS)

    @property
    def start(self) -> int:
        """How many rows stand before the page."""
        return (self.page - 1) * self.limit

    def _whole(self, name: str, default: int, most: int) -> int:
        value = self.values.get(name, "")
        if not (value.isascii() and value.isdigit()):
            return default
        return min(max(1, int(value[:9])), most)


def pages(total: int, limit: int) -> int:
    """Return how many pages there are."""
    return max(1, math.ceil(total / limit))
