"""Waiting for what other processes do: never for a fixed time, never for ever."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 30.0  # no test waits this long unless it fails
_LOOK_EVERY_S = 0.02


def eventually(holds: Callable[[], object], *, within_s: float = PATIENCE_S) -> bool:
    """Wait until `holds` returns something true; say whether it ever did."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def is_alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def heed_ctrl_c() -> None:
    """Undo what a shell does to background jobs: they ignore SIGINT, and so do their children.

    To be called in a child before it begins (`preexec_fn`).
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
