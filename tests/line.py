"""A TCP line that can fall silent and go on: what was sent meanwhile arrives late, not never."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self

_CHUNK_BYTES = 64 * 1024


class Line:
    """Listens on a loopback `port` of its own and passes everything on to `to_port`."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._speaks = threading.Event()
        self._speaks.set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._closed = True
            open_now = [self._listener, *self._sockets]
        self._speaks.set()
        for each in open_now:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in list(self._threads):
            thread.join()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Hold everything back for the length of the block; nothing is refused."""
        self._speaks.clear()
        try:
            yield
        finally:
            self._speaks.set()

    def _start(self, work: object, *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type] # callables
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._connect, near)

    def _connect(self, near: socket.socket) -> None:
        self._speaks.wait()
        try:
            far = socket.create_connection(("127.0.0.1", self._to_port))
        except OSError:
            near.close()
            return
        with self._lock:
            if self._closed:
                near.close()
                far.close()
                return
            self._sockets |= {near, far}
        self._start(self._pump, far, near)
        self._pump(near, far)
        with self._lock:
            self._sockets -= {near, far}
        near.close()
        far.close()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        """Copy until the end, and pass the end on."""
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._speaks.wait()
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
