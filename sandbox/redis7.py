"""A Redis 7 that speaks TLS, beside the wheel's Valkey 8, which does not: tests run on both.

PATH's, where it fits; else the packages of Debian or Ubuntu, unpacked into the user's cache.
Nothing is installed, no service starts, and root is not needed. It stands in no PATH, so that the
demo and `sandbox.valkey.server` never meet it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from common.model.errors import PreconditionError
from sandbox.debian import Debian, libraries
from sandbox.gobuild import Say
from sandbox.programs import sources
from sandbox.valkey import new_enough

# The server is in the tools' package; slim images lack the libraries. Others come with apt itself.
_PACKAGES = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1")
_UNPACKED = "unpacked"  # the packages' files, beside the launcher
REMEDY = (
    "put a redis-server 7 or newer that is built with TLS in PATH (macOS: brew install redis), or "
    "have a package mirror in reach on Debian or Ubuntu"
)


def redis_server(*, say: Say) -> Path:
    """Return the program, fetching it when it is not there yet; `say` tells progress.

    Raises PreconditionError with the remedy.
    """
    found = shutil.which("redis-server")
    if found is not None and _fits(Path(found)):
        return Path(found)
    program = cached()
    if not program.exists():
        say("fetching Redis 7 from the distribution's packages (once, some seconds)")
        _fetch(program.parents[1])
    if not _fits(program):
        raise PreconditionError(f"{program} is older than 7, without TLS, or broken; {REMEDY}")
    return program


def cached() -> Path:
    """Return where the unpacked server is, or will be: one a release of the distribution."""
    release: dict[str, str] = {}
    with contextlib.suppress(OSError):  # another system: PATH must have it
        release = platform.freedesktop_os_release()
    name = f"redis-{release.get('ID', 'none')}{release.get('VERSION_ID', '')}-{platform.machine()}"
    return sources(os.environ).cache.parent / name / "bin" / "redis-server"


def _fits(program: Path) -> bool:
    return new_enough(program) and _speaks_tls(program)


def _speaks_tls(program: Path) -> bool:
    """Say whether it misses a certificate, and ends: one without TLS does not ask for it."""
    words = ("--port", "0", "--tls-port", "1")
    try:
        done = subprocess.run(
            [str(program), *words], capture_output=True, check=False, text=True, timeout=20.0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "tls-cert-file" in done.stdout + done.stderr


def _fetch(folder: Path) -> None:
    """Unpack the packages into `folder`, which appears as a whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        packages = Debian(Path(scratch), remedy=REMEDY)
        packages.download(_PACKAGES)
        packages.unpack(made / _UNPACKED)
        _write_launcher(made)
        try:
            made.replace(folder)
        except OSError:  # another process was quicker
            if not (folder / "bin").exists():
                raise


def _write_launcher(made: Path) -> None:
    """Write a program that finds the libraries beside the server, wherever the folder is."""
    search = ":".join(f"$here/{path.relative_to(made)}" for path in libraries(made))
    launcher = made / "bin" / "redis-server"
    launcher.parent.mkdir()
    launcher.write_text(
        '#!/bin/sh\nhere=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
        f'LD_LIBRARY_PATH="{search}" exec "$here/{_UNPACKED}/usr/bin/redis-server" "$@"\n',
        encoding="utf-8",
    )
    launcher.chmod(0o755)
