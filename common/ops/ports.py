"""Free TCP ports, for children that must be told theirs beforehand."""

from __future__ import annotations

import socket


def free_ports(count: int, *, host: str = "127.0.0.1") -> list[int]:
    """Return ports that nobody listens on now; another process may still be faster."""
    with_ports = [socket.socket() for _ in range(count)]
    try:
        for held in with_ports:
            held.bind((host, 0))
        return [held.getsockname()[1] for held in with_ports]
    finally:
        for held in with_ports:
            held.close()


def is_free(host: str, port: int) -> bool:
    """Return whether we could listen there now; an empty host: on every interface."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def unix_answers(path: str) -> bool:
    """Return whether somebody accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True
