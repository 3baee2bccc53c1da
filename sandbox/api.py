"""A small client of the sandbox's API server: JSON in, JSON out, and a watch.

Independent of the product's own client, so that a test may check one with the other. One
connection per thread, made again after any failure; a failed request is never repeated.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
_TIMEOUT_S = 30.0  # the API server answers a plain request within milliseconds, or it is ill
_NOT_FOUND = 404


# How the end of a kept connection shows, depending on when the server ended it.
_ENDED = (
    http.client.RemoteDisconnected,
    BrokenPipeError,
    ConnectionResetError,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


class ApiError(OSError):
    """An answer that is no success. An OSError, as a refused connection is one."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text[:256]}")
        self.status = status


class Api:
    """Requests to one server with one bearer token. Thread-safe; close it at the end."""

    def __init__(self, server: str, token: str, ca: Path) -> None:
        self._address = urlsplit(server).netloc
        self._headers = {"Authorization": f"Bearer {token}", "Accept": JSON}
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._own = threading.local()
        self._all: set[http.client.HTTPSConnection] = set()

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Read `path`. Raises ApiError for an answer other than 2xx, as all of these do."""
        return _object(self.request("GET", _with(path, query)))

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post `body` to the collection `path` and return what was stored."""
        return _object(self.request("POST", path, body=body))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `body` into the object at `path` and return what was stored."""
        return _object(self.request("PATCH", path, body=body, content_type=MERGE_PATCH))

    def delete(self, path: str, *, uid: str = "", grace_s: int | None = None) -> None:
        """Delete `path`, only if it still has the uid when one is given; gone is no error.

        `grace_s` None leaves the object's own grace period.
        """
        options: dict[str, Any] = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self.request("DELETE", path, body=options)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> bytes:
        """Send one request and return the body of its answer. Raises OSError, ApiError."""
        connection = self._connection()
        kept = connection.sock is not None
        data = None if body is None else orjson.dumps(body)
        headers = {**self._headers, "Content-Type": content_type}
        try:
            try:
                connection.request(method, path, body=data, headers=headers)
                answer = connection.getresponse()
            except _ENDED:
                if not kept:
                    raise
                # The server ended a connection that was idle for minutes: nothing was done.
                connection.close()
                connection.request(method, path, body=data, headers=headers)
                answer = connection.getresponse()
            text = answer.read()
        except OSError:
            connection.close()  # the next request opens it again
            raise
        except http.client.HTTPException as error:
            connection.close()
            raise OSError(f"{type(error).__name__}: {error}") from error
        if answer.status >= http.client.BAD_REQUEST:
            raise ApiError(answer.status, text.decode(errors="replace"))
        return text

    def watch(self, path: str, **query: str) -> Watch:
        """Open a watch on the collection `path`; close it from any thread."""
        connection = self._connect()
        try:
            connection.request("GET", _with(path, {**query, "watch": "1"}), headers=self._headers)
            answer = connection.getresponse()
            if answer.status >= http.client.BAD_REQUEST:
                raise ApiError(answer.status, answer.read().decode(errors="replace"))
        except OSError:
            connection.close()
            raise
        except http.client.HTTPException as error:
            connection.close()
            raise OSError(f"{type(error).__name__}: {error}") from error
        return Watch(connection, answer)

    def close(self) -> None:
        """Close the connections of all threads; a later request opens its own again."""
        for connection in tuple(self._all):
            connection.close()

    def _connection(self) -> http.client.HTTPSConnection:
        known: http.client.HTTPSConnection | None = getattr(self._own, "connection", None)
        if known is None:
            known = self._own.connection = self._connect()
            self._all.add(known)
        return known

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._address, timeout=_TIMEOUT_S, context=self._tls)


class Watch:
    """The events of one watch, until the server or `close` ends it."""

    def __init__(
        self, connection: http.client.HTTPSConnection, answer: http.client.HTTPResponse
    ) -> None:
        self._connection = connection
        self._answer = answer

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield events; raises OSError when the stream breaks or is silent for 30 s."""
        try:
            while line := self._answer.readline():
                yield orjson.loads(line)
        except (http.client.HTTPException, ValueError, AttributeError) as error:
            # ValueError, AttributeError: http.client, when another thread closed the stream.
            raise OSError(f"{type(error).__name__}: {error}") from error

    def interrupt(self) -> None:
        """End the iteration in another thread; that thread closes."""
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()
        self._connection.close()


def _object(text: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = orjson.loads(text)
    return decoded


def _with(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
