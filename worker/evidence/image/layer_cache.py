"""The match server's layer cache: one folder at a time, which begins anew when it must.

Trivy never removes a layer, and its store never shrinks. So beyond its bound, and when the server
is older than what stored the layers, an empty folder takes its place; whoever needs a layer that is
gone analyses its image again. Between two servers only: a running one has the store open.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

import msgspec

from common.model.trivy_version import is_newer

_FOLDER = "layers"


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered beside the folder."""

    folder: str = _FOLDER
    trivy: str = ""  # the newest that served this folder
    untold: bool = False  # layers are gone, and nobody was told yet
    begun_at: float = 0.0  # Unix seconds by this machine's clock; 0: it is the first folder


class LayerCache:
    """The layer cache below one root. One process owns it at a time; not thread-safe."""

    def __init__(self, root: Path, *, limit_bytes: int = 0, rest_s: float = 0.0) -> None:
        """`limit_bytes`: 0 for no limit of ours; `rest_s`: how long a new folder stays at least."""
        self._root = root
        self._limit_bytes = limit_bytes
        self._rest_s = rest_s
        self._path = root / "layers.json"
        self._note = self._read()

    @property
    def folder(self) -> Path:
        """Where the layers are; it need not exist yet."""
        return self._root / self._note.folder

    @property
    def untold(self) -> bool:
        """Whether layers are gone and nobody was told yet, not even before a restart."""
        return self._note.untold

    def told(self) -> None:
        """Note that everybody who needs layers was told."""
        self._write(msgspec.structs.replace(self._note, untold=False))

    def serve_by(self, trivy: str) -> bool:
        """Note which Trivy serves the layers from now on; return whether it must begin anew.

        One that is older than what stored them would read them in part, without a word.
        """
        newest = self._note.trivy
        if is_newer(newest, than=trivy):
            self.renew(trivy)
            return True
        if trivy != newest:
            self._write(msgspec.structs.replace(self._note, trivy=trivy))
        return False

    def size_bytes(self) -> int:
        """Return what the layers take."""
        total = 0
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat().st_size
        return total

    def is_too_large(self) -> bool:
        """Whether the layers have outgrown their bound."""
        return 0 < self._limit_bytes < self.size_bytes()

    def may_renew(self) -> bool:
        """Whether the folder has stood long enough.

        A bound below what the images in use need would otherwise pull them all, over and over.
        """
        return not 0 <= time.time() - self._note.begun_at < self._rest_s

    def renew(self, trivy: str = "") -> None:
        """Begin with an empty folder; no server runs now. The old one goes."""
        number = self._note.folder.removeprefix(_FOLDER).lstrip("-")
        fresh = f"{_FOLDER}-{int(number or 0) + 1}"
        (self._root / fresh).mkdir(parents=True, exist_ok=True)
        self._write(
            _Note(
                folder=fresh,
                trivy=trivy or self._note.trivy,
                untold=True,
                begun_at=time.time(),
            )
        )
        for path in self._root.glob(f"{_FOLDER}*"):
            if path.is_dir() and path != self.folder:
                shutil.rmtree(path, ignore_errors=True)

    def _read(self) -> _Note:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            note = msgspec.json.decode(self._path.read_bytes(), type=_Note)
            number = note.folder.removeprefix(_FOLDER).lstrip("-")
            if note.folder.startswith(_FOLDER) and (not number or number.isdecimal()):
                return note
        return _Note()

    def _write(self, note: _Note) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".fresh")
        fresh.write_bytes(msgspec.json.encode(note))
        fresh.replace(self._path)
        self._note = note
