"""The list of images, and one image's own page. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.overview.catalogue import Catalogue
from common.overview.documents import Document
from common.overview.words import age, counted
from watcher.status.answer import Answer, Query, pages
from watcher.status.frame import facts_of, pager, section
from watcher.status.markup import Html, badge, joined, link, path, query, table, tag, text
from watcher.status.names import key_link, short, version
from watcher.status.queue import facts_table, rows_of
from watcher.status.workloads import image_rows

ROOT = "../../../"  # from an image's page to the first one


def images_document(found: Catalogue, asked: Query, *, now_s: float) -> Document:
    """Return a page of the list."""
    state = asked.get("state")
    chosen, states = found.chosen(
        text=asked.get("q"), state=state, start=asked.start, limit=asked.limit
    )
    return {
        "images": [one.document(now_s=now_s) for one in chosen],
        "total": states.get(state, 0) if state else sum(states.values()),
        "start": asked.start,
        "states": states,
    }


def images_page(document: Document, asked: Query) -> Answer:
    """Return the list."""
    wanted, state = asked.get("q"), asked.get("state")

    def parts() -> Iterator[Html]:
        yield tag("h1", "Images")
        yield _states(document["states"], wanted, state)
        field = Html(f'<input name="q" maxlength="200" value="{text(wanted)}">')
        hidden = Html(f'<input type="hidden" name="state" value="{text(state)}">') if state else ""
        label = tag("label", "Name or digest contains", field)
        yield tag("form", label, hidden, tag("button", "Filter"), kind="filter",
                  attributes={"action": "images"})  # fmt: skip
        if document["images"]:
            yield image_rows(document["images"], document["total"])
        else:
            yield tag("p", "No such image.", kind="quiet")
        yield pager("images", {"q": wanted, "state": state}, page=asked.page,
                    pages=pages(document["total"], asked.limit))  # fmt: skip

    return Answer(title="Images", document=document, parts=parts, tab="images")


def _states(states: Document, wanted: str, chosen: str) -> Html:
    every = sum(states.values())
    ways = [badge("rest", f"{every:,} in all", href=f"images{query({'q': wanted})}",
                  current=not chosen)]  # fmt: skip
    for state, number in states.items():
        href = f"images{query({'q': wanted, 'state': state})}"
        ways.append(badge(state, f"{number:,} {state}", href=href, current=chosen == state))
    return tag("ul", *(tag("li", way) for way in ways), kind="legend")


# --- one image


def image_page(document: Document, asked: Query) -> Answer:
    """Return the page of one image."""
    names = document["references"]
    title = names[0] if names else short(document["digest"])

    def parts() -> Iterator[Html]:
        yield tag("h1", title)
        if not document["known"]:
            yield tag("p", "Nothing is on record about it.", kind="note warn")
            return
        yield _standing(document)
        if document["failure"]:
            yield _failure(document["failure"])
        yield section("Findings", *_findings(document, asked))
        yield section("Used by", *_users(document))
        if document["queue"]:
            yield section(
                "In the queue", rows_of([document["queue"]], caption="Its own key", root=ROOT)
            )
        yield section("History", *_history(document))

    status = 200 if document["known"] else 404
    return Answer(title=title, document=document, parts=parts, status=status)


def _standing(document: Document) -> Html:
    taken = document["inventory"] or {}
    verified_s = document["verified_age_s"]
    verified = "not yet" if verified_s is None else f"{age(verified_s)} ago"
    by = f", by database {version(document['database'])}" if document["database"] else ""
    system = taken.get("os", "")
    ended = " (end of life)" if taken.get("end_of_life") else ""
    return facts_of(
        [
            ("State", badge(document["state"])),
            ("Digest", tag("code", document["digest"])),
            ("Platform", document["platform"].replace("-", "/")),
            ("Called", ", ".join(document["references"])),
            ("Findings verified", verified + by),
            ("System", f"{system}{ended}" if system else ""),
            ("Inventory", _inventory(taken)),
        ]
    )


def _inventory(taken: Document) -> str:
    if not taken:
        return "none yet"
    bare = "" if taken["covered"] else "; Trivy knows no package database for it"
    return (
        f"{counted(taken['components'], 'component')} in {counted(taken['layers'], 'layer')}, "
        f"{counted(taken['secrets'], 'exposed secret')}, by Trivy {taken['scanner_version']}{bare}"
    )


def _failure(failure: Document) -> Html:
    ago = "" if failure["age_s"] is None else f" {age(failure['age_s'])} ago"
    tries = counted(failure["attempts"], "attempt")
    return tag("p", tag("strong", failure["reason"]), f"{ago} ({tries}): ", failure["message"],
               kind="note bad")  # fmt: skip


def _findings(document: Document, asked: Query) -> Iterator[Html]:
    counts, found = document["counts"], document["findings"]
    if document["unread"]:
        yield tag("p", "Some of what is on record is too large for this page, or of another "
                       "version.", kind="note warn")  # fmt: skip
    if counts is None:
        yield tag("p", "" if document["unread"] else "Not matched yet.", kind="quiet")
        return
    ways = (tag("li", badge(name, f"{number:,} {name.lower()}")) for name, number in counts.items())
    yield tag("ul", *ways, kind="legend")
    if found is None:
        yield tag("p", "Which ones, is not shown here (SLUICE_STATUS_FINDINGS); the reports tell.",
                  kind="quiet")  # fmt: skip
        return
    if found["rows"]:
        yield finding_rows(found, root=ROOT)
    yield pager("", {}, page=asked.page, pages=pages(found["total"], asked.limit))


def finding_rows(found: Document, *, root: str) -> Html:
    """Return findings of one image as a table."""
    head = ("Vulnerability", "Severity", "Package", "Installed", "Fixed in", "Title")
    cells = (
        (
            link(f"{root}{path('vulnerability', each['id'])}", each["id"]) if each["id"] else "-",
            badge(each["severity"].lower()),
            each["package"],
            each["installed"],
            each["fixed"] or "-",
            each["title"],
        )
        for each in found["rows"]
    )
    first, last = found["start"] + 1, found["start"] + len(found["rows"])
    caption = f"{first:,} to {last:,} of {found['total']:,}, before ignore rules and filters"
    return table(head, cells, caption=caption)


def _users(document: Document) -> Iterator[Html]:
    users: Sequence[Document] = document["users"]
    if not users:
        yield tag("p", "Nobody uses it now.", kind="quiet")
        return
    cells = (
        (
            key_link(each["workload"], root=ROOT),
            each["reference"],
            "runs there" if each["kubelet_ran_it"] else "",
        )
        for each in users
    )
    caption = f"{len(users):,} of {document['users_total']:,}"
    yield table(("Workload", "Calls it", ""), cells, caption=caption)


def _history(document: Document) -> Iterator[Html]:
    if document["facts"]:
        yield facts_table(document["facts"], keys=False)
    else:
        yield tag("p", "Nothing among the newest facts.", kind="quiet")
    command = tag("code", f"sluice history {short(document['digest'])}")
    yield joined([tag("p", "All of it: ", command, kind="quiet")])
