"""`python -m sandbox.requirements`: says what this host lacks for a real node, or installs it.

In CI (the variable CI is set), as root on Debian or Ubuntu, missing packages are installed.
Elsewhere nothing is changed. Exit status: 0 nothing lacks, 3 something does and its remedy is said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from common.model.errors import FOREIGN_LIMIT, PreconditionError, shorten
from sandbox import node_host
from sandbox.node_host import Lack

_PRECONDITION = 3
_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")
_INSTALL_S = 600.0  # a slow mirror; usually 10 s


def main() -> int:
    """Check, install in CI what packages bring, check again; return the exit status."""
    found = node_host.lacks(node_host.look())
    packages = installable(found, os.environ, has_apt=shutil.which("apt-get") is not None)
    if packages:
        print(f"installing {', '.join(packages)}", file=sys.stderr, flush=True)
        try:
            install(packages, run=_run)
        except PreconditionError as error:
            print(f"error: {error}", file=sys.stderr)
            return _PRECONDITION
        found = node_host.lacks(node_host.look())
    found = found or list(node_host.probes())
    for lack in found:
        print(f"error: {lack}", file=sys.stderr)
    return _PRECONDITION if found else 0


def installable(
    found: Iterable[Lack], environ: Mapping[str, str], *, has_apt: bool
) -> tuple[str, ...]:
    """Return the packages to install: those of `found`, in CI and as root with apt-get only. Pure.

    Nothing is installed when something lacks that no package brings: it would not help.
    """
    lacking = tuple(found)
    if not environ.get("CI") or not has_apt or not all(lack.package for lack in lacking):
        return ()
    return tuple(sorted({lack.package for lack in lacking}))


def install(packages: Sequence[str], *, run: Callable[[Sequence[str]], str]) -> None:
    """Install Debian packages; `run` returns what a failed command says, "" for success.

    Raises PreconditionError.
    """
    # An update that fails leaves older lists, which may do: only the installation counts.
    said = run(("apt-get", "update"))
    if complaint := run((*_INSTALL, *packages)):
        raise PreconditionError(
            f"apt-get cannot install {', '.join(packages)}: {shorten(complaint[-FOREIGN_LIMIT:])}"
            + (f"; before that, apt-get update said: {shorten(said)}" if said else "")
        )


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_INSTALL_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip() or f"status {done.returncode}") if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
