"""A small HTTP server for `/metrics`, `/healthz`, `/readyz` and read-only pages.

GET and HEAD only, no request body, a deadline for each request and each answer, 66 KB for a request
and no more than 64 connections: of more, the one that is longest in telling what it wants is
dropped. It serves what other threads made; a probe must not wait for Redis or the API server.
"""

from __future__ import annotations

import http.server
import io
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from common.model.errors import PreconditionError
from common.ops.crowd import Crowd, Head

_log = structlog.get_logger()

_CONNECTION_S = 10.0  # a scraper that needs longer is gone; Prometheus' own default timeout
# For a whole answer: no scraper waits longer, and who reads a piece every nine seconds would keep a
# place for hours.
_ANSWER_S = 120.0
_TEXT = "text/plain; charset=utf-8"
_PIECE_BYTES = 64 * 1024
_PATH_LOGGED = 200
# A browser sends cookies of all that was on this name, of some KB. A little more than the longest
# line that http.server takes, so that it says what is wrong with that.
_REQUEST_BYTES = 66_000
_CONNECTIONS = 64  # a thread each; a browser opens 6, and every scraper and probe one


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer."""

    body: bytes
    rest: Iterable[bytes] = ()  # what follows it, made while it is sent; may be hundreds of MB
    status: int = 200
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()  # besides those that every answer has


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client wants, as it wrote it."""

    path: str
    query: str  # what follows the question mark
    host: str  # the header; empty: it sent none


Route: TypeAlias = Callable[[], Page]


class Site(Protocol):
    """Every path below one address."""

    @property
    def paths(self) -> Sequence[str]:
        """Where one begins, for the log."""

    def __call__(self, asked: Asked, /) -> Page:
        """Return a page, on any thread."""


def metrics_route(registry: CollectorRegistry) -> Route:
    """Return the page that shows the registry in Prometheus' text format."""
    return lambda: Page(body=generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def health_route(checks: Mapping[str, Callable[[], str]]) -> Route:
    """Return a page that is 200 if every check answers with an empty string, else 503.

    A check returns what is wrong, in words that may be seen by anybody.
    """

    def show() -> Page:
        found = {name: check() for name, check in checks.items()}
        lines = [f"{name}: {problem or 'ok'}" for name, problem in found.items()]
        status = 503 if any(found.values()) else 200
        return Page(body="\n".join([*lines, ""]).encode() or b"ok\n", status=status)

    return show


class ProbeServer:
    """Serves `routes` (path to page), or a site, on a thread of its own, until it is closed."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route] | Site) -> None:
        """Listen at once; an empty host: on every interface; port 0: a free one.

        Raises PreconditionError if the address is taken or not ours.
        """
        self._server = _listen(host, port, routes)
        self.port: int = self._server.server_address[1]
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name=f"http-{self.port}", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        """Accept until the end. `serve_forever` would wake up twice a second to look for it."""
        poll = select.poll()
        for descriptor in (self._server.fileno(), self._wake_read):
            poll.register(descriptor, select.POLLIN)
        while all(descriptor != self._wake_read for descriptor, _ in poll.poll()):
            self._server.handle_request()

    def close(self) -> None:
        """Stop serving and free the port."""
        os.write(self._wake_write, b"x")
        self._thread.join()
        self._server.server_close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _listen(host: str, port: int, routes: Mapping[str, Route] | Site) -> _Server:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return _Server((host, port), _found(routes), family)
    except OSError as exc:
        raise PreconditionError(
            f"cannot listen on {host or '*'}:{port}: {exc.strerror}; "
            "choose another address, or port 0 for a free one"
        ) from exc


def _found(routes: Mapping[str, Route] | Site) -> Callable[[Asked], Page]:
    """Return what finds a page."""
    if not isinstance(routes, Mapping):
        return routes

    def page(asked: Asked) -> Page:
        # Kubernetes' probes of trivy-operator's chart ask for `/healthz/`.
        route = routes.get(asked.path) or routes.get(asked.path.rstrip("/"))
        return route() if route is not None else Page(body=b"no such page\n", status=404)

    return page


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = _CONNECTIONS  # whoever finds it full tries again a second later
    timeout = 0.0  # a client that is gone again must not hold up the end
    # A closing process does not wait for a scraper that hangs; the connection's deadline ends it.
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], site: Callable[[Asked], Page], family: socket.AddressFamily
    ) -> None:
        self.address_family = family
        self.site = site
        self.crowd = Crowd(_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 # its types
        """Serve a connection on a thread of its own, if there is room for one more."""
        if self.crowd.enter(request):
            super().process_request(request, client_address)
        else:
            super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 # its type
        """End a connection."""
        self.crowd.leave(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 # its signature
        """Say quietly that a client went away; http.server would print a traceback."""
        error = sys.exc_info()[1]
        told = {"error": str(error)} if isinstance(error, OSError) else {"exc_info": True}
        _log.debug("connection failed", client=str(client_address), **told)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # 1.0 knows no chunks
    server_version = "sluice"
    sys_version = ""  # our Python's version is nobody's business
    timeout = _CONNECTION_S

    def setup(self) -> None:
        """Read with a deadline for the whole request: one byte every nine seconds is no request."""
        super().setup()
        self.rfile.close()
        self._head = Head(self.connection, limit_s=_CONNECTION_S, limit_bytes=_REQUEST_BYTES)
        self.rfile = io.BufferedReader(self._head)

    def do_GET(self) -> None:  # http.server's name
        self._answer(with_body=True)

    def do_HEAD(self) -> None:  # http.server's name
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # http.server's name
        """Write nothing: a line per scrape and probe says nothing."""

    @property
    def _in_chunks(self) -> bool:
        """Whether the client knows chunks; of HTTP/0.9 http.server knows as well."""
        return self.request_version not in ("HTTP/0.9", "HTTP/1.0")

    def _answer(self, *, with_body: bool) -> None:
        if self._head.ended:  # http.server takes half a request for a whole one
            return
        if self._head.too_long:
            self.send_error(431)
            return
        self.server.crowd.heard(self.connection)
        self.connection.settimeout(_CONNECTION_S)  # for each piece of the answer
        page = self._page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        if not page.rest:
            self.send_header("Content-Length", str(len(page.body)))
        elif self._in_chunks:
            self.send_header("Transfer-Encoding", "chunked")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in page.headers:
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if with_body:
            self._send(page)

    def _send(self, page: Page) -> None:
        """Send the body; a longer one in chunks, so that a reader knows when it is cut."""
        if not page.rest:
            self.wfile.write(page.body)
            return
        until_s = time.monotonic() + _ANSWER_S
        for piece in _pieces(page):
            if time.monotonic() > until_s:
                raise TimeoutError("the answer took too long")
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._in_chunks else piece)
        if self._in_chunks:
            self.wfile.write(b"0\r\n\r\n")

    def _page(self) -> Page:
        path, _, query = self.path.partition("?")
        asked = Asked(
            path=path,
            query=query,
            host=self.headers.get("Host", ""),
        )
        try:
            return self.server.site(asked)
        except Exception:  # noqa: BLE001 # one broken page must not break the probes beside it
            _log.exception("page failed", path=path[:_PATH_LOGGED])
            return Page(body=b"this page failed; the log says why\n", status=500)


def _pieces(page: Page) -> Iterator[bytes]:
    """Yield body and rest in pieces worth a packet."""
    gathered, size = [page.body], len(page.body)
    for part in page.rest:
        gathered.append(part)
        size += len(part)
        if size >= _PIECE_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if size:
        yield b"".join(gathered)
