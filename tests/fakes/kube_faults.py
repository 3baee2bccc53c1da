"""Answers of the fake API server, good and bad: what `FakeKubeApi.fail` can be told to do."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from common.kube.negotiate import PROTOBUF
from tests.fakes import kube_protobuf
from tests.fakes.kube_store import Object
from watcher.stream.catalog import BY_RESOURCE

NOT_ACCEPTABLE = 406
_SOME = {"type": "ADDED", "object": {"metadata": {"name": "torn"}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request that came in."""

    verb: str
    path: str
    query: Mapping[str, str]
    accept: str
    headers: Mapping[str, str]
    body: bytes
    at: float  # monotonic


class Exchange:
    """One request and the means to answer it, well or badly."""

    def __init__(
        self,
        handler: BaseHTTPRequestHandler,
        seen: Seen,
        ending: threading.Event,
        *,
        protobuf: bool = False,
        compressed: bool = False,
    ) -> None:
        self._handler = handler
        self.seen = seen
        self.ending = ending
        self.protobuf = protobuf and seen.accept.startswith(PROTOBUF)
        self._compressed = compressed
        self._started = False

    @property
    def _message(self) -> str:
        """What the objects of this request are in protobuf."""
        if "as=PartialObjectMetadata" in self.seen.accept:
            return "PartialObjectMetadata"
        row = next(BY_RESOURCE[part] for part in self.seen.path.split("/") if part in BY_RESOURCE)
        return row.message

    def reply(self, code: int, body: Object, headers: Mapping[str, str] | None = None) -> None:
        """Send one body; a 406 is always in JSON."""
        if self.protobuf and code != NOT_ACCEPTABLE:
            content_type, data = PROTOBUF, self._encoded(body)
        else:
            content_type, data = "application/json", json.dumps(body).encode()
        self._handler.send_response(code)
        self._handler.send_header("Content-Type", content_type)
        self._handler.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self._handler.send_header(name, value)
        self._handler.end_headers()
        self._handler.wfile.write(data)

    def start(self) -> None:
        """Send the head of a stream, once."""
        if self._started:
            return
        self._started = True
        self._handler.send_response(200)
        content_type = f"{PROTOBUF};stream=watch" if self.protobuf else "application/json"
        self._handler.send_header("Content-Type", content_type)
        if self._compressed:
            self._handler.send_header("Content-Encoding", "gzip")
        self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()

    def line(self, event: Object | bytes) -> None:
        """Send one event as one chunk: a line, or a frame; one member, if compressed."""
        data = event if isinstance(event, bytes) else self.event(event)
        if self._compressed:
            data = gzip.compress(data)
        self.raw(b"%x\r\n" % len(data) + data + b"\r\n")

    def event(self, event: Object) -> bytes:
        """Return an event as it stands in the stream."""
        if not self.protobuf:
            return json.dumps(event).encode() + b"\n"
        kind = "Status" if event["type"] == "ERROR" else self._message
        found = kube_protobuf.wrapped(kind, event["object"])
        return kube_protobuf.framed(kube_protobuf.event(event["type"], found))

    def _encoded(self, body: Object) -> bytes:
        if body.get("kind") == "Status":
            return kube_protobuf.wrapped("Status", body)
        if "items" in body:
            return kube_protobuf.page(self._message, body)
        return kube_protobuf.wrapped(self._message, body)

    def raw(self, data: bytes) -> None:
        """Send bytes of a stream as they are."""
        self.start()
        self._handler.wfile.write(data)

    def end(self) -> None:
        """End a stream properly."""
        self.raw(b"0\r\n\r\n")

    def cut(self) -> None:
        """Break the connection."""
        self._handler.close_connection = True
        with contextlib.suppress(OSError):
            self._handler.connection.shutdown(socket.SHUT_RDWR)


Act = Callable[[Exchange], None]


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong, how often, and after how many lines of a stream."""

    verb: str
    act: Act
    times: int
    after: int  # lines of a stream that are sent first; 0: instead of any answer


def status(code: int, reason: str, message: str = "", **details: Any) -> Object:
    """Return a Status body."""
    body: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message or reason,
        "reason": reason,
        "code": code,
    }
    return {**body, "details": details} if details else body


def refuse(
    code: int, reason: str, *, headers: Mapping[str, str] | None = None, **details: Any
) -> Act:
    """Answer with a status."""
    return lambda exchange: exchange.reply(code, status(code, reason, **details), headers)


def error_event(code: int, reason: str, **details: Any) -> Act:
    """Send an ERROR event, then end the stream."""

    def act(exchange: Exchange) -> None:
        exchange.line({"type": "ERROR", "object": status(code, reason, **details)})
        exchange.end()

    return act


def send(line: bytes) -> Act:
    """Send a line of any kind, then end the stream."""

    def act(exchange: Exchange) -> None:
        exchange.line(line)
        exchange.end()

    return act


def cut_mid_line(exchange: Exchange) -> None:
    """Announce a long chunk, send the beginning of an event, and break the connection."""
    exchange.raw(b"ffff\r\n" + exchange.event(_SOME)[:12])
    exchange.cut()


def end_mid_line(exchange: Exchange) -> None:
    """End the body properly, in the middle of an event."""
    exchange.line(exchange.event(_SOME)[:12])
    exchange.end()


def cut(exchange: Exchange) -> None:
    """Break the connection without a word."""
    exchange.cut()


def end(exchange: Exchange) -> None:
    """End the stream properly."""
    exchange.end()


def hang(exchange: Exchange) -> None:
    """Say nothing after the head, until the server stops."""
    exchange.start()
    exchange.ending.wait()
