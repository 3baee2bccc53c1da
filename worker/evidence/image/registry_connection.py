"""Connections whose answers must have come within a time, however slowly they trickle.

A socket's own time-out counts from one byte to the next: a registry that sends one now and then
would hold a worker for as long as it likes.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import urllib.request
from collections.abc import Sequence
from typing import Any, cast

_DOCUMENT_S = 60.0  # the largest document has 4 MB, which is 40 s at 0.1 MB/s
_PIECE_S = 1.0  # how soon whoever reads a layer can see that his own time is up


def handlers(context: ssl.SSLContext) -> Sequence[urllib.request.BaseHandler]:
    """Return what lets an opener speak HTTP and HTTPS by such connections."""
    return (_HttpHandler(), _HttpsHandler(context))


class TimedAnswer(http.client.HTTPResponse):
    """An answer that must have come within a minute: its head, and its body until `unlimit`."""

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:  # noqa: ANN401 # handed on as they are
        super().__init__(sock, *args, **more)
        self._timed = _Timed(sock, self.fp.detach(), time.monotonic() + _DOCUMENT_S)
        self.fp = io.BufferedReader(self._timed)

    def unlimit(self) -> None:
        """Let the rest take its time: a layer is large, and whoever asked for it has a deadline.

        From now on `read` gives what came within a second, or else the next that comes: waiting for
        all of a piece, byte by byte, its caller would never see his deadline.
        """
        self._timed.until_s = None

    def read(self, amt: int | None = None) -> bytes:
        """See `unlimit`."""
        if amt is None or self._timed.until_s is not None:
            return super().read(amt)
        parts: list[bytes] = []
        until_s = time.monotonic() + _PIECE_S
        while amt > 0 and (part := self.read1(amt)):
            parts.append(part)
            amt -= len(part)
            if time.monotonic() >= until_s:
                break
        return b"".join(parts)


class _Timed(io.RawIOBase):
    """A socket's bytes until a moment."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, until_s: float) -> None:
        self._sock = sock
        self._raw = raw
        self._between_s = sock.gettimeout()
        self.until_s: float | None = until_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:  # noqa: ANN401 # any writable buffer
        if self.until_s is not None:
            left_s = self.until_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the answer takes too long")
            self._sock.settimeout(min(left_s, self._between_s or left_s))
        elif self._sock.gettimeout() != self._between_s:
            self._sock.settimeout(self._between_s)
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Connection(http.client.HTTPConnection):
    response_class = TimedAnswer


class _SecureConnection(http.client.HTTPSConnection):
    response_class = TimedAnswer


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._ours = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, context=self._ours)
