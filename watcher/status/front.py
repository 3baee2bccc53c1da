"""The first page: how much is true, what is wrong, what happens now and what happened last.

Every list is cut and leads to the whole one, so the page is small however big the cluster. All
foreign text goes through `markup`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common.model.facts import Fact
from common.overview.documents import Document
from common.overview.lacking import number, summary
from common.overview.story import sentence
from common.overview.trouble import asked
from common.overview.view import Overview
from common.overview.watcher import shown as watcher_shown
from common.overview.words import age
from watcher.status.answer import Answer, Seen
from watcher.status.frame import REFRESH_S, facts_of, section
from watcher.status.markup import Html, badge, joined, link, query, table, tag, text, tone
from watcher.status.names import key_link, moment, share, version, workload_link

PARKED_ROWS = 100  # in JSON; the page shows the first
_ROWS = 15
_FACTS = 25
_WORKER_NAMES = 100
_TONES = ("good", "busy", "warn", "bad")
_WIDTH = 1000.0
# The slowest refresh and as much again: what is older was not followed by a younger one.
_OLD_S = 60.0


def front(seen: Seen, *, hold: bool) -> Answer:
    """Return the first page; `hold`: it stays as it is until somebody asks."""
    shown: dict[str, Any] = dict(seen.overview.document) if seen.overview else {}

    def parts() -> Iterator[Html]:
        if seen.overview is None:
            yield tag("h1", "kube-sluice")
        else:
            yield _truth(seen.overview, seen.age_s, hold=hold)
            yield from _sections(seen.overview, calm=not warning(seen))

    return Answer(
        title="Overview",
        document=shown,
        parts=parts,
        status=200 if seen.overview else 503,
        tab="",
        refresh=not hold,
    )


def warning(seen: Seen) -> Html:
    """Say why what a look showed is old or missing; nothing where it is neither."""
    old = f"This is how it was {age(seen.age_s)} ago." if seen.overview else "Nothing is known yet."
    if seen.unread is not None:
        what = "Redis is away." if seen.unread.away else "The tables cannot be read."
        return tag("p", tag("strong", what), f" {old} ", tag("code", seen.unread.message),
                   kind="note bad")  # fmt: skip
    if seen.overview is None or seen.age_s > _OLD_S:
        words = tag("strong", "Redis has not answered yet.")
        return tag("p", words, f" {old}", kind="note bad")
    return Html("")


def _truth(overview: Overview, age_s: float, *, hold: bool) -> Html:
    covered = overview.document["coverage"]
    true, workloads = covered["true"], covered["workloads"]
    if workloads:
        headline = f"{share(true, workloads)} of workloads have true reports"
        told = f"{true:,} of {workloads:,} {'workload' if workloads == 1 else 'workloads'}"
    else:
        headline, told = "No workloads yet", "nothing to report on"
    again = (
        joined(["held still · ", link("./", "go on")])
        if hold
        else joined([f"looks again every {REFRESH_S} s · ", link("?hold=1", "hold still")])
    )
    return tag(
        "section",
        tag("h1", headline),
        tag("p", told, " · as of ", age(age_s), " ago · ", again, kind="quiet"),
        *_bar(overview),
        kind="truth",
    )


def _bar(overview: Overview) -> Iterator[Html]:
    """Yield how many workloads are in which state: as lengths, and as words that lead there."""
    covered = overview.document["coverage"]
    states = {"true": covered["true"]}
    for group in overview.document["lacking"]:
        states[group["why"]] = states.get(group["why"], 0) + group["workloads"]
    states = {state: count for state, count in states.items() if count}
    if not states:
        return
    said = ", ".join(f"{count:,} {state}" for state, count in states.items())
    yield _lengths(states, said)
    legend = (
        tag("li", badge(state, f"{count:,} {state}", href=f"workloads{query({'state': state})}"))
        for state, count in states.items()
    )
    yield tag("ul", *legend, kind="legend")


def _lengths(states: Mapping[str, int], said: str) -> Html:
    whole, at, parts = sum(states.values()), 0.0, []
    for kind in _TONES:
        count = sum(number for state, number in states.items() if tone(state) == kind)
        if count:
            # One of 5,000 is seen, too: it is why somebody looks.
            width = max(4.0, _WIDTH * count / whole) if kind != "good" else _WIDTH * count / whole
            parts.append(
                f'<rect class="{kind}" x="{min(at, _WIDTH - 4):.1f}" width="{width:.1f}" '
                'height="10"/>'
            )
            at += width
    return Html(
        f'<svg viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{text(said)}">{"".join(parts)}</svg>'
    )


def _sections(overview: Overview, *, calm: bool) -> Iterator[Html]:
    shown = overview.document
    yield _problems(shown["problems"], calm=calm)
    yield tag("section", *_tiles(shown), kind="tiles", attributes={"aria-label": "Numbers"})
    yield section("Running now", *_running(overview))
    yield section("Queue", _queue(shown))
    if troubles := [each for each in shown["circuits"] if not each["idle"]]:
        yield section("Sources in trouble", *_sources(troubles))
    yield section(
        "Parked keys", *_parked(overview), more=_more(shown["dead"], "queue?state=parked")
    )
    lacking = number(shown)
    yield section(
        "Workloads that lack reports", *_lacking(overview), more=_more(lacking, "workloads")
    )
    yield section("What happened last", _facts(overview.facts), more=("history", "more"))
    yield section("Processes", _processes(shown))


def _more(total: int, href: str) -> tuple[str, str] | None:
    return (href, f"all {total:,}") if total else None


def _problems(problems: Sequence[Document], *, calm: bool) -> Html:
    """Return what is wrong; that nothing is, only below a page that warns of nothing else."""
    if not problems:
        return tag("p", "Nothing is wrong.", kind="calm") if calm else Html("")
    items = (
        tag("li", tag("strong", problem["said"]), *(tag("div", it) for it in problem["details"]),
            tag("div", "Next: ", tag("code", problem["remedy"])))
        for problem in problems
    )  # fmt: skip
    return tag("ul", *items, kind="note bad", attributes={"aria-label": "What is wrong"})


def _tiles(shown: Document) -> Iterator[Html]:
    database, last_s = shown["database"], shown["last_event_age_s"]
    known = database["version"] is not None
    checked_s = database["checked_age_s"]
    checked = "" if checked_s is None else f"; newer one sought {age(checked_s)} ago"
    yield _tile(
        "Database",
        f"{age(database['age_s'])} old" if known else "none yet",
        f"{version(database['version'])}{checked}"
        if known
        else "nothing can be matched without one",
    )
    oldest_s, images = shown["verified"]["oldest_age_s"], shown["verified"]["images"]
    yield _tile(
        "Findings verified",
        "not yet" if oldest_s is None else f"within {age(oldest_s)}",
        f"{images:,} {'image' if images == 1 else 'images'} in use",
    )
    queued = sum(lane["queued"] for lanes in shown["queue"].values() for lane in lanes.values())
    yield _tile(
        "Waiting", f"{queued:,}", "the queue is paused" if shown["paused"] else "queued keys"
    )
    yield _tile("Running", f"{shown['running']:,}", f"{shown['delayed']:,} delayed")
    yield _tile("Parked", f"{shown['dead']:,}", _reasons(shown["dead_reasons"]))
    yield _tile("Workers", f"{len(shown['workers']):,}", "alive")
    yield _tile(
        "Last event", "none yet" if last_s is None else f"{age(last_s)} ago", "from the cluster"
    )


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in list(reasons.items())[:3])


def _tile(name: str, value: str, note: str) -> Html:
    return tag("div", tag("span", name), tag("b", value), tag("small", note))


def _running(overview: Overview) -> Iterator[Html]:
    total = overview.document["running"]
    if not overview.running:
        yield tag("p", "Nothing." if not total else f"{total:,} keys.", kind="quiet")
        return
    caption = f"{min(len(overview.running), _ROWS):,} of {total:,}"
    head = ("Key", "Worker", "In the queue since", "Lane", "Attempts before")
    rows = (
        (
            key_link(each["key"]),
            each["worker"],
            f"{age(each['age_s'])} ago",
            each["lane"],
            each["attempts"] or "",
        )
        for each in overview.running[:_ROWS]
    )
    yield table(head, rows, caption=caption, numbers={4})


def _queue(shown: Document) -> Html:
    head = ("Pool", "Fresh", "Oldest", "Bulk", "Oldest", "Running", "Delayed", "Parked")
    rows = []
    for pool, lanes in shown["queue"].items():
        counts, cells = shown["pools"][pool], []
        for lane in ("fresh", "bulk"):
            cells += [_to("queued", lanes[lane]["queued"], pool, lane), _oldest(lanes[lane])]
        cells += [_to("running", counts["running"], pool), _to("delayed", counts["delayed"], pool)]
        rows.append((pool, *cells, _to("parked", counts["dead"], pool)))
    return table(head, rows, caption="Keys by pool and lane", numbers=range(1, 8))


def _to(state: str, count: int, pool: str, lane: str = "") -> object:
    """Return a number that leads to what was counted."""
    if not count:
        return "0"
    return link(f"queue{query({'state': state, 'pool': pool, 'lane': lane})}", f"{count:,}")


def _oldest(lane: Document) -> str:
    return age(lane["oldest_age_s"]) if lane["queued"] else "-"


def _sources(troubles: Sequence[Document]) -> Iterator[Html]:
    head = ("Source", "Circuit", "Failures", "Since", "Asked again", "Reason", "Message")
    rows = [
        (
            each["source"],
            badge(each["state"]),
            f"{each['failures']:,}",
            f"{age(each['since_s'])} ago",
            again(each["next_s"]),
            each["reason"],
            each["message"],
        )
        for each in troubles[:_ROWS]
    ]
    caption = f"{len(rows):,} of {len(troubles):,} that keys wait for"
    yield table(head, rows, caption=caption, numbers={2})


def _parked(overview: Overview) -> Iterator[Html]:
    if not overview.parked:
        yield tag("p", "None.", kind="quiet")
        return
    first = overview.parked[:_ROWS]
    rows = [
        (
            key_link(failure["key"], asked(failure)),
            failure["reason"],
            failure["message"],
            failure["attempts"],
            again(failure["due_in_s"]),
        )
        for failure in first
    ]
    caption = f"{len(rows):,} of {overview.document['dead']:,}: no retry helps soon"
    head = ("Key", "Reason", "Message", "Tries", "Tried again")
    yield table(head, rows, caption=caption, numbers={3})


def again(due_in_s: float | None) -> str:
    """Return when something is tried again."""
    if due_in_s is None:
        return "when somebody asks"
    return f"in {age(due_in_s)}" if due_in_s > 0 else "now"


def _lacking(overview: Overview) -> Iterator[Html]:
    if not overview.lacking:
        yield tag("p", "None.", kind="quiet")
        return
    first = list(overview.lacking.items())[:_ROWS]
    rows = [(workload_link(shown), why) for shown, why in first]
    caption = f"{len(rows):,} of {number(overview.document):,}: {summary(overview.document)}"
    yield table(("Workload", "Why"), rows, caption=caption)


def _facts(facts: Sequence[Fact]) -> Html:
    if not facts:
        return tag("p", "Nothing on record.", kind="quiet")
    newest = facts[::-1][:_FACTS]
    rows = [(moment(fact.at), key_link(fact.key), sentence(fact)) for fact in newest]
    return table(("When (UTC)", "What", "What happened"), rows, caption="Newest first")


def _processes(shown: Document) -> Html:
    names = shown["workers"][:_WORKER_NAMES]
    others = len(shown["workers"]) - len(names)
    workers = ", ".join(names) + (f" and {others:,} more" if others else "")
    return facts_of(
        [
            ("Watcher", watcher_shown(shown["watcher"])),
            ("Workers", workers or "None is alive."),
            ("Trivy", shown["trivy"]["serving"] or ""),
        ]
    )
