"""Roots for images, made of the distribution's packages: what official base images hold elsewhere.

One builds (Python with pip, a shell), one runs (Python and nothing that could start a shell). They
are unpacked, not installed: no program of theirs runs while they are made, so root is not needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import FOREIGN_LIMIT, PreconditionError, shorten
from sandbox.debian import Debian
from sandbox.docker_programs import REMEDY, os_release, release
from sandbox.gobuild import Say
from sandbox.programs import sources

_RUN = ("python3", "ca-certificates", "tzdata")
_BUILD = (*_RUN, "python3-pip", "dash", "coreutils", "grep", "sed")
# /bin and /usr/bin are one: packages know both names.
_MERGED = ("bin", "sbin", "lib", "lib64")
# Nobody reads these in a container; official images leave most of them out too.
UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")
# Dependencies of packages' installation scripts, which never run here: a shell is not all that an
# attacker would like.
TOOLS = (*UNREAD, "usr/bin/perl*", "usr/bin/dpkg*", "usr/bin/tar", "usr/sbin/dpkg*", "usr/bin/sh")
_WHEELS = "wheels"
_PIP_S = 600.0
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """Two folders, to be imported as images."""

    build: Path  # /wheels in it holds what requirements/ locks
    run: Path


def docker_roots(*, say: Say) -> Roots:
    """Return them, making what is not there yet. Raises PreconditionError with the remedy."""
    cache = sources(os.environ).cache.parent
    name = f"{release(os_release())}-{_locked()}"
    roots = Roots(build=cache / f"root-build-{name}", run=cache / f"root-run-{name}")
    for folder, packages in ((roots.run, _RUN), (roots.build, _BUILD)):
        if not folder.exists():
            say(f"fetching a root with {', '.join(packages)} (once, some seconds)")
            _make(folder, packages, wheels=folder == roots.build)
    return roots


def _locked() -> str:
    """Return 12 hex digits that change with what is fetched."""
    digest = hashlib.sha256(repr((_RUN, _BUILD)).encode())
    for path in _lock_files():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _lock_files() -> tuple[Path, ...]:
    return tuple(_ROOT / "requirements" / name for name in ("run.txt", "build.txt"))


def _make(folder: Path, packages: tuple[str, ...], *, wheels: bool) -> None:
    """Make one root, which appears as a whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        debian = Debian(Path(scratch), remedy=REMEDY)
        debian.download_closure(packages)
        debian.unpack(made)
        _finish(made)
        if wheels:
            _download_wheels(made)
        with contextlib.suppress(OSError):  # another process was quicker
            made.replace(folder)
    if not folder.exists():
        raise PreconditionError(f"{folder} could not be made")


def _finish(root: Path) -> None:
    """Do what the packages' scripts would do, and a Python needs."""
    for name in _MERGED:
        if (root / name).is_dir():
            shutil.copytree(root / name, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(root / name)
        (root / name).symlink_to(f"usr/{name}")
    (root / "usr/bin/python").symlink_to("python3")
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    found = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle.write_text("".join(path.read_text() for path in found))
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/usr/sbin/nologin\n")
    (root / "etc/group").write_text("root:x:0:\n")
    for name, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700), ("proc", 0o755)):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
    # Debian asks pip to keep off its Python; official images do not, and nobody shares this one.
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()


def _download_wheels(root: Path) -> None:
    """Put the locked wheels for this root's Python into it: a build has no network here."""
    (python,) = {path.name for path in root.glob("usr/lib/python3.*") if path.is_dir()}
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--python-version", python.removeprefix("python")]
    # pip would judge markers by the Python that runs it: fetch what any Python may need.
    everything = root / "requirements.txt"
    locked = "".join(path.read_text(encoding="utf-8") for path in _lock_files())
    everything.write_text(re.sub(r" ; .*(?= \\$)", "", locked, flags=re.MULTILINE))
    command += ["--requirement", str(everything)]
    command += ["--dest", str(root / _WHEELS)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=_PIP_S)
    except subprocess.TimeoutExpired as error:
        raise PreconditionError(f"pip has not fetched the locked wheels: {error}") from error
    everything.unlink()
    if done.returncode:
        said = shorten(done.stderr.strip()[-FOREIGN_LIMIT:])
        raise PreconditionError(f"pip cannot fetch the locked wheels: {said}")
