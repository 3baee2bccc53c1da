"""A cable between one worker and Redis that can be cut: a TCP relay on loopback.

While it is held, nothing passes in either direction and nothing breaks: what was sent arrives when
it is let go, as over a network that was partitioned. While it is cut, every connection is reset and
none can be made. While it swallows, requests arrive and replies do not.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal, Self, TypeAlias

_CHUNK_BYTES = 64 * 1024

State: TypeAlias = Literal["whole", "held", "cut", "swallows"]


class Cable:
    """Listens on a port of its own and relays to `backend_port`. A context manager."""

    def __init__(self, backend_port: int) -> None:
        self._backend_port = backend_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._state: State = "whole"
        self._open: set[socket.socket] = set()
        self._over = False
        self._acceptor = threading.Thread(target=self._accept, name="cable", daemon=True)

    @property
    def url(self) -> str:
        """Where a worker reaches Redis through the cable."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._over = True
        self.become("cut")
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()

    def become(self, state: State) -> None:
        """Change its state; being cut resets every connection."""
        with self._changed:
            self._state = state
            doomed = tuple(self._open) if state == "cut" else ()
            self._changed.notify_all()
        for one in doomed:
            _reset(one)

    def _accept(self) -> None:
        while not self._over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._state == "cut":
                _reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._backend_port), timeout=5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            with self._changed:
                self._open |= {client, server}
            for source, sink, is_reply in ((client, server, False), (server, client, True)):
                relay = (source, sink, is_reply)
                threading.Thread(target=self._relay, args=relay, daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:  # noqa: FBT001 # a direction
        with contextlib.suppress(OSError):
            while piece := source.recv(_CHUNK_BYTES):
                with self._changed:
                    self._changed.wait_for(lambda: self._state != "held")
                    state = self._state
                if state == "cut":
                    break
                if not (is_reply and state == "swallows"):
                    sink.sendall(piece)
        with self._changed:
            self._open -= {source, sink}
        _reset(source)
        _reset(sink)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
