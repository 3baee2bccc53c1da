"""What zstd frames unpack to at most, by the headers of their blocks alone.

Nothing here can unpack zstd. But each block says how it is packed: plain and repeated bytes tell
their size, and a packed block never has more than 128 KB. Encoders fill their blocks, so the bound
is close; one that splits blocks for density makes it several times too high. Source: RFC 8878.
"""

from __future__ import annotations

_FRAME = b"\x28\xb5\x2f\xfd"
_BLOCK_BYTES = 128 * 1024
_DICTIONARY_BYTES = (0, 1, 2, 4)
_SIZE_BYTES = (0, 2, 4, 8)
_RAW, _REPEATED, _PACKED = 0, 1, 2
_HEAD_BYTES = 3  # of a block
_LONGEST_BYTES = 18  # of a frame's header, its magic number included


class ZstdSize:
    """Reads a blob piece by piece. What is no zstd counts nothing from there on."""

    def __init__(self) -> None:
        self._held = b""  # a header that is not whole yet
        self._skipped_bytes = 0  # of what comes next: contents of a block
        self._in_frame = self._broken = False
        self._tail_bytes = 0  # behind the last block: a checksum

    def update(self, piece: bytes) -> int:
        """Return how many bytes the blocks that begin in `piece` have at most."""
        data, at, size_bytes = self._held + piece, 0, 0
        self._held = b""
        while not self._broken:
            skipped = min(self._skipped_bytes, len(data) - at)
            at, self._skipped_bytes = at + skipped, self._skipped_bytes - skipped
            if self._skipped_bytes or at == len(data):
                break
            used, more = self._block(data, at) if self._in_frame else (self._frame(data, at), 0)
            if not used:
                self._held = data[at:]
                break
            at, size_bytes = at + used, size_bytes + more
        return size_bytes

    def _block(self, data: bytes, at: int) -> tuple[int, int]:
        """Return how long the block's header is and what the block has; 0: it is not whole."""
        if len(data) - at < _HEAD_BYTES:
            return 0, 0
        head = int.from_bytes(data[at : at + _HEAD_BYTES], "little")
        last, kind, size = head & 1, (head >> 1) & 3, head >> 3
        self._broken = kind not in (_RAW, _REPEATED, _PACKED)
        self._skipped_bytes = 1 if kind == _REPEATED else size
        if last:
            self._in_frame = False
            self._skipped_bytes += self._tail_bytes
        return _HEAD_BYTES, _BLOCK_BYTES if kind == _PACKED else size

    def _frame(self, data: bytes, at: int) -> int:
        """Return how long the header of a frame is; 0: it is not whole."""
        head = data[at : at + _LONGEST_BYTES]
        if len(head) <= len(_FRAME):
            return 0
        if head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:  # noqa: PLR2004 # RFC 8878, 3.1.2
            if len(head) < 8:  # noqa: PLR2004 # a frame to be skipped: magic number and size
                return 0
            self._skipped_bytes = int.from_bytes(head[4:8], "little")
            return 8
        if not head.startswith(_FRAME):
            self._broken = True
            return 0
        described = head[len(_FRAME)]
        alone = (described >> 5) & 1
        size_bytes = _SIZE_BYTES[described >> 6] or alone
        length = len(_FRAME) + 2 - alone + _DICTIONARY_BYTES[described & 3] + size_bytes
        if len(head) < length:
            return 0
        self._in_frame, self._tail_bytes = True, 4 * ((described >> 2) & 1)
        return length
