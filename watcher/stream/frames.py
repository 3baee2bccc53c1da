"""Cuts a stream of chunks into length-delimited frames. Pure: holds the unfinished frame only.

A protobuf watch sends four bytes of length, the most significant first, then so many bytes of an
event. Go's server cuts that at its buffer of 2,048 bytes: most events come in two chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

# As for lines: etcd stores 1.5 MiB. What passes this is no length; JSON read as one is 2 GB.
FRAME_LIMIT_BYTES = 16 * 1024 * 1024
_HEAD_BYTES = 4


class FrameTooLongError(ValueError):
    """The frame passes 16 MiB: not a Kubernetes object."""


class FrameSplitter:
    """Frames from chunks, however they are cut; each byte is copied once or twice.

    An unfinished frame is kept as a list of pieces until its last byte is there, so a slow one
    costs no quadratic copying.
    """

    __slots__ = ("_pieces", "_size", "_wanted")

    torn = "TornFrame"  # the reason of a body that ends in mid-frame

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = _HEAD_BYTES  # how many bytes must be there before it is worth a look

    @property
    def unfinished_bytes(self) -> int:
        """How much of a frame is waiting for its end; not 0 at the end of a body: a torn frame."""
        return self._size

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Return the frames that `chunk` completes, without their lengths.

        Raises FrameTooLongError when a frame is announced that passes 16 MiB.
        """
        self._pieces.append(chunk)
        self._size += len(chunk)
        if self._size < self._wanted:
            return ()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        frames: list[bytes] = []
        start, self._wanted = 0, _HEAD_BYTES
        while len(data) - start >= _HEAD_BYTES:
            size = int.from_bytes(data[start : start + _HEAD_BYTES], "big")
            if size > FRAME_LIMIT_BYTES:
                raise FrameTooLongError(f"a frame of {size} bytes")
            end = start + _HEAD_BYTES + size
            if end > len(data):
                self._wanted = _HEAD_BYTES + size
                break
            frames.append(data[start + _HEAD_BYTES : end])
            start = end
        rest = data[start:]
        self._pieces, self._size = ([rest] if rest else []), len(rest)
        return frames
