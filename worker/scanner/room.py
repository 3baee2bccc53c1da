"""How much of the scanner's disk its jobs use: asked before each, watched while it runs.

Trivy 0.76 streams layers and writes nothing of them, but for files of more than 100 MB that one of
its analysers opens: those are copied to TMPDIR, several at once, and deleted while they are still
open. So most jobs need little, and an image can need all that it unpacks to.

What an image needs beyond its own share is the image's fault. A disk that is full is nobody's: who
comes then waits until there is room, and of those at work the largest is tried again later.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from common.model.errors import NoRoomError, SluiceError, TerminalError, TransientError

_MB = 1024 * 1024
# What every job may write, whatever the size of its image: package databases, report and SBOM.
_LEAST_BYTES = 64 * _MB
# What stays free: others write to the disk too, and a job writes on between two looks.
_KEPT_BYTES = 64 * _MB
_WAIT_S = 30.0
_BLOCK_BYTES = 512  # the unit of `st_blocks`, whatever the file system's own


class Usage(Protocol):
    """How full a volume is."""

    @property
    def total(self) -> int:
        """Bytes of the volume."""

    @property
    def free(self) -> int:
        """Bytes that we may still write."""


class Room:
    """The disk of one scanner. Thread-safe."""

    def __init__(
        self,
        volume: Path,
        *,
        quota_mb: int,
        usage: Callable[[Path], Usage] = shutil.disk_usage,
    ) -> None:
        """`quota_mb`: the share of each job; 0: what the disk has."""
        self._volume = volume
        self.quota_bytes = quota_mb * _MB
        self._usage = usage
        self._lock = threading.Lock()
        self._jobs: set[Allotment] = set()

    @contextlib.contextmanager
    def take(self, packed_bytes: int) -> Iterator[Allotment]:
        """Yield room for an image whose layers have `packed_bytes` as they are pulled.

        Raises NoRoomError when the disk has too little now. Half of the disk is always enough: one
        that nobody uses takes every image.
        """
        with self._lock:
            usage = self._usage(self._volume)
            promised = sum(job.left_bytes for job in self._jobs)
            needed = min(max(packed_bytes, _LEAST_BYTES), usage.total // 2)
            if self.quota_bytes:
                needed = min(needed, self.quota_bytes)
            missing = needed + promised + kept_bytes(usage) - usage.free
            if missing > 0:
                raise NoRoomError(
                    f"the scanner's disk has {_mb(usage.free)} MB free of {_mb(usage.total)}, and "
                    f"{_mb(missing)} MB too little for the image; it waits",
                    retry_after_s=_WAIT_S,
                )
            allotment = Allotment(self, needed)
            self._jobs.add(allotment)
        try:
            yield allotment
        finally:
            with self._lock:
                self._jobs.discard(allotment)

    def fault(self, job: Allotment) -> SluiceError | None:
        """Return what ends the job now: it needs too much, or it is the largest on a full disk."""
        if 0 < self.quota_bytes < job.used_bytes:
            return TerminalError(
                f"unpacking it takes more than {_mb(self.quota_bytes)} MB of disk "
                "(SLUICE_SCRATCH_MB)",
                reason="ImageTooLarge",
            )
        usage = self._usage(self._volume)
        with self._lock:
            largest = max((one.used_bytes for one in self._jobs), default=0)
        if usage.free >= kept_bytes(usage) or job.used_bytes < largest:
            return None
        return TransientError(
            f"the scanner's disk of {_mb(usage.total)} MB is full; the image had "
            f"{_mb(job.used_bytes)} MB of it",
            reason="ScratchFull",
        )


class Allotment:
    """One job's room."""

    def __init__(self, room: Room, needed_bytes: int) -> None:
        self._room = room
        self._needed_bytes = needed_bytes
        self.used_bytes = 0  # when it was last looked at

    @property
    def left_bytes(self) -> int:
        """What it was given and did not use yet."""
        return max(0, self._needed_bytes - self.used_bytes)

    @property
    def quota_bytes(self) -> int:
        """The most that it may use; 0: what the disk has."""
        return self._room.quota_bytes

    def watch(self, folder: Path) -> Callable[[int], SluiceError | None]:
        """Return the look at a process that writes to `folder`, by its id."""

        def look(pid: int) -> SluiceError | None:
            self.used_bytes = used_bytes(folder, pid)
            return self._room.fault(self)

        return look


def kept_bytes(usage: Usage) -> int:
    """Return what must stay free of a volume."""
    return min(_KEPT_BYTES, usage.total // 8)


def used_bytes(folder: Path, pid: int) -> int:
    """Return what `folder` takes on its disk, with files that the process deleted and has open."""
    found: dict[tuple[int, int], int] = {}
    for path in (*_files(folder), *_deleted(folder, pid)):
        with contextlib.suppress(OSError):  # gone meanwhile
            one = path.stat() if path.is_relative_to("/proc") else path.lstat()
            found[one.st_dev, one.st_ino] = one.st_blocks * _BLOCK_BYTES
    return sum(found.values())


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _deleted(folder: Path, pid: int) -> Iterator[Path]:
    """Yield the process' own ways to its files in `folder` that have no name any more."""
    with contextlib.suppress(OSError):  # it ended, or there is no such folder on this system
        for way in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = way.readlink()
                if target.name.endswith(" (deleted)") and target.is_relative_to(folder):
                    yield way


def _mb(size_bytes: int) -> int:
    return size_bytes // _MB
