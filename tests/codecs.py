"""The same objects in every encoding, for tests of those who read them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import orjson

from common.kube.negotiate import Codec
from tests.fakes import kube_protobuf
from watcher.stream.catalog import BY_RESOURCE, Row
from watcher.stream.codec import EventDecoder, decoder_for

PODS = BY_RESOURCE["pods"]
REPORTS = BY_RESOURCE["vulnerabilityreports"]


class Speaker(ABC):
    """A server that speaks one encoding, without the server."""

    codec: Codec

    def decoder(self, row: Row) -> EventDecoder:
        """Return who reads it."""
        return decoder_for(self.codec, row)

    @abstractmethod
    def event(self, type_: str, row: Row, found: Any) -> bytes:
        """Return an event as a splitter hands it on."""

    @abstractmethod
    def error(self, status: Any) -> bytes:
        """Return an ERROR event."""

    @abstractmethod
    def page(self, row: Row, meta: Any, *items: Any) -> bytes:
        """Return a page."""

    @abstractmethod
    def stream(self, *events: bytes) -> bytes:
        """Return a body with these events."""

    @abstractmethod
    def misfit(self, type_: str, meta: Any) -> bytes:
        """Return an event of a Pod with that metadata whose spec cannot be read."""

    @abstractmethod
    def mislabelled(self, type_: str, row: Row, meta: Any) -> bytes:
        """Return an event of an object with a label that cannot be read."""

    @abstractmethod
    def nameless(self, type_: str) -> bytes:
        """Return an event whose object has no name that can be read."""

    @abstractmethod
    def mixed_page(self, meta: Any, good: Any, strange: Any) -> bytes:
        """Return a page of three Pods: a good one, one that cannot be read, one without a name."""


class Json(Speaker):
    """JSON, a line each."""

    codec = "json"

    def event(self, type_: str, row: Row, found: Any) -> bytes:
        """Return a line."""
        return orjson.dumps({"type": type_, "object": found}) + b"\n"

    def error(self, status: Any) -> bytes:
        """Return a line."""
        return self.event("ERROR", PODS, status)

    def page(self, row: Row, meta: Any, *items: Any) -> bytes:
        """Return a list."""
        return orjson.dumps({"kind": f"{row.kind}List", "metadata": meta, "items": items})

    def stream(self, *events: bytes) -> bytes:
        """Return lines."""
        return b"".join(events)

    def misfit(self, type_: str, meta: Any) -> bytes:
        """Return a Pod on a node called 5."""
        return self.event(type_, PODS, {"metadata": meta, "spec": {"nodeName": 5}})

    def mislabelled(self, type_: str, row: Row, meta: Any) -> bytes:
        """Return a label that is a number."""
        return self.event(type_, row, {"metadata": {**meta, "labels": {"a": 1}}})

    def nameless(self, type_: str) -> bytes:
        """Return metadata that is a list."""
        return self.event(type_, PODS, {"metadata": []})

    def mixed_page(self, meta: Any, good: Any, strange: Any) -> bytes:
        """Return items that are none."""
        return self.page(PODS, meta, good, {"metadata": strange, "spec": {"containers": "none"}}, 7)


class Protobuf(Speaker):
    """Protobuf, with its length before each event."""

    codec = "protobuf"

    _TORN_SPEC = b"\x12\x02\x52\x05"  # field 2: a node's name of five bytes, none of which is there

    def event(self, type_: str, row: Row, found: Any) -> bytes:
        """Return a frame."""
        return kube_protobuf.event(type_, kube_protobuf.wrapped(row.message, found))

    def error(self, status: Any) -> bytes:
        """Return a frame."""
        return kube_protobuf.event("ERROR", kube_protobuf.wrapped("Status", status))

    def page(self, row: Row, meta: Any, *items: Any) -> bytes:
        """Return a list."""
        return kube_protobuf.page(row.message, {"metadata": meta, "items": items})

    def stream(self, *events: bytes) -> bytes:
        """Return frames."""
        return b"".join(map(kube_protobuf.framed, events))

    def misfit(self, type_: str, meta: Any) -> bytes:
        """Return a Pod whose spec ends too early."""
        return self._wrapped(type_, self._meta(meta) + self._TORN_SPEC)

    def mislabelled(self, type_: str, row: Row, meta: Any) -> bytes:
        """Return a label that is torn."""
        named = self._meta(meta)[2:] + b"\x5a\x03\x0a\x05a"
        return self._wrapped(type_, b"\x0a" + bytes([len(named)]) + named)

    def nameless(self, type_: str) -> bytes:
        """Return an object that is none."""
        return self._wrapped(type_, b"\xff\xff")

    def mixed_page(self, meta: Any, good: Any, strange: Any) -> bytes:
        """Return items that are none."""
        items = (
            kube_protobuf.encode("Pod", good),
            self._meta(strange) + self._TORN_SPEC,
            b"\xff\xff",
        )
        head = kube_protobuf.encode("AnyList", {"metadata": meta, "items": items})
        return kube_protobuf.wrap("PodList", head)

    def _wrapped(self, type_: str, raw: bytes) -> bytes:
        return kube_protobuf.event(type_, kube_protobuf.wrap("Pod", raw))

    def _meta(self, meta: Any) -> bytes:
        raw = kube_protobuf.encode("PartialObjectMetadata", {"metadata": meta})
        return raw.removesuffix(kube_protobuf.UNKNOWN_FIELD)


SPEAKERS = (Json(), Protobuf())
