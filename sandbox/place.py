"""Where one sandbox keeps its files and which ports are its own.

Promise: two sandboxes side by side share no file and no port, and no program is started on data
that another living program may still write.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Self

from common.model.errors import PreconditionError

# Below the ephemeral ports (32768 and up on Linux, 49152 on macOS): there, any outgoing connection
# may take a port between our choice and our server's bind. Below the NodePorts (30000) too.
_PORTS = range(20_000, 30_000)
_PREFIX = "sluice-"
_CLAIM = "sandbox"  # held by the process that uses the place, until it ends
_TEMPORARY = "temporary"  # marks a folder that nobody misses once its claim is free
_DYING_S = 2.0  # after a crash the guard needs some milliseconds to end the programs
_POLL_S = 0.03


class Place:
    """A folder and a set of reserved loopback ports. Close it after its programs were stopped."""

    def __init__(self, folder: Path | None = None, *, keep: bool = False) -> None:
        """Use `folder`, or make one in the temporary folder and remove it on close unless `keep`.

        Unix sockets live here, and their paths must stay under 108 bytes: keep `folder` short.
        Raises PreconditionError when another living process uses `folder`.
        """
        self._ours = folder is None and not keep
        if self._ours:
            _sweep()
        self.folder = (folder or Path(tempfile.mkdtemp(prefix=_PREFIX))).absolute()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._reservations = [self.claim(_CLAIM)]
        if self._ours:
            (self.folder / _TEMPORARY).touch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def sub(self, name: str) -> Path:
        """Return the folder `name`, made when missing and closed to other users."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def log(self, name: str) -> Path:
        """Return the log file of the program `name`."""
        return self.sub("log") / f"{name}.log"

    def port(self, wanted: int = 0) -> int:
        """Reserve a loopback port until `close`: `wanted`, or any free one when it is 0.

        Raises PreconditionError when `wanted` is taken, or when no port is free.
        """
        start = secrets.randbelow(len(_PORTS))
        candidates: tuple[int, ...] = (wanted,) if wanted else (*_PORTS[start:], *_PORTS[:start])
        for candidate in candidates:
            lock = _reserve(candidate)
            if lock is not None:
                self._reservations.append(lock)
                return candidate
        what = f"port {wanted}" if wanted else f"any port in {_PORTS.start}-{_PORTS.stop - 1}"
        raise PreconditionError(f"{what} of 127.0.0.1 is in use; stop its owner or choose another")

    def claim(self, name: str) -> int:
        """Lock the data folder `name` and return the lock's descriptor.

        Pass it to the program that will write there and close it here: the lock then lives exactly
        as long as that program. Raises PreconditionError while another holder lives: an old etcd
        removes the new one's spare WAL file when it ends, and the new one dies of that later.
        """
        deadline = time.monotonic() + _DYING_S
        while True:
            lock = _lock(self.folder / f"{name}.lock")
            if lock is not None:
                return lock
            if time.monotonic() > deadline:
                raise PreconditionError(
                    f"{self.folder / name} belongs to a program that still runs; stop it first"
                )
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Give the ports back, and remove the folder when it was made here."""
        while self._reservations:
            os.close(self._reservations.pop())
        if self._ours:
            shutil.rmtree(self.folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the temporary places that crashed sandboxes left: each holds 130 MB of etcd's."""
    for mark in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_TEMPORARY}"):
        with contextlib.suppress(OSError):  # another user's, or another process sweeps it too
            lock = _lock(mark.with_name(f"{_CLAIM}.lock"))
            if lock is not None:
                shutil.rmtree(mark.parent, ignore_errors=True)
                os.close(lock)


def _reserve(port: int) -> int | None:
    """Take `port` for us; None when a sandbox reserved it or any program listens on it."""
    folder = Path(tempfile.gettempdir()) / f"sluice-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True, mode=0o700)
    lock = _lock(folder / str(port))
    if lock is None:
        return None
    with contextlib.closing(socket.socket()) as probe:
        # As the servers will bind: connections of a former owner in TIME_WAIT do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            return None
    return lock


def _lock(path: Path) -> int | None:
    """Open `path` and lock it; None when another open file holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
