"""What every page has around it: where one is, where one can go, how old what is shown is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from watcher.status.markup import Html, joined, link, query, tag, text
from watcher.status.style import STYLE, STYLE_SOURCE

REFRESH_S = 15  # the browser's; as long as it asks, the numbers behind it are kept fresh

# A gate in a channel; an icon that is not named would be asked for.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%232a8c4a'/%3E%3Cpath d='M3 4h10M3 8h6M3 12h10'"
    " stroke='white' stroke-width='2'/%3E%3C/svg%3E"
)
# The page can load and run nothing, whatever somebody managed to put into it; nobody can frame it.
POLICY = (
    f"default-src 'none'; style-src {STYLE_SOURCE}; img-src data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_TABS = (
    ("", "Overview"),
    ("workloads", "Workloads"),
    ("images", "Images"),
    ("queue", "Queue"),
    ("history", "History"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Around one page."""

    title: str
    cluster: str = ""
    root: str = ""  # the way from here to the first page: `../` for each folder
    tab: str | None = None  # the one of `_TABS` that is shown; None: another page
    json: str = ""  # the same for scripts, from here; empty: there is none
    asked: str = ""  # what stands in the search field
    refresh: bool = False
    hint: str = "Workload, image or CVE"  # what may be searched for


def framed(frame: Frame, parts: Iterable[Html]) -> bytes:
    """Return the whole document."""
    title = " · ".join(filter(None, [frame.title, frame.cluster, "kube-sluice"]))
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_S}">' if frame.refresh else ""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        f'{refresh}<link rel="icon" href="{_ICON}">{tag("title", title)}<style>{STYLE}</style>'
    )
    main = tag("main", *parts, attributes={"id": "main"})
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>'
        f"{_header(frame)}{main}{_footer(frame)}</body></html>\n"
    ).encode(errors="replace")


def _header(frame: Frame) -> Html:
    tabs = (
        tag("li", link(frame.root + name or "./", shown,
                       current="page" if name == frame.tab else ""))
        for name, shown in _TABS
    )  # fmt: skip
    cluster = tag("small", frame.cluster) if frame.cluster else ""
    inside = (
        link(frame.root or "./", "kube-sluice", cluster, kind="brand"),
        tag("nav", tag("ul", *tabs), attributes={"aria-label": "Pages"}),
        _search(frame),
    )
    skip = link("#main", "To the content", kind="skip")
    return joined([skip, tag("header", tag("div", *inside))])


def _search(frame: Frame) -> Html:
    field = Html(
        f'<input type="search" name="q" maxlength="200" value="{text(frame.asked)}" '
        f'placeholder="{text(frame.hint)}" aria-label="{text(f"Search: {frame.hint}")}">'
    )
    attributes = {"action": f"{frame.root}search", "role": "search"}
    return tag("form", field, tag("button", "Search"), attributes=attributes)


def _footer(frame: Frame) -> Html:
    json = (" · ", link(frame.json, "This page as JSON")) if frame.json else ()
    words = ("Read-only. What changes something: ", tag("code", "sluice --help"))
    return tag("footer", tag("p", *words, *json))


def section(title: str, *parts: object, more: tuple[str, str] | None = None) -> Html:
    """Return a part of a page under its heading; `more`: where there is more, and its words."""
    heading = (title, link(more[0], more[1], kind="more")) if more else (title,)
    return tag("section", tag("h2", *heading), *parts)


def facts_of(pairs: Sequence[tuple[str, object]]) -> Html:
    """Return names with values, those left out that are empty."""
    return tag(
        "dl",
        *(joined([tag("dt", name), tag("dd", value)]) for name, value in pairs if value != ""),
    )


def pager(name: str, given: Mapping[str, object], *, page: int, pages: int) -> Html:
    """Return the way to the pages before and after; nothing where there is one."""
    if pages <= 1:
        return Html("")

    def to(number: int) -> str:
        # Nothing at all would lead to the page that is shown.
        return name + (
            query({**given, "page": number if number > 1 else ""}) or ("" if name else "?")
        )

    ways = [
        link(to(1), "First") if page > 1 else "",
        link(to(page - 1), "Previous") if page > 1 else "",
        tag("span", f"Page {page:,} of {pages:,}", kind="quiet"),
        link(to(page + 1), "Next") if page < pages else "",
        link(to(pages), "Last") if page < pages else "",
    ]
    return tag("nav", *ways, kind="pages", attributes={"aria-label": "More pages"})
