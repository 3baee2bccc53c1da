"""Where the Docker engine comes from: the distribution's packages, unpacked into the user's cache.

Nothing is installed, no service starts. Its command line and Docker Compose come with it: Compose
is built from its Go module, because Debian's is the old one in Python.
"""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import PreconditionError
from sandbox import node_host
from sandbox.debian import Debian, libraries
from sandbox.gobuild import Say
from sandbox.programs import find, sources

_PACKAGES = ("docker.io", "containerd", "tini", "libdevmapper1.02.1")
# Newer releases have packages of their own for these; in Debian 12 docker.io holds them.
_SPLIT_OFF = ("docker-cli", "docker-buildx")
_PLUGINS = "usr/libexec/docker/cli-plugins"
REMEDY = "have a package mirror in reach on Debian or Ubuntu"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerPrograms:
    """One engine's programs."""

    root: Path  # where the packages are unpacked
    compose: Path

    @property
    def dockerd(self) -> Path:
        """The engine."""
        return self.root / "usr/sbin/dockerd"

    @property
    def docker(self) -> Path:
        """Its command line."""
        return self.root / "usr/bin/docker"

    def plugins(self) -> dict[str, Path]:
        """Return the command line's plugins by name."""
        packed = {each.name: each for each in (self.root / _PLUGINS).glob("docker-*")}
        return {**packed, "docker-compose": self.compose}

    def environ(self) -> dict[str, str]:
        """Return an environment in which the programs find each other and their libraries."""
        ours = node_host.environ()
        folders = (self.root / "usr/bin", self.root / "usr/sbin")
        return {
            **ours,
            "PATH": os.pathsep.join((*map(str, folders), ours["PATH"])),
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries(self.root))),
        }


def docker_programs(*, say: Say) -> DockerPrograms:
    """Return the programs, fetching and building what is not there yet; `say` tells progress.

    Raises PreconditionError with the remedy.
    """
    root = cached()
    if not root.exists():
        say("fetching the Docker engine from the distribution's packages (once, 60 MB)")
        _fetch(root)
    return DockerPrograms(root=root, compose=find(["docker-compose"], say=say)["docker-compose"])


def cached() -> Path:
    """Return where the packages are unpacked, or will be: one place a release."""
    return sources(os.environ).cache.parent / f"docker-{release(os_release())}"


def release(told: Mapping[str, str]) -> str:
    """Return a name for the system whose packages these are."""
    return f"{told.get('ID', 'none')}{told.get('VERSION_ID', '')}-{platform.machine()}"


def os_release() -> dict[str, str]:
    """Return what the system says of itself; nothing where there is no such file."""
    with contextlib.suppress(OSError):  # another system: there is no apt either
        return platform.freedesktop_os_release()
    return {}


def _fetch(folder: Path) -> None:
    """Unpack the packages into `folder`, which appears as a whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        packages = Debian(Path(scratch), remedy=REMEDY)
        packages.download(_PACKAGES)
        for name in _SPLIT_OFF:
            with contextlib.suppress(PreconditionError):
                packages.download((name,))
        made = Path(scratch, "made")
        packages.unpack(made)
        try:
            made.replace(folder)
        except OSError:  # another process was quicker
            if not folder.exists():
                raise
