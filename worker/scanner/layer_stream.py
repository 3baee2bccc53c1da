"""Layers on their way from a registry to Trivy: checked, counted, and continued after a break.

The end of a layer is held back until its digest is known to be right, so that nobody analyses what
arrived damaged.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Protocol

from common.model.bounded import whole_number
from common.model.errors import (
    DamagedImageError,
    ImageNotFoundError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    TransferDamagedError,
)
from worker.evidence.image.parts import LayerPart
from worker.evidence.image.registry_http import Opened
from worker.scanner.layer_content import LayerContent

_CHUNK_BYTES = 256 * 1024
# A connection that breaks in a large layer costs the rest, not the whole; a registry that breaks
# every connection is told from one that had a bad moment.
_RESUMES = 2
_PARTIAL = 206
_NOWHERE = 1 << 62
# Below this nobody minds how well a layer is packed: an empty disk image, or a log of zeros.
_ANY_RATIO_BYTES = 1024 * 1024 * 1024
_BROKEN = (OSError, http.client.HTTPException)


class Blobs(Protocol):
    """The blobs of one image's repository."""

    def open(self, digest: str, part: tuple[int, int] | None = None) -> Opened:
        """Ask for a blob or a part of it; status 200 or, of a part, 206. Raises domain errors."""


class LayerStream:
    """The layers of one image. Thread-safe: each call of `read` stands for itself."""

    def __init__(
        self,
        blobs: Blobs,
        layers: Sequence[LayerPart],
        *,
        limit_bytes: int,
        limit_ratio: int = 0,
        verify: bool = False,
    ) -> None:
        """Raise TerminalError (`ImageTooLarge`) before the first byte is asked for.

        `limit_bytes`: of all layers together, packed and unpacked; 0: no limit. `limit_ratio`: how
        many times its size a layer of more than 1 GiB may unpack to; 0: no limit. `verify`: layers
        that are not proven must unpack to what the image says.
        """
        self._blobs = blobs
        self._layers = {layer.digest: layer for layer in layers}
        self._limit_bytes = limit_bytes
        self._limit_ratio = limit_ratio
        self._verify = verify
        self._unpacked_bytes = 0
        self._proven: set[str] = set()
        self._spending = threading.Lock()
        self._check(sum(layer.size for layer in self._layers.values()), "have")

    def layer(self, digest: str) -> LayerPart | None:
        """Return the layer of this digest; None: the image has no such layer."""
        return self._layers.get(digest)

    def unproven(self) -> tuple[LayerPart, ...]:
        """Return the layers that are yet to be read to their end, to see what they unpack to."""
        if not self._verify:
            return ()
        return tuple(
            layer
            for digest, layer in self._layers.items()
            if not (layer.proven or digest in self._proven)
        )

    def proven(self) -> frozenset[str]:
        """Return the digests of layers that were read to their end, and were what they should be.

        One that is packed as nobody here can unpack it counts as such: reading it again would not
        tell more.
        """
        return frozenset(self._proven)

    def read(self, layer: LayerPart, *, ended: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the layer's bytes; the last of them only if all were right.

        Stops where `ended()`: nobody listens any more. Raises what the registry's refusal means,
        TransferDamagedError for bytes that are not the layer's, SourceUnavailableError when the
        registry stops sending, DamagedImageError for a layer that unpacks to another content.
        """
        if layer.size <= 0:
            raise DamagedImageError("the manifest names a layer without bytes")
        must_prove = self._verify and not layer.proven
        counted = must_prove or self._limit_bytes or self._limit_ratio
        content = LayerContent(self._spender(layer), named=must_prove) if counted else None
        reading = _Reading(layer, content, proves=must_prove)
        for _ in range(1 + _RESUMES):
            with self._open(layer, reading.size_bytes) as body:
                yield from reading.pieces(body, ended)
            if reading.complete or ended():
                break
        last = reading.rest(ended)
        if must_prove and reading.complete:
            self._proven.add(layer.digest)
        yield last

    def _spender(self, layer: LayerPart) -> Callable[[int], None]:
        """Return what counts a layer's unpacked bytes, and raises beyond the limits."""
        own_bytes = 0

        def spend(size: int) -> None:
            nonlocal own_bytes
            own_bytes += size
            if 0 < self._limit_ratio * layer.size < own_bytes > _ANY_RATIO_BYTES:
                raise TerminalError(
                    f"a layer of {layer.size} bytes unpacks to more than {self._limit_ratio} times "
                    "as much (SLUICE_MAX_UNPACK_RATIO)",
                    reason="ImageTooLarge",
                )
            with self._spending:
                self._unpacked_bytes += size
                self._check(self._unpacked_bytes, "unpack to")

        return spend

    def _check(self, size: int, how: str) -> None:
        if 0 < self._limit_bytes < size:
            raise TerminalError(
                f"its layers {how} more than {self._limit_bytes} bytes (TRIVY_MAX_IMAGE_SIZE)",
                reason="ImageTooLarge",
            )

    def _open(self, layer: LayerPart, offset: int) -> IO[bytes]:
        """Return the layer's bytes from `offset` on."""
        part = (offset, layer.size - 1) if offset else None
        try:
            opened = self._blobs.open(layer.digest, part)
        except ImageNotFoundError as exc:
            raise ImageNotFoundError(f"{exc}: layer {layer.digest} is missing") from exc
        announced = opened.headers.get("Content-Length")
        begins = _start(opened) if opened.status == _PARTIAL else 0
        left = layer.size - begins
        if begins > offset or (announced is not None and whole_number(announced) != left):
            opened.body.close()
            raise TransferDamagedError(
                f"the registry sends another part of a layer than was asked for: {layer.digest}"
            )
        return _skipped(opened.body, offset - begins)


class _Reading:
    """How far one layer came, over all connections."""

    def __init__(self, layer: LayerPart, content: LayerContent | None, *, proves: bool) -> None:
        self._layer = layer
        self._content = content
        self._proves = proves
        self._hash = hashlib.sha256()
        self._held = b""
        self._fault: BaseException | None = None
        self.size_bytes = 0

    @property
    def complete(self) -> bool:
        return self.size_bytes == self._layer.size

    def pieces(self, body: IO[bytes], ended: Callable[[], bool]) -> Iterator[bytes]:
        """Yield what came but for the last piece, until the layer's end or a break."""
        self._fault = None
        while not self.complete and not ended():
            try:
                piece = body.read(min(_CHUNK_BYTES, self._layer.size - self.size_bytes))
            except _BROKEN as exc:
                self._fault = exc
                return
            if not piece:
                return
            self._hash.update(piece)
            if self._content is not None:
                self._content.update(piece)
            self.size_bytes += len(piece)
            if self._held:
                yield self._held
            self._held = piece

    def rest(self, ended: Callable[[], bool]) -> bytes:
        """Return the last piece; raise if the layer is not what it should be."""
        if not self.complete and not ended():
            raise self._broken()
        if self.complete and f"sha256:{self._hash.hexdigest()}" != self._layer.digest:
            raise TransferDamagedError(f"a layer arrived damaged: {self._layer.digest}")
        if self.complete and self._proves and self._content is not None:
            self._compare(self._content.diff_id())
        return self._held

    def _compare(self, diff_id: str) -> None:
        """Raise unless the content is what the image says; what nobody can unpack passes."""
        if diff_id not in ("", self._layer.diff_id):
            raise DamagedImageError(
                f"layer {self._layer.digest} unpacks to another content than the image says",
                reason="LayerMismatch",
            )

    def _broken(self) -> SluiceError:
        if isinstance(self._fault, TimeoutError):
            return SourceUnavailableError(
                "the registry stopped sending in the middle of a layer",
                reason="RegistryUnavailable",
            )
        return TransferDamagedError(
            f"a layer broke off after {self.size_bytes} of {self._layer.size} bytes"
        )


def _start(opened: Opened) -> int:
    """Return where a part begins; beyond everything when it does not say."""
    found = re.match(r"bytes (\d+)-", opened.headers.get("Content-Range") or "")
    begins = whole_number(found.group(1)) if found else None
    return _NOWHERE if begins is None else begins


def _skipped(body: IO[bytes], size: int) -> IO[bytes]:
    """Read over what is known already, where a registry cannot continue."""
    while size > 0:
        try:
            piece = body.read(min(_CHUNK_BYTES, size))
        except _BROKEN:
            piece = b""
        if not piece:
            body.close()
            raise TransferDamagedError("the registry broke off again in the same layer")
        size -= len(piece)
    return body
