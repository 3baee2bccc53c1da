"""What a layer unpacks to, counted and hashed while it passes by; nothing is written or held.

Trivy keeps what it found under the name that the image's configuration gives to a layer's content,
and never looks whether that is so: an image that gave another image's name to a layer of its own
would put its findings in the place of that image's.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable

from common.model.errors import DamagedImageError
from worker.scanner.zstd_size import ZstdSize

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 31  # zlib's way to say: with gzip's head and trailer
_PIECE_BYTES = 1024 * 1024  # of unpacked content at once: a bomb fills no memory


class LayerContent:
    """The content of one layer, packed by gzip or not at all; what has zstd is counted only."""

    def __init__(self, spend: Callable[[int], None], *, named: bool) -> None:
        """`spend` is told of every unpacked byte; what it raises ends the layer.

        `named`: whether anybody will ask for the content's name.
        """
        self._spend = spend
        self._hash = hashlib.sha256() if named else None
        self._zstd = ZstdSize()
        self._head = b""  # until it says how the layer is packed
        self._gzip: zlib._Decompress | None = None
        self._plain = self._broken = False
        self.readable = True  # False: it is packed as nobody here can unpack it

    def update(self, piece: bytes) -> None:
        """Take the next bytes of the blob.

        What cannot be unpacked is told at the end, when it is known whether the bytes are right.
        """
        if self._broken:
            return
        if self._gzip is not None:
            self._unpack(piece)
        elif self._plain:
            self._add(piece)
        elif self.readable:
            self._begin(self._head + piece)
        else:
            self._spend(self._zstd.update(piece))

    def diff_id(self) -> str:
        """Return the name of the content; empty where nobody here can unpack it.

        Raises DamagedImageError for what is no gzip after all.
        """
        if not self.readable or self._hash is None:
            return ""
        if self._broken:
            raise DamagedImageError("a layer cannot be unpacked")
        if self._gzip is not None:
            self._add(self._gzip.flush())
        elif not self._plain:
            self._add(self._head)
        return f"sha256:{self._hash.hexdigest()}"

    def _begin(self, head: bytes) -> None:
        self._head = head
        if len(head) < len(_ZSTD):
            return
        if head.startswith(_GZIP):
            self._gzip = zlib.decompressobj(_GZIP_WINDOW)
            self._unpack(head)
        elif head.startswith(_ZSTD):
            self.readable = False
            self._spend(self._zstd.update(head))
        else:
            self._plain = True
            self._add(head)

    def _unpack(self, piece: bytes) -> None:
        """Unpack; a blob may be several gzip files, one behind the other."""
        while piece and self._gzip is not None:
            if self._gzip.eof:
                self._gzip = zlib.decompressobj(_GZIP_WINDOW)
            try:
                self._add(self._gzip.decompress(piece, _PIECE_BYTES))
            except zlib.error:
                self._broken = True
                return
            piece = self._gzip.unused_data if self._gzip.eof else self._gzip.unconsumed_tail

    def _add(self, content: bytes) -> None:
        if self._hash is not None:
            self._hash.update(content)
        self._spend(len(content))
