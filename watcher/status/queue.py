"""The queue's keys by state, pool and lane; and the ledger. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.overview.documents import Document
from common.overview.words import age
from common.state.names import POOLS
from watcher.status.answer import Answer, Query, pages
from watcher.status.frame import pager
from watcher.status.markup import Html, badge, link, query, table, tag
from watcher.status.names import key_link, moment

STATES = ("running", "queued", "delayed", "parked")
LANES = ("fresh", "bulk")


def read(asked: Query) -> dict[str, str]:
    """Return which keys are meant; a word that is none of ours chooses nothing."""
    given = {
        "state": (asked.get("state"), STATES),
        "pool": (asked.get("pool"), POOLS),
        "lane": (asked.get("lane"), LANES),
    }
    chosen = {name: value if value in known else "" for name, (value, known) in given.items()}
    return {**chosen, "state": chosen["state"] or "running"}


def queue_page(document: Document, asked: Query) -> Answer:
    """Return the page of one state's keys."""
    chosen = {name: document[name] for name in ("state", "pool", "lane")}
    total, page = document["total"], asked.page

    def parts() -> Iterator[Html]:
        yield tag("h1", f"{total:,} {'key' if total == 1 else 'keys'} {chosen['state']}")
        yield _choices(chosen)
        if document["keys"]:
            yield rows_of(document["keys"], caption=_caption(document))
        else:
            yield tag("p", "None." if page == 1 else "None on this page.", kind="quiet")
        yield pager("queue", chosen, page=page, pages=pages(total, asked.limit))

    return Answer(title="Queue", document=document, parts=parts, tab="queue")


def rows_of(entries: Sequence[Document], *, caption: str, root: str = "") -> Html:
    """Return keys of the queue as a table."""
    head = (
        "Key",
        "State",
        "Lane",
        "Why",
        "Message",
        "Tries",
        "In the queue since",
        "Next",
        "Worker",
    )
    rows = (
        (
            key_link(each["key"], root=root),
            badge(each["state"]),
            each["lane"],
            each["source"] or each["reason"],
            each["message"],
            each["attempts"] or "",
            "" if each["age_s"] is None else f"{age(each['age_s'])} ago",
            "" if each["due_in_s"] is None else f"in {age(each['due_in_s'])}",
            each["worker"],
        )
        for each in entries
    )
    return table(head, rows, caption=caption, numbers={5})


def _caption(document: Document) -> str:
    first = document["start"] + 1
    return f"{first:,} to {document['start'] + len(document['keys']):,} of {document['total']:,}"


def _choices(chosen: dict[str, str]) -> Html:
    """Return the ways to other states, pools and lanes."""

    def ways(name: str, values: Sequence[str], every: str) -> Iterator[Html]:
        for value in values:
            given = {**chosen, name: value}
            yield badge(
                value if name == "state" else "rest",
                value or every,
                href=f"queue{query(given)}",
                current=chosen[name] == value,
            )

    groups = (
        ways("state", STATES, ""),
        ways("pool", ("", *POOLS), "every pool"),
        ways("lane", ("", *LANES), "both lanes"),
    )
    return tag("ul", *(tag("li", *_spaced(group)) for group in groups), kind="legend filter")


def _spaced(ways: Iterator[Html]) -> Iterator[object]:
    for way in ways:
        yield way
        yield " "


def history_page(document: Document) -> Answer:
    """Return a page of the ledger, newest first."""

    def parts() -> Iterator[Html]:
        yield tag("h1", "History")
        yield tag("p", "Everything that happened, as far back as the ledger reaches; the story of "
                       "one workload or image stands on its page.", kind="quiet")  # fmt: skip
        facts = document["facts"]
        if facts:
            yield facts_table(facts, keys=True)
        else:
            yield tag("p", "Nothing on record.", kind="quiet")
        if document["before"]:
            yield tag("p", link(f"history{query({'before': document['before']})}", "Older"),
                      kind="pages")  # fmt: skip

    return Answer(title="History", document=document, parts=parts, tab="history")


def facts_table(facts: Sequence[Document], *, keys: bool, root: str = "") -> Html:
    """Return facts in sentences; `keys`: each says what it is about."""
    if keys:
        head: tuple[str, ...] = ("When (UTC)", "What", "What happened")
        rows: Iterator[tuple[object, ...]] = (
            (moment(each["at"]), key_link(each["key"], root=root), each["said"]) for each in facts
        )
    else:
        head = ("When (UTC)", "What happened")
        rows = ((moment(each["at"]), each["said"]) for each in facts)
    return table(head, rows, caption="Newest first")
