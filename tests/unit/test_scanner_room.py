"""Who gets room on the scanner's disk, and whose fault it is when there is none."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import NoRoomError, TerminalError, TransientError
from worker.scanner.room import Room, used_bytes

MB = 1024 * 1024


@dataclass
class Disk:
    """A volume."""

    total: int = 10_000 * MB
    free: int = 10_000 * MB


def room(disk: Disk, *, quota_mb: int = 0) -> Room:
    """Return the room on that disk."""
    return Room(Path("/scratch"), quota_mb=quota_mb, usage=lambda _: disk)


@given(
    total_mb=st.integers(1, 100_000),
    quota_mb=st.integers(0, 10_000),
    packed=st.lists(st.integers(0, 200_000 * MB), max_size=8),
)
def test_no_more_is_promised_than_is_there_and_an_empty_disk_takes_every_image(
    total_mb: int, quota_mb: int, packed: list[int]
) -> None:
    """Else jobs would fill the disk together, or an image would wait for ever."""
    disk = Disk(total=total_mb * MB, free=total_mb * MB)
    own, taken = room(disk, quota_mb=quota_mb), []
    with ExitStack() as stack:
        for size in packed:
            with suppress(NoRoomError):
                taken.append(stack.enter_context(own.take(size)))
            assert taken, "the disk was empty"
        assert sum(job.left_bytes for job in taken) <= disk.free
    with own.take(max(packed, default=0)):
        pass  # what ended has given its room back


def test_what_a_job_uses_is_not_counted_twice(tmp_path: Path) -> None:
    """It is missing on the disk already."""
    disk = Disk(total=1_000 * MB, free=300 * MB)
    own = room(disk)
    with own.take(150 * MB) as first:
        with pytest.raises(NoRoomError) as caught, own.take(100 * MB):
            pass
        assert caught.value.wait_s > 0
        first.used_bytes = 150 * MB
        with own.take(100 * MB):
            pass


def test_a_job_beyond_its_share_is_the_images_fault(tmp_path: Path) -> None:
    """Text names limit and setting, for the workload's user reads it."""
    (tmp_path / "large").write_bytes(bytes(2 * MB))
    with room(Disk(), quota_mb=1).take(0) as job:
        fault = job.watch(tmp_path)(os.getpid())
    assert isinstance(fault, TerminalError)
    assert fault.reason == "ImageTooLarge"
    assert "1 MB of disk (SLUICE_SCRATCH_MB)" in str(fault)


def test_of_a_full_disk_the_largest_job_goes_and_it_is_tried_again(tmp_path: Path) -> None:
    """Nobody else's image is at fault, and its own may not be either."""
    disk = Disk()
    own = room(disk)
    (tmp_path / "large").write_bytes(bytes(2 * MB))
    (tmp_path / "none").mkdir()
    with own.take(0) as large, own.take(0) as small:
        assert large.watch(tmp_path)(os.getpid()) is None
        disk.free = 10 * MB
        assert small.watch(tmp_path / "none")(os.getpid()) is None
        fault = large.watch(tmp_path)(os.getpid())
    assert type(fault) is TransientError
    assert fault.reason == "ScratchFull"


def test_files_that_are_deleted_while_they_are_open_count(tmp_path: Path) -> None:
    """Trivy deletes its copies at once; the disk has them until they are closed."""
    path = tmp_path / "copy"
    with path.open("wb") as file:
        file.write(bytes(3 * MB))
        file.flush()
        named = used_bytes(tmp_path, os.getpid())
        path.unlink()
        assert named >= 3 * MB
        assert used_bytes(tmp_path, os.getpid()) == named
        assert used_bytes(tmp_path / "elsewhere", os.getpid()) == 0
    assert used_bytes(tmp_path, os.getpid()) == 0


def test_a_process_that_is_gone_uses_what_its_folder_has(tmp_path: Path) -> None:
    """It may end between two looks."""
    assert used_bytes(tmp_path, 2**22 + 1) == 0
