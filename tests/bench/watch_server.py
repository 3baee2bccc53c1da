"""An API server that sends what a scripted cluster holds, and then what it is told to.

Serves what one watcher asks for (initial events, watches, lists of one object) and nothing else, in
plain HTTP: what it measures is neither TLS nor the API server. Objects are made while they are
sent.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.bench.watch_objects import Cluster, Line

_PIECE_BYTES = 64 * 1024
_IDLE_S = 0.2
_BOOKMARK_S = 5.0
_BACKLOG = 2_000  # events of one resource that wait to be sent


class Server:
    """The server, as a block."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.requests = 0
        self.writes = 0  # requests that would change something: all are refused
        self.sent_bytes = 0
        self.ending = threading.Event()
        self.changed = threading.Condition()
        self.lines: dict[str, deque[bytes]] = {}
        self.watches: dict[str, int] = {}  # of each resource, up to now; the last one is served
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.ending.set()
        with self.changed:
            self.changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig that names this server, and return its path."""
        port = self._http.server_address[1]
        path = folder / "scripted-kubeconfig"
        parts = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "scripted",
            "contexts": [{"name": "scripted", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "u", "user": {}}],
        }
        path.write_text(json.dumps(parts))
        return path

    def send(self, lines: Iterable[Line]) -> int:
        """Send events to the one who watches, as fast as they are taken; return how many."""
        count = 0
        for line in lines:
            count += 1
            with self.changed:
                waiting = self.lines.setdefault(line.resource, deque())
                waiting.append(line.data)
                if len(waiting) == 1:
                    self.changed.notify_all()
                while len(waiting) > _BACKLOG and not self.ending.is_set():
                    self.changed.wait(_IDLE_S)
        return count


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: Server) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Watchers hang up when they end."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:  # the library's name
        owner = self.server.owner
        owner.requests += 1
        split = urlsplit(self.path)
        query = parse_qs(split.query)
        resource = split.path.rpartition("/")[2]
        with contextlib.suppress(OSError):
            if "watch" not in query:
                self._reply({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []})
            else:
                self._watch(resource, initial="sendInitialEvents" in query)

    def _refuse(self) -> None:
        self.server.owner.writes += 1
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_error(405)

    do_POST = do_PUT = do_PATCH = do_DELETE = _refuse  # noqa: N815 # the library's names

    def _watch(self, resource: str, *, initial: bool) -> None:
        owner = self.server.owner
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if initial:
            self._send(owner.cluster.all(resource))
            self._send([_initial_end(owner.cluster.version)])
        with owner.changed:
            turn = owner.watches[resource] = owner.watches.get(resource, 0) + 1
        while (following := self._following(resource, turn)) is not None:
            self._send(following)

    def _following(self, resource: str, turn: int) -> list[bytes] | None:
        """Wait for events; after a quiet time a bookmark. None: another watch has taken over."""
        owner = self.server.owner
        with owner.changed:
            waiting = owner.lines.setdefault(resource, deque())
            owner.changed.wait_for(
                lambda: waiting or owner.ending.is_set() or owner.watches[resource] != turn,
                _BOOKMARK_S,
            )
            if owner.ending.is_set() or owner.watches[resource] != turn:
                return None
            if not waiting:
                return [_bookmark(owner.cluster.version)]
            following = list(waiting)
            waiting.clear()
            owner.changed.notify_all()  # who sends may wait for room
            return following

    def _send(self, lines: Iterable[bytes]) -> None:
        """Send each line as a chunk of its own, as Go's server does, some together."""
        for piece in _together(lines):
            self.wfile.write(piece)
            self.server.owner.sent_bytes += len(piece)

    def _reply(self, body: dict[str, Any]) -> None:
        data = orjson.dumps(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the library's name
        """Stay quiet."""


def _together(lines: Iterable[bytes]) -> Iterator[bytes]:
    pieces: list[bytes] = []
    size = 0
    for line in lines:
        pieces += [b"%x\r\n" % len(line), line, b"\r\n"]
        size += len(line)
        if size >= _PIECE_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


def _initial_end(version: int) -> bytes:
    return _bookmark(version, annotations={"k8s.io/initial-events-end": "true"})


def _bookmark(version: int, **meta: Any) -> bytes:
    found = {"metadata": {"resourceVersion": str(version), **meta}}
    return orjson.dumps({"type": "BOOKMARK", "object": found}, option=orjson.OPT_APPEND_NEWLINE)
