"""Who may keep a server busy: so many connections, so long for a request, and so many bytes of one.

A client that sends a byte now and then, or opens connections and says nothing, costs a thread each.
The oldest of those goes when others need its place; who was understood is answered. A request is
kept whole until it is understood, several times over, so its length is memory of the process.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Crowd:
    """Counts connections. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._silent: dict[socket.socket, None] = {}  # have not said what they want; oldest first
        self._heard: set[socket.socket] = set()

    def enter(self, connection: socket.socket) -> bool:
        """Take a connection in; False: all the others are being answered."""
        with self._lock:
            if len(self._silent) + len(self._heard) >= self._limit and not self._drop_oldest():
                return False
            self._silent[connection] = None
            return True

    def heard(self, connection: socket.socket) -> None:
        """Keep a connection whose request has arrived, unless its place went to another one."""
        with self._lock:
            if connection in self._silent:
                del self._silent[connection]
                self._heard.add(connection)

    def leave(self, connection: socket.socket) -> None:
        """Forget a connection that ends."""
        with self._lock:
            self._silent.pop(connection, None)
            self._heard.discard(connection)

    def _drop_oldest(self) -> bool:
        oldest = next(iter(self._silent), None)
        if oldest is None:
            return False
        del self._silent[oldest]
        with contextlib.suppress(OSError):  # it went by itself
            oldest.shutdown(socket.SHUT_RDWR)  # wakes its thread, which closes it
        return True


class Head(io.RawIOBase):
    """Reads a request from its connection, for so long in all; then it raises TimeoutError.

    Of one that has more than `limit_bytes` it reads no more than those.
    """

    def __init__(self, connection: socket.socket, *, limit_s: float, limit_bytes: int) -> None:
        """Begin now."""
        self._connection = connection
        self._until_s = time.monotonic() + limit_s
        self._left_bytes = limit_bytes
        self.ended = False  # before it was whole: nobody waits for an answer
        self.too_long = False

    def readable(self) -> bool:
        """Say that it can."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Wait for bytes as long as there is time."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request took too long")
        if self._left_bytes == 0:
            self.too_long = True
            return 0
        self._connection.settimeout(left_s)
        count = self._connection.recv_into(memoryview(buffer)[: self._left_bytes])
        self._left_bytes -= count
        self.ended = count == 0
        return count
