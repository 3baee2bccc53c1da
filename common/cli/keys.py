"""Waits that a key on the terminal ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

Wait = Callable[[float], str]


@contextlib.contextmanager
def pressed(stdin: TextIO) -> Iterator[Wait]:
    """Give what waits so many seconds and returns the key that was pressed; empty: none was.

    Where stdin is no terminal it only waits. Ctrl-C and SIGTERM raise KeyboardInterrupt, and the
    terminal is then as it was before.
    """
    if not stdin.isatty():
        yield _slept
        return
    number = stdin.fileno()
    before = termios.tcgetattr(number)
    on_term = signal.signal(signal.SIGTERM, _interrupt)
    try:
        tty.setcbreak(number)
        yield lambda seconds: _key(number, seconds)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, on_term)


def _slept(seconds: float) -> str:
    threading.Event().wait(seconds)
    return ""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _key(number: int, seconds: float) -> str:
    ready, _, _ = select.select([number], [], [], seconds)
    return os.read(number, 1).decode("ascii", errors="replace") if ready else ""
