"""The loopback registry between one Trivy run and the image's own registry.

Trivy takes it for a mirror, so every name in its report stays what it was. Manifest and
configuration come from memory: the worker read them once. Layers are streamed with the credential,
which Trivy itself never has; a redirection to a store elsewhere goes without it. What fails is kept
as the registry said it, instead of being guessed from Trivy's words; and Trivy is answered in a way
that it does not try again.

What Trivy found in a layer is stored for all images under the name that this one gives to the
layer's content; so nothing is passed on to the match server before the layer was read to its end,
and was what it should be.
"""

from __future__ import annotations

import collections
import contextlib
import http.server
import json
import os
import re
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import Self

from common.model.errors import ScanTimeoutError, SluiceError
from worker.evidence.image import manifest
from worker.evidence.image.descriptors import readable
from worker.evidence.image.parts import LayerPart
from worker.scanner.layer_stream import LayerStream

_PATH = re.compile(r"/v2/.+/(?:manifests|blobs)/(sha256:[0-9a-f]{64})")
_BLOB = "application/octet-stream"
# go-containerregistry tries most other refusals again, seconds later: whether that makes sense is
# decided by who knows all images of the registry.
_GONE = 404
_LOOK_S = 0.2  # how soon it is noticed that the job's time is up


class PullProxy:
    """Serves one image on a loopback port. A context manager."""

    def __init__(
        self, documents: Sequence[bytes], layers: LayerStream, *, over: Callable[[], bool]
    ) -> None:
        """`over`: whether the job's time is up, or nobody waits for it any more."""
        self._documents: dict[str, bytes] = {
            manifest.digest_of(document): document for document in documents
        }
        self.layers = layers
        self._over = over
        self._closed = threading.Event()
        self._reading: set[str] = set()  # layers that are on their way
        self._changed = threading.Condition()
        self.fault: SluiceError | None = None  # the first one; the others follow from it
        self._server = _Server(self)
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="pull-proxy")

    @property
    def address(self) -> str:
        """Host and port, as image names carry them; Trivy speaks plain HTTP to this machine."""
        return f"127.0.0.1:{self._server.server_port}"

    def document(self, digest: str) -> bytes | None:
        """Return one that the job brought along."""
        return self._documents.get(digest)

    def layer(self, digest: str) -> LayerPart | None:
        """Return a layer of the image; None: it has none of this digest, or it failed already."""
        return None if self.fault is not None else self.layers.layer(digest)

    def stream(self, layer: LayerPart) -> Generator[bytes, None, None]:
        """Yield a layer's bytes; notes what fails."""
        with self._changed:
            self._reading.add(layer.digest)
        try:
            yield from self.layers.read(layer, ended=self.ended)
        except SluiceError as exc:
            self.fault = self.fault or exc
            raise
        finally:
            with self._changed:
                self._reading.discard(layer.digest)
                self._changed.notify_all()

    def ended(self) -> bool:
        """Say whether nobody needs the layers any more."""
        return self._closed.is_set() or self._over()

    def prove(self) -> None:
        """Read what Trivy did not: it knew layers of these names already, from another image.

        Raises what fails.
        """
        for layer in self.layers.unproven():
            with contextlib.suppress(SluiceError):
                collections.deque(self.stream(layer), maxlen=0)
        if self.fault is None and self.ended():
            raise ScanTimeoutError("the job's time was over before its layers were checked")
        if self.fault is not None:
            raise self.fault

    def admits(self, found: bytes) -> bool:
        """Say whether what Trivy found in a layer may be stored; waits until that is known.

        Trivy may stop reading where an archive seems to end. `found` carries the layer's digest;
        should it carry none some day, it waits for all that are on their way.
        """
        with self._changed:
            named = {digest for digest in self._reading if digest.encode() in found}
            while self._reading & (named or self._reading) and not self.ended():
                self._changed.wait(_LOOK_S)
        left = any(layer.digest.encode() in found for layer in self.layers.unproven())
        return self.fault is None and not left and not self.ended()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        os.write(self._wake_write, b"x")
        self._thread.join()
        self._server.server_close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _serve(self) -> None:
        """Accept until the end; `serve_forever` would notice it up to its poll interval later."""
        listener = self._server.fileno()
        while self._wake_read not in readable((listener, self._wake_read), None):
            self._server.handle_request()


class _Server(http.server.ThreadingHTTPServer):
    # A thread may wait for a registry that hangs; it ends by its own time-out, and holds up nobody.
    daemon_threads = True
    block_on_close = False

    def __init__(self, proxy: PullProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a run that was killed leaves broken pipes, and its own error is raised."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: 40 ms per answer otherwise
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
        """Say nothing: the run's own log tells what failed."""

    def do_GET(self) -> None:
        """Serve the API's root, a document, or a layer."""
        proxy = self.server.proxy
        found = _PATH.fullmatch(self.path.partition("?")[0])
        digest = found.group(1) if found else ""
        document, layer = proxy.document(digest), proxy.layer(digest)
        if self.path.rstrip("/") == "/v2":
            self._answer(200, "application/json", b"{}")
        elif document is not None:
            self._answer(200, _type_of(document, self.path), document, digest=digest)
        elif layer is not None and self.command == "GET":
            self._stream(layer)
        else:
            self._refuse()

    do_HEAD = do_GET  # noqa: N815 - http.server looks for this name

    def _stream(self, layer: LayerPart) -> None:
        """Send a layer; one that fails is refused, or cut off where it began already."""
        with contextlib.closing(self.server.proxy.stream(layer)) as pieces:
            try:
                first = next(pieces)
            except SluiceError:
                self._refuse()
                return
            self._head(200, _BLOB, layer.size, digest=layer.digest)
            try:
                self._send(layer, first, pieces)
            except SluiceError:
                self.close_connection = True

    def _send(self, layer: LayerPart, first: bytes, pieces: Iterator[bytes]) -> None:
        """Send all of it; read on where Trivy has enough, if the layer is to be proven."""
        try:
            self.wfile.write(first)
            for piece in pieces:
                self.wfile.write(piece)
        except OSError:
            self.close_connection = True
            if layer in self.server.proxy.layers.unproven():
                collections.deque(pieces, maxlen=0)

    def _refuse(self) -> None:
        error = {"code": "BLOB_UNKNOWN", "message": "the pull proxy has the reason"}
        self._answer(_GONE, "application/json", json.dumps({"errors": [error]}).encode())

    def _answer(self, status: int, kind: str, content: bytes, *, digest: str = "") -> None:
        self._head(status, kind, len(content), digest=digest)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: int, kind: str, size: int, *, digest: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()


def _type_of(document: bytes, path: str) -> str:
    """Return a document's media type: Trivy goes by the header, which the worker did not keep."""
    if "/manifests/" not in path:
        return _BLOB
    stated = manifest.stated_type(document)
    if stated:
        return stated
    return manifest.INDEX_TYPES[0] if manifest.is_index(document) else manifest.MANIFEST_TYPES[0]
