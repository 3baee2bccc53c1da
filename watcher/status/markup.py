"""HTML out of values: what is not markup already is escaped, so nobody can forget it. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

# A registry's message with the words around it; an image reference may be as long as its Pod.
_TEXT_CHARACTERS = 600


class Html(str):
    """Text that is markup; made by this module and by literals of the page alone."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a value as text that cannot be markup, cut to 600 characters."""
    if isinstance(value, Html):
        return value
    shown = str(value)
    if len(shown) > _TEXT_CHARACTERS:
        shown = shown[: _TEXT_CHARACTERS - 1] + "…"
    return Html(html.escape(shown))


def tag(name: str, *children: object, kind: str = "") -> Html:
    """Return an element of class `kind` around its children; those that are text are escaped."""
    attribute = f' class="{html.escape(kind)}"' if kind else ""
    return Html(f"<{name}{attribute}>{joined(children)}</{name}>")


def joined(parts: Iterable[object]) -> Html:
    """Return the parts one after the other."""
    return Html("".join(text(part) for part in parts))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table whose first column names the row."""
    columns = tag("tr", *(Html(f'<th scope="col">{text(name)}</th>') for name in head))
    body = (
        tag("tr", Html(f'<th scope="row">{text(row[0])}</th>'), *(tag("td", v) for v in row[1:]))
        for row in rows
    )
    return tag("div", tag("table", tag("thead", columns), tag("tbody", *body)), kind="wide")
