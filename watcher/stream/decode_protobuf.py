"""Protobuf of one resource to signals: the promises of `decode.Decoder`, for the other encoding.

An object that does not fit is read again as metadata, then as a name alone. A field that has the
wrong wire type counts as absent, as protobuf will have it; no API server sends one.
"""

from __future__ import annotations

import contextlib

from common.kube.protobuf.envelope import open_event, open_list, read_name, read_status, unwrap
from common.kube.protobuf.messages import MisfitError
from common.kube.protobuf.objects import METADATA_ONLY
from common.kube.protobuf.read import Reader
from common.kube.wire import ObjectMeta
from watcher.stream.decode import (
    Event,
    GarbledError,
    item_of,
    marked,
    named_item,
    page_of,
    refused,
)
from watcher.stream.signals import Added, At, Item, Marked, Odd, Page, Removed

_metadata = Reader(METADATA_ONLY)


class ProtobufDecoder:
    """Decodes the events and pages of one kind."""

    def __init__(self, kind: str) -> None:
        """Raise KeyError for a kind without a schema."""
        self._reader = Reader(kind)

    def event(self, frame: bytes, at: At) -> Event:
        """Return what a frame says; an ERROR event is a refusal. Raises GarbledError."""
        try:
            kind, found = open_event(frame)
            if kind in ("MODIFIED", "ADDED"):
                return Added(self._wrapped(found), at)
            if kind == "DELETED":
                return Removed(self._wrapped(found), at)
            if kind == "BOOKMARK":
                return _marked(found, at)
            if kind == "ERROR":
                return refused(read_status(unwrap(found).raw), at)
        except MisfitError as exc:
            raise GarbledError(str(exc)) from exc
        return Odd()

    def page(self, body: bytes, at: At) -> Page:
        """Return a page; objects that do not fit stand in it undecoded. Raises GarbledError."""
        try:
            contents = unwrap(body)
            if not contents.kind.endswith("List"):
                raise GarbledError(f"not a list: {contents.kind[:64]!r}")
            meta, items = open_list(contents.raw)
        except MisfitError as exc:
            raise GarbledError(str(exc)) from exc
        return page_of(meta, tuple(self._item(each) for each in items), at)

    def _wrapped(self, data: bytes) -> Item:
        try:
            return item_of(self._reader.read_wrapped(data))
        except MisfitError:
            return _undecodable_in(data)

    def _item(self, raw: bytes) -> Item:
        try:
            return item_of(self._reader.read(raw))
        except MisfitError:
            return _undecodable(raw)


def _undecodable_in(data: bytes) -> Item:
    """Return as much as can be read of an object in its envelope; it is told as undecodable."""
    try:
        return _undecodable(unwrap(data).raw)
    except MisfitError:
        return Item(key="")


def _undecodable(raw: bytes) -> Item:
    """Return as much as can be read: the metadata, else the name, else nothing."""
    for read in (_metadata_of, read_name):
        with contextlib.suppress(MisfitError):
            return named_item(read(raw))
    return Item(key="")


def _marked(data: bytes, at: At) -> Marked:
    """Return a bookmark; of one that does not fit the version is read, which is what matters."""
    try:
        raw = unwrap(data).raw
        try:
            return marked(_metadata_of(raw), at)
        except MisfitError:
            return marked(read_name(raw), at)
    except MisfitError:
        return marked(ObjectMeta(), at)


def _metadata_of(raw: bytes) -> ObjectMeta:
    return _metadata.read(raw).metadata
