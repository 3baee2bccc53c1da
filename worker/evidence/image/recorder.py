"""The loopback proxy between one Trivy run and the match server.

It records the keys of the `Scan` request, so that the inventory can be matched again without the
image; it adds the server's token, so that the process that unpacks images never has it; and it
waits over a restart of the server, which Trivy's client would take for a failure.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable
from types import TracebackType
from typing import Self

from common.model.errors import SourceUnavailableError, TransientError
from common.model.hiding import without
from worker.evidence.image.descriptors import readable
from worker.evidence.image.scan_request import Recording, parse_scan_request

# A database swap takes 0.1 s; a server that is away for longer is down.
RESTART_WAIT_S = 5.0
_RETRY_S = 0.1
_UPSTREAM_TIMEOUT_S = 300.0  # the run's own deadline is what really bounds it
_MAX_BODY_BYTES = 256 * 1024 * 1024  # a layer's inventory; real ones stay below 10 MB
_PASSED_ON = ("content-type", "accept", "accept-encoding", "content-encoding", "user-agent")
_HANDED_BACK = ("content-type", "content-encoding")
_OK = 200
_REFUSED = b'{"code":"failed_precondition","msg":"the layer is not what its image says"}'
_UNREACHABLE = b'{"code":"internal","msg":"match server unreachable"}'


class Recorder:
    """Serves one run on a loopback port. A context manager; `recording` afterwards."""

    def __init__(
        self,
        upstream: str,
        *,
        token: str | None = None,
        admits: Callable[[bytes], bool] | None = None,
    ) -> None:
        """`admits`: whether what was found in a layer may be stored; None: always."""
        parts = urllib.parse.urlsplit(upstream)
        self.upstream, self.secure, self.token = parts.netloc, parts.scheme == "https", token
        self.closed = threading.Event()
        self._calls: set[http.client.HTTPConnection] = set()
        self._admits = admits
        self._seen: Recording | None = None
        self._fault: TransientError | None = None
        self._server = _Server(self)
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="recorder")

    @property
    def url(self) -> str:
        """Where Trivy finds it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def recording(self) -> Recording:
        """Return what the run told the server; raises TransientError when it never asked."""
        if self._seen is not None:
            return self._seen
        raise self._fault or TransientError(
            "Trivy ended without asking the match server", reason="NothingRecorded"
        )

    def note(self, body: bytes) -> None:
        """Keep the keys of a `Scan` request; the last one counts."""
        try:
            self._seen = parse_scan_request(body)
        except TransientError as exc:
            self._fault = exc

    def may_pass(self, path: str, body: bytes) -> bool:
        """Say whether a call may be passed on."""
        stores = path.endswith("/trivy.cache.v1.Cache/PutBlob")
        return not stores or self._admits is None or self._admits(body)

    def hidden(self, refusal: bytes) -> bytes:
        """Return a refusal without our token, which whoever refuses may repeat."""
        text = refusal.decode("latin-1")  # any bytes, and back
        return without(text, [self.token or ""]).encode("latin-1")

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection to the server; `hang_up` ends it."""
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        connection = kind(self.upstream, timeout=_UPSTREAM_TIMEOUT_S)
        self._calls.add(connection)
        return connection

    def hang_up(self, connection: http.client.HTTPConnection) -> None:
        """Close a connection."""
        self._calls.discard(connection)
        connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closed.set()
        os.write(self._wake_write, b"x")
        self._thread.join()
        for connection in tuple(self._calls):  # a server that hangs must not keep its thread
            with contextlib.suppress(OSError):
                if connection.sock is not None:
                    connection.sock.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _serve(self) -> None:
        """Accept until the end; `serve_forever` would notice it up to its poll interval later."""
        listener = self._server.fileno()
        while self._wake_read not in readable((listener, self._wake_read), None):
            self._server.handle_request()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # joined at the end: the run is gone and every call was hung up

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a run that was killed leaves broken pipes, and its own error is raised."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """One kept-alive connection of the run, and its own to the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: 40 ms per call otherwise
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._upstream: http.client.HTTPConnection | None = None

    def finish(self) -> None:
        self._hang_up()
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
        """Say nothing: the run's own log tells what failed."""

    def do_GET(self) -> None:
        """Pass on `/version` and `/healthz`."""
        self._pass_on(b"")

    def do_POST(self) -> None:
        """Pass on a Twirp call, noting the `Scan` request."""
        size = int(self.headers.get("Content-Length") or 0)
        if not 0 <= size <= _MAX_BODY_BYTES:
            self.send_error(413)
            return
        body = self.rfile.read(size)
        if self.path.endswith("/trivy.scanner.v1.Scanner/Scan"):
            self.server.recorder.note(body)
        if not self.server.recorder.may_pass(self.path, body):
            self._answer(400, {"Content-Type": "application/json"}, _REFUSED)
            return
        self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        try:
            reply, content = self._call(body)
        except SourceUnavailableError:
            self._answer(500, {"Content-Type": "application/json"}, _UNREACHABLE)
            return
        headers = {key: value for key, value in reply.getheaders() if key.lower() in _HANDED_BACK}
        if reply.status != _OK:
            content = self.server.recorder.hidden(content)
        self._answer(reply.status, headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _call(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        """Call the server, again and again for as long as a restart takes.

        Every call of Trivy's client may be repeated: it stores under content hashes, or reads.
        """
        give_up_at_s = time.monotonic() + RESTART_WAIT_S
        while True:
            try:
                return self._call_once(body)
            except (OSError, http.client.HTTPException) as exc:
                self._hang_up()
                closed = self.server.recorder.closed
                if time.monotonic() >= give_up_at_s or closed.wait(_RETRY_S):
                    raise SourceUnavailableError("the match server does not answer") from exc

    def _call_once(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        recorder = self.server.recorder
        if self._upstream is None:
            self._upstream = recorder.connect()
        headers = {key: value for key, value in self.headers.items() if key.lower() in _PASSED_ON}
        if recorder.token:
            headers["Trivy-Token"] = recorder.token
        self._upstream.request(self.command, self.path, body or None, headers)
        reply = self._upstream.getresponse()
        return reply, reply.read()

    def _hang_up(self) -> None:
        if self._upstream is not None:
            self.server.recorder.hang_up(self._upstream)
            self._upstream = None
