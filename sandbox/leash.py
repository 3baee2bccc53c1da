"""Our end of the guard: tells it which process groups must not outlive this process."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
import threading
from pathlib import Path

_GUARD = Path(__file__).with_name("guard.py")


class Leash:
    """One guard, and the pipe to it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def register(self, group: int) -> None:
        """Have `group` killed when this process ends. Raises OSError when the guard is gone."""
        self._tell(b"+%d\n" % group)

    def forget(self, group: int) -> None:
        """Take `group` off: it ended, and its number may be given to somebody else."""
        self._tell(b"-%d\n" % group)

    def close(self) -> None:
        """End the guard; it kills what is still registered."""
        self._guard.communicate()

    def _tell(self, line: bytes) -> None:
        if self._guard.stdin is None:
            return
        with self._lock:
            self._guard.stdin.write(line)


def leash() -> Leash:
    """Return the leash of this process, starting its guard on first use."""
    return _of_process(os.getpid())


@functools.cache
def _of_process(_pid: int) -> Leash:
    """Make the leash once per process: a fork must not lean on its parent's guard."""
    made = Leash()
    atexit.register(made.close)
    return made
