"""A second front door of a registry on loopback, at an address that nobody takes for local."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox import certificates

HOST = "127.0.0.2"  # to go-containerregistry a host like any other


@contextmanager
def relay(backend: str, tls: Path | None = None) -> Iterator[str]:
    """Give `host:port` that passes on to `backend`; `tls`: a folder for a certificate of its own.

    Nobody vouches for the certificate but the CA in that folder.
    """
    context = None
    if tls is not None:
        made = certificates.make(tls, names=(f"IP:{HOST}",))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(made.server_certificate, made.server_key)
    listener = socket.create_server((HOST, 0))
    threads: list[threading.Thread] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=_carry, args=(client, backend, context))
            threads.append(thread)
            thread.start()

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield f"{HOST}:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.join()
        for thread in threads:
            thread.join()


def _carry(client: socket.socket, backend: str, context: ssl.SSLContext | None) -> None:
    host, _, port = backend.partition(":")
    with contextlib.suppress(OSError), client:
        client.settimeout(20)
        near = context.wrap_socket(client, server_side=True) if context else client
        with near, socket.create_connection((host, int(port)), timeout=20) as far:
            back = threading.Thread(target=_pump, args=(far, near))
            back.start()
            _pump(near, far)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        source.shutdown(socket.SHUT_RDWR)
