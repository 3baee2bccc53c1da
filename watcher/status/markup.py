"""HTML out of values: what is not markup already is escaped, so nobody can forget it. Pure."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from urllib.parse import quote, urlencode

# A registry's message with the words around it; an image reference may be as long as its Pod.
_TEXT_CHARACTERS = 600

# What a state means for who looks: its word stays beside the colour.
_TONES = {
    **dict.fromkeys(("true", "scanned", "good"), "good"),
    **dict.fromkeys(("queued", "running", "waiting", "delayed", "busy"), "busy"),
    **dict.fromkeys(("held", "retried", "unqueued", "failing", "missing", "open"), "warn"),
    **dict.fromkeys(("parked", "failed", "critical"), "bad"),
    "high": "warn",
    "medium": "busy",
}


class Html(str):
    """Text that is markup; made by this module and by literals of the pages alone."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a value as text that cannot be markup, cut to 600 characters."""
    if isinstance(value, Html):
        return value
    shown = str(value)
    if len(shown) > _TEXT_CHARACTERS:
        shown = shown[: _TEXT_CHARACTERS - 1] + "…"
    return Html(html.escape(shown))


def tag(
    name: str, *children: object, kind: str = "", attributes: Mapping[str, str] | None = None
) -> Html:
    """Return an element of class `kind` around its children; those that are text are escaped."""
    given = {**({"class": kind} if kind else {}), **(attributes or {})}
    written = "".join(f' {key}="{html.escape(value)}"' for key, value in given.items())
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def joined(parts: Iterable[object]) -> Html:
    """Return the parts one after the other."""
    return Html("".join(text(part) for part in parts))


def link(href: str, *children: object, kind: str = "", current: str = "") -> Html:
    """Return a link; `current` says how it is the page that is shown (`page`, `true`)."""
    attributes = {"href": href, **({"aria-current": current} if current else {})}
    return tag("a", *children, kind=kind, attributes=attributes)


def path(*parts: str) -> str:
    """Return a path of these parts, relative to the first page, whatever stands in them.

    A last part that ends like the name of a JSON page is written so that it is none.
    """
    *first, last = (quote(part, safe=":", errors="replace") for part in parts)
    if last.endswith(".json"):
        last = f"{last.removesuffix('.json')}%2Ejson"
    return "/".join((*first, last))


def query(values: Mapping[str, object]) -> str:
    """Return a query of what is not empty, with its question mark; empty for none."""
    given = {name: value for name, value in values.items() if value not in ("", None)}
    return f"?{urlencode(given, errors='replace')}" if given else ""


def badge(state: str, shown: str = "", *, href: str = "", current: bool = False) -> Html:
    """Return a state as a coloured word; with `href` a link."""
    kind, words = f"badge {tone(state)}", shown or state
    if href:
        return link(href, words, kind=kind, current="true" if current else "")
    return tag("span", words, kind=kind)


def tone(state: str) -> str:
    """Return how a state is coloured."""
    return _TONES.get(state.lower(), "rest")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str,
    numbers: Collection[int] = (),
) -> Html:
    """Return a table whose first column names the row; on a phone each row is a card.

    `numbers`: the columns whose cells are aligned to the right. A column without a value is left
    out.
    """
    given = [tuple(row) for row in rows]
    used = [at for at in range(len(head)) if at == 0 or any(row[at] != "" for row in given)]
    numbers = {place for place, at in enumerate(used) if at in numbers}
    head = [head[at] for at in used]
    columns = tag(
        "tr",
        *(
            tag("th", name, kind=_kind(at, numbers), attributes={"scope": "col"})
            for at, name in enumerate(head)
        ),
    )
    body = (tag("tr", *_cells(head, [row[at] for at in used], numbers)) for row in given)
    inside = (tag("caption", caption), tag("thead", columns), tag("tbody", *body))
    return tag("div", tag("table", *inside), kind="wide stack")


def _cells(head: Sequence[str], row: Sequence[object], numbers: Collection[int]) -> Iterable[Html]:
    yield tag("th", row[0], attributes={"scope": "row"})
    for at, value in enumerate(row[1:], 1):
        yield tag("td", value, kind=_kind(at, numbers), attributes={"data-label": head[at]})


def _kind(at: int, numbers: Collection[int]) -> str:
    return "num" if at in numbers else ""
