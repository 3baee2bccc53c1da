"""A headless Chromium for tests of pages: the host's own, or Debian's, unpacked into the cache.

Nothing is installed. It gets no network but loopback, a profile of its own that is removed with
it, and is driven through its own debugging protocol over two pipes: no port is opened.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import PreconditionError
from sandbox.debian import Debian
from sandbox.docker_programs import os_release, release
from sandbox.gobuild import Say
from sandbox.programs import sources

REMEDY = "install Chromium, or have a package mirror in reach on Debian"
# The small one first; CI's machines bring Google's own.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PACKAGES = ("chromium-headless-shell", "fonts-dejavu-core")
_PROGRAM = "usr/bin/chromium-headless-shell"
# The loader is the host's, and works with the C library that it came with alone.
_OF_THE_HOST = "cache/archives/libc6_*.deb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chromium:
    """Where it is, and in which environment it starts."""

    program: Path
    environ: dict[str, str]


def chromium(*, say: Say) -> Chromium:
    """Return it, fetching it if neither host nor cache has it. Raises PreconditionError."""
    for name in _NAMES:
        if found := shutil.which(name):
            return Chromium(program=Path(found), environ=_environ())
    root = sources(os.environ).cache.parent / f"chromium-{release(os_release())}"
    if not root.exists():
        say("fetching Chromium from the distribution's packages (once, 150 MB)")
        _fetch(root)
    folders = os.pathsep.join(sorted({str(path.parent) for path in root.rglob("*.so*")}))
    environ = {"LD_LIBRARY_PATH": folders, "FONTCONFIG_FILE": str(root / "fonts.conf")}
    return Chromium(program=_program(root), environ={**_environ(), **environ})


def _environ() -> dict[str, str]:
    """Return what it needs of ours: where to find programs, and no desktop."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"}


def _program(root: Path) -> Path:
    """Return the program itself; what stands in usr/bin is a script for an installed one."""
    found = sorted(root.glob("usr/lib/chromium*/*headless*shell")) or [root / _PROGRAM]
    return found[0]


def _fetch(folder: Path) -> None:
    """Unpack the packages into `folder`, which appears as a whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        packages = Debian(Path(scratch), remedy=REMEDY)
        packages.download_closure(_PACKAGES)
        for package in Path(scratch).glob(_OF_THE_HOST):
            package.unlink()
        made = Path(scratch, "made")
        packages.unpack(made)
        (made / "fonts.conf").write_text(
            '<?xml version="1.0"?><fontconfig>'
            f"<dir>{folder / 'usr/share/fonts'}</dir><cachedir>/nonexistent</cachedir>"
            "</fontconfig>\n",
            encoding="utf-8",
        )
        try:
            made.replace(folder)
        except OSError as error:  # another process was quicker
            if not folder.exists():
                raise PreconditionError(f"{folder} could not be made: {error}") from error
