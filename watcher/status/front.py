"""The status page: what is wrong first, then numbers, failures and what happened last.

Plain HTML without a script and without anything to fetch. Every list is capped and says how long
it is, so a page is small however big the cluster. All foreign text goes through `markup`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from common.model.facts import Fact
from common.overview.lacking import number, summary
from common.overview.story import key_shown, sentence
from common.overview.trouble import asked
from common.overview.view import Document, Overview
from common.overview.watcher import shown as watcher_shown
from common.overview.words import age, counted, percent
from watcher.markup import Html, joined, table, tag, text
from watcher.statusstyle import STYLE

PARKED_ROWS = 100
_SOURCE_ROWS = 50
_FACT_ROWS = 50
_WORKER_NAMES = 100
_LACKING_ALL = "sluice status --json | jq .lacking"
REFRESH_S = 10  # the browser's; as long as it asks, the numbers behind it are kept fresh
# The slowest refresh and as much again: what is older was not followed by a younger one.
_OLD_S = 60.0

# The page can load and run nothing, whatever somebody managed to put into it.
_HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
    f'<meta http-equiv="refresh" content="{REFRESH_S}"><meta name="color-scheme" '
    'content="light dark">'
)


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


def page(seen: Seen) -> bytes:
    """Return the page."""
    overview = seen.overview
    title = f"kube-sluice {overview.document['cluster']}" if overview else "kube-sluice"
    parts = [_headline(seen), _warning(seen), *(_sections(overview) if overview else ())]
    return (
        f'<!doctype html>\n<html lang="en"><head>{_HEAD}{tag("title", title)}'
        f"<style>{STYLE}</style></head><body>{tag('main', *parts)}</body></html>\n"
    ).encode(errors="replace")


def document(seen: Seen) -> bytes:
    """Return what `sluice status --json` prints, and `snapshot`: its age and why it is not new."""
    shown: dict[str, Any] = dict(seen.overview.document) if seen.overview else {}
    shown["snapshot"] = {
        "age_s": round(seen.age_s, 3) if seen.overview else None,
        "fault": seen.unread.message if seen.unread else None,
    }
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2)


def _headline(seen: Seen) -> Html:
    if seen.overview is None:
        return tag("h1", "kube-sluice")
    cluster = text(seen.overview.document["cluster"])
    json = Html('<a href="status.json">JSON</a>')
    return joined(
        [
            tag("h1", "kube-sluice ", tag("small", cluster)),
            tag("p", f"As of {age(seen.age_s)} ago · looks again every {REFRESH_S} s · ", json,
                kind="quiet"),
        ]
    )  # fmt: skip


def _warning(seen: Seen) -> Html:
    """Say why the page is old or empty; nothing where it is neither."""
    old = f"This is how it was {age(seen.age_s)} ago." if seen.overview else "Nothing is known yet."
    if seen.unread is not None:
        what = "Redis is away." if seen.unread.away else "The tables cannot be read."
        return tag("p", tag("strong", what), f" {old} ", tag("code", seen.unread.message),
                   kind="bad")  # fmt: skip
    if seen.overview is None or seen.age_s > _OLD_S:
        return tag("p", tag("strong", "Redis has not answered yet."), f" {old}", kind="bad")
    return Html("")


def _sections(overview: Overview) -> Iterator[Html]:
    shown = overview.document
    yield _problems(shown["problems"])
    yield tag("section", *_tiles(shown), kind="tiles")
    yield _section("Queue", _queue(shown))
    if troubles := [each for each in shown["circuits"] if not each["idle"]]:
        yield _section("Sources in trouble", *_sources(troubles))
    yield _section("Parked keys", *_parked(overview))
    yield _section("Workloads that lack reports", *_lacking(overview))
    yield _section("What happened last", *_facts(overview.facts))
    yield _section("Watcher", tag("p", watcher_shown(shown["watcher"]), kind="quiet"))
    yield _section("Workers", *_workers(shown["workers"]))


def _section(title: str, *parts: Html) -> Html:
    return tag("section", tag("h2", title), *parts)


def _problems(problems: Sequence[Document]) -> Html:
    if not problems:
        return tag("p", "Nothing is wrong.", kind="good")
    items = (
        tag("li", tag("strong", problem["said"]), *(tag("div", it) for it in problem["details"]),
            tag("div", "Next: ", tag("code", problem["remedy"])))
        for problem in problems
    )  # fmt: skip
    return tag("ul", *items, kind="bad")


def _tiles(shown: Document) -> Iterator[Html]:
    covered, database = shown["coverage"], shown["database"]
    last_s = shown["last_event_age_s"]
    workloads = covered["workloads"]
    yield _tile(
        "True reports",
        percent(covered["true"], workloads) if workloads else "-",
        f"{covered['true']} of {counted(workloads, 'workload')}" if workloads else "no workloads",
    )
    known = database["version"] is not None
    yield _tile(
        "Database",
        f"{age(database['age_s'])} old" if known else "none yet",
        database["version"] if known else "nothing can be matched without one",
    )
    oldest_s = shown["verified"]["oldest_age_s"]
    yield _tile(
        "Verified",
        "none yet" if oldest_s is None else f"{age(oldest_s)} ago",
        "or later, each image in use",
    )
    yield _tile("Last event", "none yet" if last_s is None else f"{age(last_s)} ago", "")
    queued = sum(lane["queued"] for lanes in shown["queue"].values() for lane in lanes.values())
    yield _tile(
        "Waiting", str(queued), "the queue is paused" if shown["paused"] else "in all lanes"
    )
    yield _tile("Workers", str(len(shown["workers"])), "alive")


def _tile(name: str, value: str, note: str) -> Html:
    return tag("div", tag("span", name), tag("b", value), tag("small", note))


def _queue(shown: Document) -> Html:
    head = ("Pool", "Fresh", "Oldest", "Bulk", "Oldest", "Running", "Delayed", "Parked")
    rows = []
    for pool, lanes in shown["queue"].items():
        counts = shown["pools"][pool]
        waiting = [
            value
            for name in ("fresh", "bulk")
            for value in (lanes[name]["queued"], _oldest(lanes[name]))
        ]
        rows.append((pool, *waiting, counts["running"], counts["delayed"], counts["dead"]))
    return table(head, rows)


def _oldest(lane: Document) -> str:
    return age(lane["oldest_age_s"]) if lane["queued"] else "-"


def _sources(troubles: Sequence[Document]) -> Iterator[Html]:
    head = ("Source", "Circuit", "Failures", "Since", "Asked again", "Reason", "Message")
    rows = [
        (
            each["source"],
            each["state"],
            each["failures"],
            f"{age(each['since_s'])} ago",
            _again(each["next_s"]),
            each["reason"],
            each["message"],
        )
        for each in troubles[:_SOURCE_ROWS]
    ]
    yield table(head, rows)
    yield _cut(len(rows), len(troubles), "sluice status --json")


def _parked(overview: Overview) -> Iterator[Html]:
    if not overview.parked:
        yield tag("p", "None.", kind="quiet")
        return
    rows = [
        (
            asked(failure),
            failure["reason"],
            failure["message"],
            failure["attempts"],
            _again(failure["due_in_s"]),
        )
        for failure in overview.parked[:PARKED_ROWS]
    ]
    yield table(("Key", "Reason", "Message", "Tries", "Tried again"), rows)
    dead = overview.document["dead"]
    yield _cut(len(rows), dead, f"sluice queue parked --limit {dead}")


def _again(due_in_s: float | None) -> str:
    if due_in_s is None:
        return "when somebody asks"
    return f"in {age(due_in_s)}" if due_in_s > 0 else "now"


def _lacking(overview: Overview) -> Iterator[Html]:
    if not overview.lacking:
        yield tag("p", "None.", kind="quiet")
        return
    yield tag("p", summary(overview.document))
    yield table(("Workload", "Why"), list(overview.lacking.items()))
    yield _cut(len(overview.lacking), number(overview.document), _LACKING_ALL)


def _facts(facts: Sequence[Fact]) -> Iterator[Html]:
    if not facts:
        yield tag("p", "Nothing on record.", kind="quiet")
        return
    newest = facts[::-1][:_FACT_ROWS]
    rows = [(_when(fact.at), key_shown(fact.key) or "-", sentence(fact)) for fact in newest]
    yield table(("When (UTC)", "What", "What happened"), rows)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def _workers(names: Sequence[str]) -> Iterator[Html]:
    shown = names[:_WORKER_NAMES]
    yield tag("p", ", ".join(shown) or "None is alive.", kind="quiet")
    yield _cut(len(shown), len(names), "sluice status --json")


def _cut(rows: int, total: int, command: str) -> Html:
    """Say that a list is longer than what is shown."""
    if rows >= total:
        return Html("")
    return tag("p", f"{rows} of {total} shown; for others: ", tag("code", command), kind="quiet")
