"""Paths of Unix sockets, which are shorter than paths of files may be."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from common.model.errors import PreconditionError

# sun_path holds 108 bytes on Linux and 104 elsewhere, the closing zero included.
LIMIT_BYTES = 100


def short_enough(wanted: str) -> str:
    """Return `wanted`, or a path in a short private folder that stands for it if it is too long.

    Deterministic: who wants the same path gets the same answer. Raises PreconditionError if the
    private folder belongs to somebody else.
    """
    if len(os.fsencode(wanted)) <= LIMIT_BYTES:
        return wanted
    name = hashlib.sha256(os.fsencode(os.path.realpath(wanted))).hexdigest()[:16]
    private = Path(tempfile.gettempdir(), f"sluice-{os.getuid()}")
    private.mkdir(mode=0o700, exist_ok=True)
    if private.is_symlink() or private.stat().st_uid != os.getuid():
        raise PreconditionError(f"{private} belongs to somebody else; choose a shorter data folder")
    return str(private / f"{name}.sock")
