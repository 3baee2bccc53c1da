"""A scripted API server over real HTTP, which misbehaves when told to: real ones do not.

    with FakeKubeApi() as api:
        api.store.create("/api/v1/pods", pod("web"))
        api.fail("watch", refuse(429, "TooManyRequests", headers={"Retry-After": "1"}))
        session = api.session()

Verbs for `fail`: `list`, `sync` (a watch that asks for initial events), `watch`, `get`, `post`,
`put`, `patch`, `delete`. It answers in JSON, whatever is asked for, unless it is told to speak
protobuf, too. Limits: see `kube_store`; no TLS either.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from kubernetes.client.configuration import Configuration

from common.kube.connect import Connector
from common.kube.negotiate import PROTOBUF
from common.kube.paths import REPORTS
from common.kube.session import Session
from tests.fakes.kube_faults import NOT_ACCEPTABLE, Act, Exchange, Fault, Seen, status
from tests.fakes.kube_store import Entry, Object, StatusError, Store

INITIAL_END = {"annotations": {"k8s.io/initial-events-end": "true"}}
_PATH = re.compile(
    r"(?P<root>/api/v1|/apis/[^/]+/[^/]+)(/namespaces/(?P<ns>[^/]+))?/(?P<plural>[a-z]+)(/(?P<name>[^/]+))?"
)
_REVIEW = "selfsubjectaccessreviews"


class FakeKubeApi:
    """The server. A context manager; every thread and socket is gone after it."""

    def __init__(
        self,
        *,
        initial_events: bool = True,
        protobuf: bool = False,
        compressed: bool = False,
        instead_of: FakeKubeApi | None = None,
    ) -> None:
        """`instead_of` has ended: this one has its objects, and listens where it did."""
        self.protobuf = protobuf
        self.compressed = compressed  # streams: each event is a gzip member of its own
        self.store: Store = instead_of.store if instead_of else Store()
        self.seen: list[Seen] = []
        self.allowed = True  # what access reviews say
        self.tokens: set[str] | None = None  # bearer tokens that are accepted; None: everybody
        self._initial_events = initial_events
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._watch_epoch = 0
        self._server = _Server(self, port=instead_of.port if instead_of else 0)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ending.set()
        self.end_watches()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    # --- What a test arranges and asks ----------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port where it listens, or did."""
        return int(self._server.server_address[1])

    def session(self) -> Session:
        """Return a session without credentials."""

        def load(settings: Configuration) -> None:
            settings.host = self.url

        return Session(Connector(context="fake", load=load))

    def fail(self, verb: str, act: Act, *, times: int = 1, after: int = 0) -> None:
        """Let the next `times` requests of a kind go wrong."""
        with self._lock:
            self._faults.append(Fault(verb=verb, act=act, times=times, after=after))

    def end_watches(self) -> None:
        """End every open watch properly, as a server that restarts does."""
        with self.store.changed:
            self._watch_epoch += 1
            self.store.changed.notify_all()

    def count(self, verb: str) -> int:
        """Return how many requests of a kind came in."""
        return sum(seen.verb == verb for seen in list(self.seen))

    # --- Serving --------------------------------------------------------------------------------

    def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        seen = exchange.seen
        self.seen.append(seen)
        fault = self._next_fault(seen.verb)
        if fault is not None and not fault.after:
            fault.act(exchange)
            return
        try:
            self._check_token(seen)
            self._check_encoding(seen)
            if seen.verb in ("sync", "watch"):
                self._watch(exchange, fault)
            else:
                exchange.reply(*self._answer(seen))
        except StatusError as exc:
            exchange.reply(exc.code, status(exc.code, exc.reason, str(exc), **exc.details))

    def _next_fault(self, verb: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.verb == verb and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def _check_token(self, seen: Seen) -> None:
        given = seen.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if self.tokens is not None and given not in self.tokens:
            raise StatusError(401, "Unauthorized")

    def _check_encoding(self, seen: Seen) -> None:
        """Refuse what a real server refuses: bodies of custom resources have no protobuf."""
        if self.protobuf and seen.accept == PROTOBUF and seen.path.startswith(REPORTS):
            raise StatusError(NOT_ACCEPTABLE, "NotAcceptable")

    def _answer(self, seen: Seen) -> tuple[int, Object]:
        if seen.path == "/version":
            return 200, {"gitVersion": "v1.36.3"}
        collection, namespace, name = _split(seen.path)
        if collection.endswith(_REVIEW):
            return 201, {**json.loads(seen.body), "status": {"allowed": self.allowed}}
        if seen.verb == "list":
            return 200, self._page(seen, collection, namespace)
        key = f"{namespace}/{name}" if namespace else name
        return (201 if seen.verb == "post" else 200), self._object(seen, collection, key)

    def _object(self, seen: Seen, collection: str, key: str) -> Object:
        body = json.loads(seen.body) if seen.body else {}
        match seen.verb:
            case "get":
                found = self.store.get(collection, key)
            case "post":
                found = self.store.create(collection, body)
            case "put":
                found = self.store.replace(collection, key, body)
            case "patch":
                found = self.store.merge(collection, key, body)
            case "delete":
                self.store.delete(collection, key, body.get("preconditions") or {})
                return {"kind": "Status", "apiVersion": "v1", "status": "Success"}
            case _:
                raise StatusError(405, "MethodNotAllowed")
        return _shown(found, seen.accept)

    def _page(self, seen: Seen, collection: str, namespace: str) -> Object:
        query = seen.query
        found = self.store.all(collection, namespace, query.get("labelSelector", ""))
        first = int(query.get("continue") or 0)
        limit = int(query.get("limit") or 0) or len(found) or 1
        meta = {"resourceVersion": str(self.store.version)}
        if first + limit < len(found):
            meta["continue"] = str(first + limit)
        items = [_shown(each, seen.accept) for each in found[first : first + limit]]
        return {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": items}

    def _watch(self, exchange: Exchange, fault: Fault | None) -> None:
        query = exchange.seen.query
        collection, namespace, _ = _split(exchange.seen.path)
        sent = _Lines(exchange, fault)
        with self.store.changed:
            epoch = self._watch_epoch
            if exchange.seen.verb == "sync":
                if not self._initial_events:
                    raise StatusError(422, "Invalid", "sendInitialEvents is forbidden for watch")
                version, position = self.store.version, self.store.position
                lines = self._initial(exchange.seen, collection, namespace)
            else:
                version, position = int(query["resourceVersion"]), 0
                lines = []
                self.store.since(collection, version, position)
        exchange.start()
        if not all(sent.line(line) for line in lines):
            return
        while True:
            with self.store.changed:
                entries, position = self.store.since(collection, version, position)
                if not entries and epoch == self._watch_epoch:
                    self.store.changed.wait(1.0)
                    continue
            for entry in entries:
                if _wanted(entry, namespace) and not sent.line(_event(entry, exchange.seen.accept)):
                    return
            if epoch != self._watch_epoch:
                exchange.end()
                return

    def _initial(self, seen: Seen, collection: str, namespace: str) -> list[Object]:
        found = self.store.all(collection, namespace, seen.query.get("labelSelector", ""))
        events = [{"type": "ADDED", "object": _shown(each, seen.accept)} for each in found]
        end_mark = {"metadata": {"resourceVersion": str(self.store.version), **INITIAL_END}}
        return [*events, {"type": "BOOKMARK", "object": end_mark}]


@dataclass(slots=True)
class _Lines:
    """Sends lines until the fault's turn comes."""

    exchange: Exchange
    fault: Fault | None
    sent: int = field(default=0)

    def line(self, event: Object | bytes) -> bool:
        """Send one; False: the fault has acted and the stream is over."""
        self.exchange.line(event)
        self.sent += 1
        if self.fault is not None and self.sent == self.fault.after:
            self.fault.act(self.exchange)
            return False
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, api: FakeKubeApi, *, port: int) -> None:
        self.api = api
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def close_connections(self) -> None:
        """End the handlers of connections that clients keep open."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up: that is what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        split = urlsplit(self.path)
        query = dict(parse_qsl(split.query))
        length = int(self.headers.get("Content-Length") or 0)
        seen = Seen(
            verb=_verb(self.command, split.path, query),
            path=split.path,
            query=query,
            accept=self.headers.get("Accept", ""),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
            at=time.monotonic(),
        )
        with contextlib.suppress(OSError):
            api = self.server.api
            exchange = Exchange(
                self, seen, api._ending, protobuf=api.protobuf, compressed=api.compressed
            )
            api.serve(exchange)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Stay quiet."""


def _verb(method: str, path: str, query: Mapping[str, str]) -> str:
    if method != "GET":
        return method.lower()
    if query.get("watch") == "true":
        return "sync" if "sendInitialEvents" in query else "watch"
    match = _PATH.fullmatch(path)
    return "get" if match is None or match["name"] else "list"


def _split(path: str) -> tuple[str, str, str]:
    match = _PATH.fullmatch(path)
    if match is None:
        raise StatusError(404, "NotFound", f"the server could not find {path}")
    return f"{match['root']}/{match['plural']}", match["ns"] or "", match["name"] or ""


def _shown(found: Object, accept: str) -> Object:
    if "as=PartialObjectMetadata" not in accept:
        return found
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": found["metadata"],
    }


def _wanted(entry: Entry, namespace: str) -> bool:
    if entry.raw is not None or entry.type == "BOOKMARK" or not namespace:
        return True
    return bool(entry.object["metadata"].get("namespace") == namespace)


def _event(entry: Entry, accept: str) -> Object | bytes:
    if entry.raw is not None:
        return entry.raw
    return {"type": entry.type, "object": _shown(entry.object, accept)}
