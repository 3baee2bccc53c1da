"""Files of a pinned Go module that is not built: what Go's proxy has, checked by its hash."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec

from common.model.errors import PreconditionError, shorten
from sandbox.gobuild import MODULES, Say, go_program
from sandbox.programs import sources

_DOWNLOAD_S = 300.0


class _Downloaded(msgspec.Struct):
    """What `go mod download -json` prints."""

    Dir: str = ""
    Sum: str = ""
    Error: str = ""


def module_folder(path: str, version: str, *, content: str, say: Say) -> Path:
    """Return the folder of a module's files; `content` is its hash, as go.sum writes it.

    Raises PreconditionError where it cannot be had, or is another one.
    """
    go = go_program(MODULES / "crane", sources(os.environ).cache.parent, say=say)
    try:
        done = subprocess.run(
            [str(go), "mod", "download", "-json", f"{path}@{version}"],
            cwd="/",  # no module of anybody's
            env={**os.environ, "GOFLAGS": "-modcacherw", "GOWORK": "off", "GOTOOLCHAIN": "local"},
            capture_output=True,
            check=False,
            timeout=_DOWNLOAD_S,
        )
        found = msgspec.json.decode(done.stdout, type=_Downloaded)
    except (OSError, subprocess.TimeoutExpired, msgspec.MsgspecError) as error:
        raise PreconditionError(f"{path} {version} cannot be downloaded: {error}") from error
    if found.Error or not found.Dir:
        said = shorten(found.Error or done.stderr.decode(errors="replace"))
        raise PreconditionError(f"{path} {version} cannot be downloaded: {said}")
    if found.Sum != content:
        raise PreconditionError(f"{path} {version} is not the one that is pinned: {found.Sum}")
    return Path(found.Dir)
