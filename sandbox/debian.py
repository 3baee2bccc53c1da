"""Packages of Debian or Ubuntu, fetched with apt and unpacked: nothing is installed.

Promise: what is fetched was checked by the distribution's signatures; the system's package lists
and its database are neither read nor changed. Root is not needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.model.errors import FOREIGN_LIMIT, PreconditionError, shorten

_APT_S = 300.0  # 14 MB of package lists and 60 MB of packages: 10 s; loaded machines need more


class Debian:
    """One use of apt, with lists of its own in the folder `scratch`.

    The system's lists may be empty (images) or old, and only root may renew them.
    """

    def __init__(self, scratch: Path, *, remedy: str) -> None:
        """Renew the lists. Raises PreconditionError, which ends with `remedy`."""
        self._scratch = scratch
        self._remedy = remedy
        apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
        if apt is None or dpkg is None:
            raise PreconditionError(f"there is no apt-get; {remedy}")
        self._dpkg = dpkg
        for name in ("lists/partial", "cache/archives/partial"):
            (scratch / name).mkdir(parents=True)
        (scratch / "status").touch()  # nothing is installed: so dependencies are fetched too
        options = [
            f"Dir::State::Lists={scratch}/lists",
            f"Dir::Cache={scratch}/cache",
        ]
        if os.geteuid() == 0:
            options.append("APT::Sandbox::User=root")  # _apt cannot read the user's folder
        self._apt = [apt, "-qq", *(word for each in options for word in ("-o", each))]
        self._run([*self._apt, "update"])

    def download(self, packages: Iterable[str]) -> None:
        """Fetch these packages and nothing that they depend on."""
        self._run([*self._apt, "download", *packages])

    def download_closure(self, packages: Iterable[str]) -> None:
        """Fetch these packages and everything that they need, as if nothing were installed."""
        options = (
            f"Dir::State::status={self._scratch}/status",
            "APT::Install-Recommends=false",
            "Debug::NoLocking=true",  # the lock beside the system's database is root's
        )
        words = [word for each in options for word in ("-o", each)]
        self._run([*self._apt, *words, "--yes", "--download-only", "install", *packages])

    def unpack(self, into: Path) -> None:
        """Unpack everything that was fetched."""
        into.mkdir(parents=True, exist_ok=True)
        fetched = (*self._scratch.glob("*.deb"), *self._scratch.glob("cache/archives/*.deb"))
        for package in sorted(fetched):
            self._run([self._dpkg, "--extract", str(package), str(into)])

    def _run(self, command: Sequence[str]) -> None:
        try:
            done = subprocess.run(
                command,
                cwd=self._scratch,
                capture_output=True,
                check=False,
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=_APT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            said = shorten(str(error))
            raise PreconditionError(f"{command[0]} failed: {said}; {self._remedy}") from error
        if done.returncode:
            said = shorten((done.stderr or done.stdout)[-FOREIGN_LIMIT:])
            raise PreconditionError(f"{Path(command[0]).name} failed: {said}; {self._remedy}")


def libraries(unpacked: Path) -> tuple[Path, ...]:
    """Return the folders that hold shared libraries, for LD_LIBRARY_PATH."""
    return tuple(sorted({path.parent for path in unpacked.rglob("*.so.*")}))
