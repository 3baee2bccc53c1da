"""Answers of the fake API server, good and bad: what `FakeKubeApi.fail` can be told to do."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes.kube_store import Object


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
        self, handler: BaseHTTPRequestHandler, seen: Seen, ending: threading.Event
    ) -> None:
        self._handler = handler
        self.seen = seen
        self.ending = ending
        self._started = False

    def reply(self, code: int, body: Object, headers: Mapping[str, str] | None = None) -> None:
        """Send one JSON body."""
        data = json.dumps(body).encode()
        self._handler.send_response(code)
        self._handler.send_header("Content-Type", "application/json")
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
        self._handler.send_header("Content-Type", "application/json")
        self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()

    def line(self, event: Object | bytes) -> None:
        """Send one line as one chunk."""
        data = event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
        self.raw(b"%x\r\n" % len(data) + data + b"\r\n")

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
    exchange.raw(b'ffff\r\n{"type":"ADD')
    exchange.cut()


def end_mid_line(exchange: Exchange) -> None:
    """End the body properly, in the middle of an event."""
    exchange.line(b'{"type":"ADD')
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
