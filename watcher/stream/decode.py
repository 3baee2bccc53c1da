"""JSON of one resource to signals. Pure and total: what cannot be decoded is a value too.

The fast path decodes a line in one go. A line that does not fit is taken apart: the envelope, then
the metadata, then the name alone, so that one strange object costs its own key and not the stream.
`decode_protobuf` keeps the same promises for protobuf, and says things by the functions below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import msgspec

from common.kube.deep import pruned
from common.kube.envelopes import ListMeta, ObjectList, Status, WatchEvent
from common.kube.wire import ObjectMeta, PartialObject, Wire
from watcher.stream.change import Decoded
from watcher.stream.signals import Added, At, Item, Marked, Odd, Page, Refused, Removed

T = TypeVar("T")
Event: TypeAlias = Added | Removed | Marked | Odd | Refused

_EXPIRED = ("Expired", "Gone")
_INITIAL_END = "k8s.io/initial-events-end"


class GarbledError(ValueError):
    """Not what was asked for: the event or page is torn, or no API server sent it."""


class _NameMeta(Wire, frozen=True):
    """The least that names an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _Named(Wire, frozen=True):
    metadata: _NameMeta = _NameMeta()


_partial = msgspec.json.Decoder(PartialObject)
_named = msgspec.json.Decoder(_Named)
_raw_event = msgspec.json.Decoder(WatchEvent[msgspec.Raw])
_status_event = msgspec.json.Decoder(WatchEvent[Status])
_raw_list = msgspec.json.Decoder(ObjectList[msgspec.Raw])


class Decoder:
    """Decodes the events and pages of one type."""

    def __init__(self, kind: type[Decoded]) -> None:
        # mypy takes the brackets for a type expression; msgspec reads the value.
        self._event: msgspec.json.Decoder[WatchEvent[Decoded]] = msgspec.json.Decoder(
            WatchEvent[kind]  # type: ignore[valid-type] # see above
        )
        self._list: msgspec.json.Decoder[ObjectList[Decoded]] = msgspec.json.Decoder(
            ObjectList[kind]  # type: ignore[valid-type] # see above
        )
        self._object: msgspec.json.Decoder[Decoded] = msgspec.json.Decoder(kind)

    def event(self, line: bytes, at: At) -> Event:
        """Return what a line says; an ERROR event is a refusal. Raises GarbledError."""
        return _decoded(self._event_of, line, at)

    def page(self, body: bytes, at: At) -> Page:
        """Return a page; objects that do not fit stand in it undecoded. Raises GarbledError."""
        return _decoded(self._page_of, body, at)

    def _event_of(self, line: bytes, at: At) -> Event:
        try:
            event = self._event.decode(line)
        except msgspec.ValidationError:
            return self._odd_event(line, at)
        kind = event.type
        if kind in ("MODIFIED", "ADDED"):
            return Added(item_of(event.object), at)
        if kind == "DELETED":
            return Removed(item_of(event.object), at)
        if kind == "BOOKMARK":
            return marked(event.object.metadata, at)
        return self._odd_event(line, at)

    def _page_of(self, body: bytes, at: At) -> Page:
        try:
            page = self._list.decode(body)
        except msgspec.ValidationError:
            return self._odd_page(body, at)
        return page_of(page.metadata, tuple(item_of(each) for each in page.items or ()), at)

    def _odd_event(self, line: bytes, at: At) -> Event:
        """Take a line apart that holds no object, or one that does not fit."""
        event = _raw_event.decode(line)
        if event.type == "ERROR":
            return refused(_status_event.decode(line).object, at)
        match event.type:
            case "ADDED" | "MODIFIED":
                return Added(_undecodable(event.object), at)
            case "DELETED":
                return Removed(_undecodable(event.object), at)
            case "BOOKMARK":
                version = _undecodable(event.object).resource_version
                return Marked(resource_version=version, ends_initial=False, at=at)
            case _:
                return Odd()

    def _odd_page(self, body: bytes, at: At) -> Page:
        """Take a page apart that holds at least one object that does not fit."""
        page = _raw_list.decode(body)
        return page_of(page.metadata, tuple(self._try(each) for each in page.items or ()), at)

    def _try(self, raw: msgspec.Raw) -> Item:
        try:
            return item_of(self._object.decode(raw))
        except msgspec.ValidationError:
            return _undecodable(raw)


def _decoded(decode: Callable[[bytes, At], T], data: bytes, at: At) -> T:
    """Decode, also what is nested without end. Raises GarbledError for all that is no such JSON.

    Text that is no UTF-8 is among that: the API server sends none, so it was lost on the way.
    """
    try:
        try:
            return decode(data, at)
        except RecursionError:
            return decode(pruned(data), at)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise GarbledError(str(exc)) from exc


def item_of(found: Decoded) -> Item:
    """Return an object that was decoded, as the machine takes it."""
    meta = found.metadata
    return Item(
        key=meta.key,
        uid=meta.uid,
        resource_version=meta.resource_version,
        version=meta.version,
        object=found,
    )


def _undecodable(raw: msgspec.Raw) -> Item:
    """Return as much as can be read: the metadata, else the name, else nothing."""
    for decoder in (_partial, _named):
        try:
            meta = decoder.decode(raw).metadata
        except msgspec.ValidationError:
            continue
        return named_item(
            ObjectMeta(
                name=meta.name,
                namespace=meta.namespace,
                uid=meta.uid,
                resource_version=meta.resource_version,
            )
        )
    return Item(key="")


def named_item(known: ObjectMeta) -> Item:
    """Return an object of which only this could be read."""
    return Item(
        key=known.key,
        uid=known.uid,
        resource_version=known.resource_version,
        version=known.version,
    )


def marked(meta: ObjectMeta, at: At) -> Marked:
    """Return what a bookmark says; an annotation tells the one that ends the first reading."""
    ends = (meta.annotations or {}).get(_INITIAL_END) == "true"
    return Marked(resource_version=meta.resource_version, ends_initial=ends, at=at)


def page_of(meta: ListMeta, items: tuple[Item, ...], at: At) -> Page:
    """Return a page."""
    return Page(
        items=items,
        resource_version=meta.resource_version,
        cursor=meta.continue_token,
        at=at,
    )


def refused(status: Status, at: At) -> Refused:
    """Return what an ERROR event means; a proxy may have lost its code."""
    code = status.code or (410 if status.reason in _EXPIRED else 500)
    return Refused(
        code=code,
        reason=status.reason or "ErrorEvent",
        at=at,
        retry_after_s=status.retry_after_s,
    )
