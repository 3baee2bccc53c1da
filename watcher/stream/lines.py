"""Cuts a stream of chunks into lines. Pure: holds the unfinished line and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

# No real object comes near: etcd stores 1.5 MiB, and JSON may be a few times larger.
LINE_LIMIT_BYTES = 16 * 1024 * 1024


class LineTooLongError(ValueError):
    """The line passes 16 MiB: not a Kubernetes object."""


class LineSplitter:
    """Lines without copies where a chunk is a line, which Go's server makes the common case.

    An unfinished line is kept as a list of pieces, so a slow line costs no quadratic copying.
    """

    __slots__ = ("_pieces", "_size")

    torn = "TornLine"  # the reason of a body that ends in mid-line

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def unfinished_bytes(self) -> int:
        """How much of a line is waiting for its end; not 0 at the end of a body: a torn line."""
        return self._size

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Return the lines that `chunk` completes; line ends may be left on.

        Raises LineTooLongError when the unfinished line passes 16 MiB.
        """
        if chunk.find(b"\n") == len(chunk) - 1 and chunk:  # the only line end is the last byte
            return (self._joined(chunk),)
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines:
            lines[0] = self._joined(lines[0])
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
            if self._size > LINE_LIMIT_BYTES:
                raise LineTooLongError(f"a line of more than {LINE_LIMIT_BYTES} bytes")
        return lines

    def _joined(self, end: bytes) -> bytes:
        """Return the unfinished line with its end, and forget it."""
        if not self._pieces:
            return end
        self._pieces.append(end)
        line = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return line
