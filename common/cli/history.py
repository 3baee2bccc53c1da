"""`sluice history`: the ledger of one object, told in sentences."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
import orjson

from common.cli.command import Command, Context, positive
from common.cli.subject import HINT, keys_meant, known_in, read_wish
from common.cli.tables import open_tables
from common.model.facts import Fact
from common.model.image import ImageState
from common.model.key import ImageKey, WorkKey, WorkloadKey, image_of
from common.model.patterns import matches
from common.ops.exit_status import DONE, FAILED
from common.overview import verified
from common.overview.outages import concerning
from common.overview.story import told
from common.overview.words import counted
from common.settings.value import Settings

_LIMIT = 50


class Stories(Protocol):
    """The ledger."""

    def story(self, key: str, limit: int) -> list[Fact]:
        """Return a key's newest facts, newest last, and every circuit's between them."""


class Used(Protocol):
    """The image table."""

    def used_by(self, workload: WorkloadKey) -> list[ImageKey]:
        """Return the images that a workload uses."""


class Recorded(Used, Protocol):
    """The image table, with its records."""

    def states(self, keys: Sequence[ImageKey]) -> list[ImageState]:
        """Return what is on record about each."""


def chapters(
    keys: Sequence[WorkKey], ledger: Stories, images: Used, *, limit: int
) -> list[tuple[WorkKey, list[Fact]]]:
    """Return the facts of each key, and after a workload those of the images that it uses.

    What became of a source that held a key is part of the key's story.
    """
    wanted: list[WorkKey] = []
    for key in keys:
        wanted.append(key)
        if isinstance(key, WorkloadKey):
            wanted.extend(images.used_by(key))
    return [
        (key, concerning(ledger.story(str(key), limit), limit=limit))
        for key in dict.fromkeys(wanted)
    ]


def on_record(keys: Sequence[WorkKey], images: Recorded) -> dict[WorkKey, list[ImageState]]:
    """Return what is on record about the image of each key, or about those that it uses."""
    found = {}
    for key in keys:
        image = image_of(key)
        used = images.used_by(key) if isinstance(key, WorkloadKey) else [image] if image else []
        found[key] = images.states(used) if used else []
    return found


def page(
    found: Sequence[tuple[WorkKey, Sequence[Fact]]], looks: Mapping[WorkKey, str], *, limit: int
) -> str:
    """Return the chapters for people; one that `limit` cut says so. Pure."""
    parts = []
    for key, facts in found:
        lines = [f"  {told(fact)}" for fact in facts] or ["  Nothing on record."]
        cut = [f"  … the newest {counted(limit, 'fact')}; --limit shows older ones"]
        own = sum(fact.kind != "circuit" for fact in facts)
        ends = [f"  {looks[key]}"] if looks.get(key) else []
        parts.append("\n".join([key.shown, *(cut if own >= limit else []), *lines, *ends]))
    return "\n\n".join(parts)


def document(
    found: Sequence[tuple[WorkKey, Sequence[Fact]]],
    images: Mapping[WorkKey, Sequence[ImageState]],
) -> str:
    """Return the chapters as JSON. Pure."""
    listed = [
        {
            "key": str(key),
            "facts": msgspec.to_builtins(facts),
            "images": [
                {"key": str(one.key), "verified_at": one.verified_at, "database": one.database}
                for one in images.get(key, ())
            ],
        }
        for key, facts in found
    ]
    return orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode()


def excluded_by(text: str, settings: Settings) -> str:
    """Return the glob that leaves an image of this reference out; empty: none does."""
    found = (glob for glob in settings.scope.exclude_images if matches(glob, text))
    return next(found, "")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "object", metavar="OBJECT", help="Kind/namespace/name, a report, or an image"
    )
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    parser.add_argument(
        "--limit",
        type=positive,
        default=_LIMIT,
        metavar="N",
        help=f"newest facts (default {_LIMIT})",
    )


def _run(context: Context, arguments: argparse.Namespace) -> int:
    with open_tables(context.settings()) as tables:
        keys = keys_meant(read_wish(arguments.object), known_in(tables))
        found = chapters(keys, tables.ledger, tables.images, limit=arguments.limit)
        images, now_s = on_record([key for key, _ in found], tables.images), tables.clock.now_s()
        excluding = excluded_by(arguments.object, context.counting(tables.overlays.current()))
    if not any(facts for _, facts in found) and excluding:
        told = {"image": arguments.object, "excluded_by": excluding, "facts": []}
        text = f"{arguments.object} is not scanned: SLUICE_EXCLUDE_IMAGES leaves {excluding} out"
        context.terminal.result(orjson.dumps([told]).decode() if arguments.json else text)
        return DONE
    if not any(facts for _, facts in found):
        context.terminal.note(
            f"nothing is known about {arguments.object!r} (the ledger forgets the oldest facts); "
            f"{HINT}"
        )
        return FAILED
    if arguments.json:
        context.terminal.result(document(found, images))
    else:
        looks = {key: verified.said(states, now_s=now_s) for key, states in images.items()}
        context.terminal.result(page(found, looks, limit=arguments.limit))
    return DONE


COMMANDS = {
    "history": Command(
        summary="Tells why an object or an image was scanned, written, retried, or not.",
        examples=(
            "sluice history Deployment/shop/web",
            "sluice history VulnerabilityReport/shop/replicaset-web-5d8f-app",
            "sluice history docker.io/library/nginx:1.27",
            "sluice history Pod/shop/web --json --limit 10",
        ),
        arguments=_arguments,
        run=_run,
    )
}
