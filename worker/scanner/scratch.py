"""Where one job may write: private folders that are wiped however the job ends.

Images are foreign and large, so files go to disk; credentials go to memory where there is such a
file system. A scanner that was killed cannot wipe: the next one on the same socket does.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs; what we make there is private (0700)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """One job's folders."""

    cwd: Path  # stays empty: Trivy reads configuration from where it runs
    files: Path  # TMPDIR, the report
    secrets: Path  # DOCKER_CONFIG


class Workshop:
    """One scanner's folders, named after its socket."""

    def __init__(self, socket_path: Path) -> None:
        name = hashlib.sha256(str(socket_path.absolute()).encode()).hexdigest()[:16]
        folder = f"sluice-scanner-{os.getuid()}-{name}"
        self._files = Path(tempfile.gettempdir()) / folder
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        self.secrets_root = memory / f"{folder}-secrets"

    @property
    def volume(self) -> Path:
        """A folder on the disk that the jobs write to."""
        return self._files.parent

    def wipe(self) -> None:
        """Remove what a killed predecessor left. Call it only while holding the socket."""
        for root in (self._files, self.secrets_root):
            shutil.rmtree(root, ignore_errors=True)

    @contextlib.contextmanager
    def job(self) -> Iterator[Scratch]:
        """Yield fresh folders for one job and remove them afterwards."""
        with contextlib.ExitStack() as stack:
            files = self._folder(self._files, stack)
            secrets = self._folder(self.secrets_root, stack)
            scratch = Scratch(cwd=files / "cwd", files=files / "tmp", secrets=secrets)
            scratch.cwd.mkdir()
            scratch.files.mkdir()
            yield scratch

    @staticmethod
    def _folder(root: Path, stack: contextlib.ExitStack) -> Path:
        root.mkdir(mode=0o700, exist_ok=True)
        found = root.lstat()  # a link would lead wherever its maker wants
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(errno.EPERM, f"{root} is not private to us")
        made = tempfile.mkdtemp(prefix="job-", dir=root)
        stack.callback(shutil.rmtree, made, ignore_errors=True)
        return Path(made)
