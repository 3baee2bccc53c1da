"""The data folder: made on first use, private, used by one `sluice run` at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from common.model.errors import PreconditionError


@contextlib.contextmanager
def hold(data_dir: str) -> Iterator[Path]:
    """Make the folder if it is missing and keep others out of it for the length of the block.

    The lock ends with the process, however it ends. Raises PreconditionError if another process
    holds it, or if the folder cannot be made.
    """
    folder = Path(data_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise PreconditionError(
            f"data folder {data_dir}: {exc.strerror}; set SLUICE_DATA_DIR or --data-dir"
        ) from exc
    try:
        _claim(lock, data_dir)
        yield folder
    finally:
        os.close(lock)


def _claim(lock: int, data_dir: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PreconditionError(
            f"another `sluice run` uses the data folder {data_dir}; stop it, or give --data-dir"
        ) from None
