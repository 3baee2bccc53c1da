"""What a search finds: workloads and images by a part of their names, images by a vulnerability.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.overview.documents import Document
from common.overview.words import counted
from watcher.status.answer import Answer
from watcher.status.frame import section
from watcher.status.markup import Html, badge, joined, link, path, query, table, tag
from watcher.status.names import image_path, key_link, short
from watcher.status.workloads import image_rows, key_of, rows

SHOWN = 20  # of each, before the whole list is offered
_WORKLOADS = 3  # of one image that has a vulnerability


def search_page(asked: str, document: Document) -> Answer:
    """Return what was found by a part of a name."""

    def parts() -> Iterator[Html]:
        if not asked:
            yield tag("h1", "Search")
            yield tag("p", "Write a part of a workload's or an image's name, a digest, or a "
                           "vulnerability such as CVE-2024-12345.")  # fmt: skip
            return
        yield tag("h1", f"Search: {asked}")
        for name in ("workloads", "images"):
            yield _found(name, asked, document)

    return Answer(title="Search", document=document, parts=parts, asked=asked)


def _found(name: str, asked: str, document: Document) -> Html:
    found, total = document[name], document[f"{name}_total"]
    more = (f"{name}{query({'q': asked})}", f"all {total:,}") if (total or 0) > SHOWN else None
    if found is None:
        shown = tag("p", "The list is being read: look again in a moment.", kind="note warn")
    elif not found:
        shown = tag("p", "None.", kind="quiet")
    elif name == "workloads":
        shown = rows(found, caption=f"{len(found):,} of {total:,}")
    else:
        shown = image_rows(found, total)
    return section(name.capitalize(), shown, more=more)


def vulnerability_page(document: Document) -> Answer:
    """Return which images have a vulnerability, and who uses them."""
    name = document["id"]

    def parts() -> Iterator[Html]:
        yield tag("h1", name)
        if not document["enabled"]:
            yield tag("p", "This page shows no findings (SLUICE_STATUS_FINDINGS is false); "
                           "the reports tell.", kind="note warn")  # fmt: skip
            return
        yield tag("p", *_how_far(document))
        if document["images"]:
            yield _images(document["images"])
        if document["after"]:
            href = f"{path(name)}{query({'after': document['after']})}"
            words = f"Look through the other {counted(document['left'], 'image')}"
            yield tag("p", link(href, words), kind="pages")

    return Answer(title=name, document=document, parts=parts, asked=name)


def _how_far(document: Document) -> Iterator[object]:
    found, looked, left = len(document["images"]), document["looked"], document["left"]
    yield tag("strong", f"{counted(found, 'image')} of {looked:,} have it" if found
              else f"None of {counted(looked, 'image')} has it")  # fmt: skip
    if left:
        yield f"; {left:,} are not looked through yet"
    if document["unread"]:
        yield f"; what is on record of {document['unread']:,} cannot be read here"
    yield ". By the matches on record, before ignore rules and severity filters of reports."


def _images(images: Sequence[Document]) -> Html:
    head = ("Image", "Severity", "Package", "Installed", "Fixed in", "Used by")
    cells = [
        (
            link(f"../{image_path(key_of(each))}", ", ".join(each["references"][:3]) or
                 short(each["digest"])),
            badge(package["severity"].lower()),
            package["package"],
            package["installed"],
            package["fixed"] or "-",
            _users(each),
        )
        for each in images
        for package in each["packages"]
    ]  # fmt: skip
    return table(head, cells, caption=f"{len(cells):,} packages of {len(images):,} images")


def _users(each: Document) -> Html:
    users: Sequence[str] = each["workloads"][:_WORKLOADS]
    more = each["users"] - len(users)
    links = [part for one in users for part in (key_link(one, root="../"), ", ")][:-1]
    return joined([*links, f" and {more:,} more" if more > 0 else ""])
