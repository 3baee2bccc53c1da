"""Free TCP ports, for children that must be told theirs beforehand."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

_LOWEST = 20_000  # below are well-known ones
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 100
# What this process has given away already: whoever was told a port may not listen there yet.
_given: set[int] = set()


def free_ports(count: int, *, host: str = "127.0.0.1") -> list[int]:
    """Return ports that nobody listens on now, none twice; another process may still be faster.

    Not of those from which the system takes the ports of outgoing connections, where it can be
    helped: any connection of anybody could get one before its owner listens, and keep it for hours.
    """
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            held.append(_held(host))
        found = [one.getsockname()[1] for one in held]
        _given.update(found)
        return found
    finally:
        for one in held:
            one.close()


def _held(host: str) -> socket.socket:
    """Return a socket that holds a port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    first = _first_outgoing()
    for _ in range(_TRIES if first > _LOWEST else 0):
        port = random.randrange(_LOWEST, first)  # noqa: S311 # no secret
        if port in _given:
            continue
        one = socket.socket(family)
        with contextlib.suppress(OSError):
            one.bind((host, port))
            return one
        one.close()
    one = socket.socket(family)
    one.bind((host, 0))
    return one


def _first_outgoing() -> int:
    """Return the lowest port that the system gives to outgoing connections; 0: nobody knows."""
    try:
        return int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


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
