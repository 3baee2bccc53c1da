"""An HTTP pass-through in front of the registry that counts requests and injects faults.

It lives in threads of this process. A request is logged before its answer is sent on, so whoever
has an answer finds it in the log. Plain HTTP/1.1 on loopback; bodies are streamed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import assert_never

from sandbox.accesslog import AccessLog, Request
from sandbox.faults import Answer, Cut, Echo, Hang, Login, Rule, Slow, target_of

_CHUNK_BYTES = 256 * 1024
_BACKEND_S = 60.0  # the largest sample layer is 60 MB and takes 1 s
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_NOT_PASSED_ON = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "expect"})
# The error codes of the distribution specification; clients print and sort by them.
_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS"}


class Proxy:
    """Listens on 127.0.0.1:`port` and passes on to 127.0.0.1:`backend_port`."""

    def __init__(self, port: int, backend_port: int, log: AccessLog) -> None:
        self.backend_port = backend_port
        self.log = log
        self.rules: list[Rule] = []
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="registry-proxy")

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def heal(self) -> None:
        """End every rule; what hangs is cut."""
        while self.rules:
            self.rules.pop().end()

    def stop(self) -> None:
        """Stop listening, cut what hangs or idles, and wait for the threads."""
        self.heal()
        if self._thread.is_alive():
            self._server.shutdown()  # would wait for ever on one that never served
            self._thread.join()
        self._server.cut_connections()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that `server_close` waits for them
    request_queue_size = 256  # a burst of pulls must not meet a full backlog

    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        self.connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def cut_connections(self) -> None:
        """End the waiting for further requests on connections that are kept alive."""
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept and remember a connection, here and not in its thread: `stop` must know it."""
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close a connection whose thread ends."""
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Let a client that went away go: its own error says so."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes; Nagle would cost 40 ms
    server: _Server

    def handle_any(self) -> None:
        """Answer one request: by the first rule that takes it, else by the registry."""
        target, sent = target_of(self.path), self.headers.get("Authorization")
        rules, agent = tuple(self.server.proxy.rules), self.headers.get("User-Agent", "")
        takers = (rule for rule in rules if rule.takes(self.command, target, sent, agent=agent))
        rule = next(takers, None)
        if rule is None:
            self._pass_through()
            return
        match rule.fault:
            case Answer(status=status, headers=headers):
                self._refuse(status, dict(headers), fault="Answer")
            case Echo(status=status) if sent:
                self._refuse(status, {}, fault="Echo", text=Echo.text(sent))
            case Login() | Echo():
                self._refuse(HTTPStatus.UNAUTHORIZED, {}, fault="Login")
            case Hang():
                self._log(status=0, size=0, fault="Hang")
                rule.ended.wait()
                self.close_connection = True
            case Cut(after_bytes=limit):
                self._pass_through(limit=limit, fault="Cut")
            case Slow(delay_s=delay_s):
                rule.ended.wait(delay_s)
                self._pass_through(fault="Slow")
            case _:
                assert_never(rule.fault)

    # http.server looks for these names.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing; the access log has it."""

    def _refuse(self, status: int, headers: dict[str, str], *, fault: str, text: str = "") -> None:
        code = _CODES.get(status, "UNKNOWN")
        error = {"code": code, "message": text or f"the sandbox was told to answer {status}"}
        body = json.dumps({"errors": [error]}).encode()
        if status == HTTPStatus.UNAUTHORIZED:
            headers.setdefault("WWW-Authenticate", 'Basic realm="sandbox"')
        self.close_connection = True  # a body that was not read would be taken for a request
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self._log(status=status, size=0 if self.command == "HEAD" else len(body), fault=fault)
        self._send_head(status, headers | {"Connection": "close"})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _pass_through(self, *, limit: int | None = None, fault: str = "") -> None:
        backend = http.client.HTTPConnection(
            "127.0.0.1", self.server.proxy.backend_port, timeout=_BACKEND_S
        )
        with contextlib.closing(backend):
            try:
                answer = self._ask(backend)
            except (OSError, http.client.HTTPException):
                self._refuse(HTTPStatus.BAD_GATEWAY, {}, fault="NoRegistry")
                return
            with answer:  # one that said "Connection: close" is not closed with its connection
                self._relay(answer, limit=limit, fault=fault)

    def _ask(self, backend: http.client.HTTPConnection) -> http.client.HTTPResponse:
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        backend.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _NOT_PASSED_ON:
                backend.putheader(name, value)
        if chunked:
            backend.putheader("Transfer-Encoding", "chunked")
            backend.endheaders(self._chunks(), encode_chunked=True)
        else:
            backend.endheaders(self._exactly(int(self.headers.get("Content-Length", "0"))))
        return backend.getresponse()

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size > 0 and (piece := self.rfile.read(min(size, _CHUNK_BYTES))):
            size -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield from self._exactly(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers

    def _relay(self, answer: http.client.HTTPResponse, *, limit: int | None, fault: str) -> None:
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in _NOT_PASSED_ON}
        bodiless = self.command == "HEAD" or answer.status in _BODILESS
        whole = b""
        if not bodiless and answer.length is None:  # chunked: short in this registry
            whole = answer.read()
            headers["Content-Length"] = str(len(whole))
        size = 0 if bodiless else answer.length or len(whole)
        sent = size if limit is None else min(limit, size)
        self._log(status=answer.status, size=sent, fault=fault)
        self._send_head(answer.status, headers)
        self.wfile.write(whole[:sent])
        left = sent - len(whole[:sent])
        while left > 0 and (piece := answer.read(min(left, _CHUNK_BYTES))):
            self.wfile.write(piece)
            left -= len(piece)
        self.close_connection = self.close_connection or limit is not None or left > 0

    def _send_head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _log(self, *, status: int, size: int, fault: str) -> None:
        self.server.proxy.log.add(
            Request(
                at=time.time(),
                method=self.command,
                path=self.path,
                status=status,
                bytes=size,
                user_agent=self.headers.get("User-Agent", ""),
                fault=fault,
            )
        )
