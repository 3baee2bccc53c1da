"""The life of a process: it ends when it is told to, or begins anew with other settings.

It begins anew by replacing itself (`exec`): everything is made from the settings once, at the
start, and so what is tested of a start is true of a change. The process id stays, so whoever
supervises us counts no restart and makes us wait for none.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import structlog

from common.ops.startup import exit_status, stop_on_signals

_log = structlog.get_logger()


class Life:
    """One process' life; `stopping` is set when it is over."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._renewed = False

    @property
    def renewed(self) -> bool:
        """Whether another one follows."""
        return self._renewed

    def renew(self) -> None:
        """End this life in good order, and begin another one. Thread-safe."""
        self._renewed = True
        self.stopping.set()


def lived(work: Callable[[Life], int]) -> int:
    """Do a process's work until a signal ends it; return its exit status.

    Only for the main thread. Does not return where the process is to begin anew: it becomes
    another one. A signal that comes meanwhile ends it, as it would have.
    """
    life = Life()
    undo = stop_on_signals(life.stopping.set)
    try:
        status = exit_status(lambda: work(life))
    finally:
        told = undo()
    if life.renewed and not told:
        _begin_anew()
    return status


def _begin_anew() -> None:
    _log.info("begins anew, with other settings")
    sys.stdout.flush()
    sys.stderr.flush()
    # No shell; the same program with the same arguments and environment.
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
