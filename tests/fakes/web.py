"""A small HTTP server whose answers a test scripts; it keeps what was asked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    connection: int  # the client's port: equal for one kept-alive connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """One answer; `hang_up` sends nothing, `cut` half of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_up: bool = False
    cut: bool = False


Script = Callable[[Asked], Say]


@dataclass(slots=True)
class Web:
    """A running server."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    def paths(self) -> list[str]:
        """Return what was asked for, in order."""
        return [f"{one.method} {one.path}" for one in self.asked]


@contextmanager
def web(script: Script, *, port: int = 0) -> Iterator[Web]:
    """Serve the script on a loopback port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
            """Say nothing."""

        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            asked = Asked(
                method=self.command,
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(size),
                connection=self.client_address[1],
            )
            running.asked.append(asked)
            said = script(asked)
            self.close_connection = said.hang_up or said.cut or self.close_connection
            if said.hang_up:
                return
            self.send_response_only(said.status)  # no Date but the script's
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body[: len(said.body) // 2] if said.cut else said.body)

        do_GET = do_HEAD = do_POST = answer  # noqa: N815 - http.server's names

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = False
        allow_reuse_address = True

    server = Server(("127.0.0.1", port), Handler)
    running = Web(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
