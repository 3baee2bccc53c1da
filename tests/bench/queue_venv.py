"""Environments for what cannot live beside the product: saq and arq pin other versions of redis-py.

Made once per lock file (requirements/bench-<name>.txt, with hashes) in the user's cache folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from common.model.errors import PreconditionError, shorten

_REQUIREMENTS = Path(__file__).parents[2] / "requirements"
_MARK = "complete"


def python_with(name: str) -> Path:
    """Return the interpreter of the environment that holds `name`, which is made when missing.

    Raises PreconditionError when pip cannot install it.
    """
    lock = _REQUIREMENTS / f"bench-{name}.txt"
    digest = hashlib.sha256(f"{sys.version} {sys.prefix}\n".encode() + lock.read_bytes())
    folder = _cache() / f"{name}-{digest.hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # two benchmarks must not make it at once
        if not (folder / _MARK).exists():
            sys.stderr.write(f"installing {name} in an environment of its own (once)\n")
            _make(folder, lock, name)
    return folder / "bin" / "python"


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "kube-sluice" / "bench"


def _make(folder: Path, lock: Path, name: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for command in (
        (sys.executable, "-m", "venv", str(folder)),
        (*pip, "--require-hashes", "-r", str(lock)),
    ):
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        if done.returncode != 0:
            said = done.stderr or done.stdout
            shutil.rmtree(folder, ignore_errors=True)
            error = PreconditionError(
                f"the queue's benchmark compares with {name}, which needs an environment of its "
                f"own, and that cannot be made: {shorten(said)}; let `python -m venv` work and pip "
                f"reach an index that has requirements/{lock.name}"
            )
            error.add_note(said)
            raise error
    (folder / _MARK).touch()
