"""What reads each encoding: how a body is cut into events, and how those are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from common.kube.negotiate import Codec
from watcher.stream.catalog import Row
from watcher.stream.decode import Decoder, Event
from watcher.stream.decode_protobuf import ProtobufDecoder
from watcher.stream.frames import FrameSplitter, FrameTooLongError
from watcher.stream.lines import LineSplitter, LineTooLongError
from watcher.stream.signals import At, Page

TOO_LONG = (LineTooLongError, FrameTooLongError)


class Splitter(Protocol):
    """Cuts a body into events."""

    @property
    def torn(self) -> str:
        """The reason to give where a body ends in the middle of an event."""

    @property
    def unfinished_bytes(self) -> int:
        """How much of an event is waiting for its end."""

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Return the events that `chunk` completes. Raises one of TOO_LONG."""


class EventDecoder(Protocol):
    """Turns bytes of one resource into signals."""

    def event(self, data: bytes, at: At, /) -> Event:
        """Return what an event says. Raises GarbledError."""

    def page(self, body: bytes, at: At, /) -> Page:
        """Return a page of a list. Raises GarbledError."""


def splitter_for(codec: Codec) -> Splitter:
    """Return a splitter for one body."""
    return FrameSplitter() if codec == "protobuf" else LineSplitter()


def decoder_for(codec: Codec, row: Row) -> EventDecoder:
    """Return a decoder of a resource's objects."""
    return ProtobufDecoder(row.message) if codec == "protobuf" else Decoder(row.type)
