"""The list of workloads, and one workload's own page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from common.model.key import ImageKey, WorkloadKey
from common.overview.documents import Document
from common.overview.roster import TRUE, Choice, Listed, Roster
from common.overview.words import age
from watcher.status.answer import Answer, Query, pages
from watcher.status.frame import facts_of, pager, section
from watcher.status.markup import Html, badge, joined, link, query, table, tag, text
from watcher.status.names import image_path, short, version, workload_link, workload_path
from watcher.status.queue import facts_table, rows_of

# What reports' metadata says, of one workload; on any thread.
Reports: TypeAlias = Callable[[WorkloadKey], Sequence[Document]]

ROOT = "../../../"  # from a workload's page to the first one
_NAMESPACES = 500  # offered to choose from; of more, some letters are typed
_HEAD = ("Workload", "State", "Why", "Critical", "High")
_SEVERITIES = ("critical", "high", "medium", "low", "unknown")


def choice_of(asked: Query) -> Choice:
    """Return which workloads are meant."""
    return Choice(text=asked.get("q"), namespace=asked.get("namespace"), state=asked.get("state"))


def workloads_document(roster: Roster | None, asked: Query, reports: Reports) -> Document:
    """Return a page of the list."""
    choice = choice_of(asked)
    if roster is None:
        return {"workloads": None, "total": None}
    found, states = roster.chosen(choice, start=asked.start, limit=asked.limit)
    total = states.get(choice.state, 0) if choice.state else sum(states.values())
    return {
        "workloads": [_listed(one, reports) for one in found],
        "total": total,
        "start": asked.start,
        "states": states,
        "namespaces": roster.namespaces,
    }


def _listed(one: Listed, reports: Reports) -> Document:
    key = WorkloadKey(kind=one.kind, namespace=one.namespace, name=one.name)
    return {**one.document, "findings": _sum(reports(key))}


def _sum(reports: Sequence[Document]) -> Document | None:
    """Return the findings of all containers by severity; None: no report of them is known."""
    counts = [each["counts"] for each in reports if each["kind"] == "VulnerabilityReport"]
    known = [each for each in counts if each]
    if not known:
        return None
    return {name: sum(each[name] for each in known) for name in _SEVERITIES}


def workloads_page(document: Document, asked: Query) -> Answer:
    """Return the list."""
    choice = choice_of(asked)

    def parts() -> Iterator[Html]:
        yield tag("h1", "Workloads")
        if document["workloads"] is None:
            yield tag("p", "The list is being read: look again in a moment.", kind="note warn")
            return
        yield _states(document, choice)
        yield _form(document, choice)
        yield from _list(document, asked)

    return Answer(
        title="Workloads",
        document=document,
        parts=parts,
        status=200 if document["workloads"] is not None else 503,
        tab="workloads",
    )


def _list(document: Document, asked: Query) -> Iterator[Html]:
    total, choice = document["total"], choice_of(asked)
    if not document["workloads"]:
        yield tag(
            "p", "No such workload." if document["namespaces"] else "There is none.", kind="quiet"
        )
        return
    first, last = document["start"] + 1, document["start"] + len(document["workloads"])
    yield rows(document["workloads"], caption=f"{first:,} to {last:,} of {total:,}")
    given = {"q": choice.text, "namespace": choice.namespace, "state": choice.state}
    yield pager("workloads", given, page=asked.page, pages=pages(total, asked.limit))


def rows(workloads: Sequence[Document], *, caption: str) -> Html:
    """Return workloads as a table."""
    cells = (
        (
            workload_link(f"{each['kind']}/{each['namespace']}/{each['name']}"),
            badge(each["state"]),
            "" if each["state"] == TRUE else each["why"],
            *(_count(each["findings"], name) for name in ("critical", "high")),
        )
        for each in workloads
    )
    return table(_HEAD, cells, caption=caption, numbers={3, 4})


def _count(findings: Document | None, severity: str) -> object:
    return "" if findings is None else f"{findings[severity]:,}"


def _states(document: Document, choice: Choice) -> Html:
    """Return how many are in each state, as ways to those."""
    given = {"q": choice.text, "namespace": choice.namespace}
    every = sum(document["states"].values())
    ways = [
        badge(
            "rest", f"{every:,} in all", href=f"workloads{query(given)}", current=not choice.state
        )
    ]
    for state, count in document["states"].items():
        href = f"workloads{query({**given, 'state': state})}"
        ways.append(badge(state, f"{count:,} {state}", href=href, current=choice.state == state))
    return tag("ul", *(tag("li", way) for way in ways), kind="legend")


def _form(document: Document, choice: Choice) -> Html:
    names = list(document["namespaces"])[:_NAMESPACES]
    options = joined(Html(f'<option value="{text(name)}"></option>') for name in names)
    fields = (
        _field("Name contains", "q", choice.text),
        _field("Namespace", "namespace", choice.namespace, offers="namespaces"),
        Html(f'<input type="hidden" name="state" value="{text(choice.state)}">')
        if choice.state
        else "",
        tag("button", "Filter"),
        tag("datalist", options, attributes={"id": "namespaces"}),
    )
    return tag("form", *fields, kind="filter", attributes={"action": "workloads"})


def _field(label: str, name: str, value: str, *, offers: str = "") -> Html:
    listed = f' list="{offers}"' if offers else ""
    field = Html(f'<input name="{name}" maxlength="200" value="{text(value)}"{listed}>')
    return tag("label", label, field)


# --- one workload


def workload_page(document: Document) -> Answer:
    """Return the page of one workload."""
    name = f"{document['kind']}/{document['namespace']}/{document['name']}"

    def parts() -> Iterator[Html]:
        yield tag("h1", name)
        if not document["known"]:
            yield tag("p", "Nothing is on record about it: no row, no place in the queue, no fact "
                           "among the newest.", kind="note warn")  # fmt: skip
            return
        yield _standing(document)
        yield section("Images", *_containers(document))
        yield section("Reports", *_reports(document["reports"]))
        if document["queue"]:
            yield section(
                "In the queue", rows_of([document["queue"]], caption="Its own key", root=ROOT)
            )
        yield section("History", *_history(document, f"sluice history {name}"))

    status = 200 if document["known"] else 404
    return Answer(title=name, document=document, parts=parts, status=status)


def _standing(document: Document) -> Html:
    if not document["exists"]:
        return tag("p", badge("gone"), " It has no row: it is gone, or owned by another workload.")
    state = joined([badge(document["state"]), " ", document["why"]])
    return facts_of(
        [
            ("State", state),
            ("Owner", document["owner"]),
            ("Revision", "" if document["current"] else _older(document)),
            ("Not scanned", document["skip"]),
            ("Last run", _last_run(document["settled"])),
            ("Service account", document["service_account"]),
        ]
    )


def _older(document: Document) -> object:
    successor = document["successor"]
    if not successor:
        return "not the current one"
    key = WorkloadKey(kind=document["kind"], namespace=document["namespace"], name=successor)
    return joined(["not the current one, which is ", link(ROOT + workload_path(key), successor)])


def _last_run(settled: Document | None) -> str:
    if settled is None:
        return "none has ended yet"
    ago = "" if settled["age_s"] is None else f", {age(settled['age_s'])} ago"
    then = "" if settled["as_it_is_now"] else "; it has changed since"
    return f"{settled['outcome']}{ago}{then}"


def _containers(document: Document) -> Iterator[Html]:
    images = {one["digest"]: one for one in document["images"]}
    cells = []
    for each in document["containers"]:
        digests = [one["digest"] for one in (*each["running"], *each["loaded"])]
        known = [images[digest] for digest in digests if digest in images]
        cells.append((each["name"], each["image"], _digests(digests, images),
                      joined(badge(one["state"]) for one in known),
                      each["pull_error"]))  # fmt: skip
    total = document["containers_total"]
    if cells:
        head = ("Container", "Image", "Runs", "Its record", "The kubelet says")
        yield table(head, cells, caption=f"{len(cells):,} of {total:,} containers")
    if document["images"]:
        yield image_rows(document["images"], document["images_total"], root=ROOT)
    if not cells and not document["images"]:
        yield tag("p", "None.", kind="quiet")


def _digests(digests: Sequence[str], images: dict[str, Document]) -> Html:
    shown = [
        link(ROOT + image_path(key_of(images[one])), short(one))
        if one in images
        else text(short(one))
        for one in digests
    ]
    return joined([part for each in shown for part in (each, " ")][:-1])


def key_of(image: Document) -> ImageKey:
    """Return the key of an image as JSON shows it."""
    return ImageKey(digest=image["digest"], platform=image["platform"], options=image["options"])


def image_rows(images: Sequence[Document], total: int, *, root: str = "") -> Html:
    """Return images as a table."""
    head = ("Image", "Digest", "State", "Used by", "Findings verified", "Database")
    cells = (
        (
            link(root + image_path(key_of(each)), ", ".join(each["references"][:3]))
            if each["references"]
            else "-",
            joined([link(root + image_path(key_of(each)), short(each["digest"])), " ",
                    tag("span", each["platform"].replace("-", "/"), kind="quiet")]),
            badge(each["state"]),
            f"{each['users']:,}",
            "not yet" if each["verified_age_s"] is None else f"{age(each['verified_age_s'])} ago",
            version(each["database"]) if each["database"] else "",
        )
        for each in images
    )  # fmt: skip
    caption = f"{len(images):,} of {total:,} images"
    return table(head, cells, caption=caption, numbers={3})


def _reports(reports: Sequence[Document] | None) -> Iterator[Html]:
    if not reports:
        yield tag("p", "None is known." if reports is not None else "", kind="quiet")
        return
    head = ("Report", "Container", *(name.capitalize() for name in _SEVERITIES), "")
    cells = (
        (
            f"{each['kind']}/{each['name']}",
            each["container"],
            *(_count(each["counts"], name) for name in _SEVERITIES),
            _odd(each),
        )
        for each in reports
    )
    caption = "As they are stored in the cluster"
    yield table(head, cells, caption=caption, numbers=range(2, 7))


def _odd(report: Document) -> object:
    if not report["ours"]:
        return badge("missing", "not written by us")
    return badge("missing", "edited") if report["edited"] else ""


def _history(document: Document, command: str) -> Iterator[Html]:
    if document["facts"]:
        yield facts_table(document["facts"], keys=False, root=ROOT)
    else:
        yield tag("p", "Nothing among the newest facts.", kind="quiet")
    yield tag("p", "All of it: ", tag("code", command), kind="quiet")
