"""A response body that is read as it comes, and that another thread can end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Self

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, ReadTimeoutError

from common.kube.errors import Call, IdleStreamError, TornStreamError
from common.model.errors import shorten

# A body that is not chunked comes in pieces of this size.
_PIECE_BYTES = 64 * 1024


class Stream:
    """The body of one response. One thread reads it; any thread may `close` it."""

    def __init__(self, response: BaseHTTPResponse, call: Call, *, idle_timeout_s: float) -> None:
        self._response = response
        self._call = call
        self._closed = threading.Event()
        sock = getattr(response.connection, "sock", None)
        if sock is not None:  # None: the whole body came with the headers
            sock.settimeout(idle_timeout_s)

    @property
    def content_type(self) -> str:
        """What the server says that the body is; empty: nothing."""
        return str(self._response.headers.get("Content-Type", ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        # A body read to its end has given its connection back already; any other cannot be reused.
        self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body as it comes; end cleanly at its end or after `close`.

        Raises IdleStreamError after the idle time-out, TornStreamError when the connection breaks.
        """
        try:
            yield from self._pieces()
        except ReadTimeoutError as exc:
            if not self._closed.is_set():
                raise IdleStreamError(f"{self._call}: no byte for too long") from exc
        except (HTTPError, OSError) as exc:
            if not self._closed.is_set():
                raise TornStreamError(f"{self._call}: {shorten(str(exc))}") from exc

    def _pieces(self) -> Iterator[bytes]:
        if self._response.chunked:
            yield from self._response.stream(None, decode_content=True)  # a chunk is an event
            return
        while piece := self._response.read1(_PIECE_BYTES, decode_content=True):
            yield piece

    def close(self) -> None:
        """End the reader's iteration at once."""
        self._closed.set()
        # Both say that the body is at its end already.
        with contextlib.suppress(ValueError, RuntimeError, OSError):
            self._response.shutdown()
