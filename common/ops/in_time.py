"""A read that must not hold its reader up: on a thread of its own, waited for only so long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from common.model.errors import SluiceError

_log = structlog.get_logger()
T = TypeVar("T")


class _Turn(Generic[T]):
    """One read and what came of it."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.value: T | None = None  # None until it ended, and when it failed


class InTime(Generic[T]):
    """Reads when asked, once at a time. Thread-safe.

    A read that hangs is not begun a second time: however often it is asked for, it costs one
    thread and one connection until it ends.
    """

    def __init__(self, read: Callable[[], T], *, limit_s: float, name: str) -> None:
        self._read = read
        self._limit_s = limit_s
        self._name = name
        self._lock = threading.Lock()
        self._turn: _Turn[T] | None = None
        self._told = False  # whether the log knows of a read that must not fail

    def get(self) -> T | None:
        """Return what was read just now; None: it failed, or had not ended after `limit_s`."""
        turn = self._join()
        turn.ended.wait(self._limit_s)
        return turn.value

    def _join(self) -> _Turn[T]:
        """Return the read that is under way, else a new one."""
        with self._lock:
            if self._turn is None or self._turn.ended.is_set():
                self._turn = _Turn()
                threading.Thread(
                    target=self._run, args=(self._turn,), name=self._name, daemon=True
                ).start()
            return self._turn

    def _run(self, turn: _Turn[T]) -> None:
        try:
            turn.value = self._read()
            self._told = False
        except SluiceError as exc:  # Redis is away: whoever works with it says so
            _log.debug("not read", name=self._name, error=str(exc))
        except Exception:  # noqa: BLE001 # rows of a newer version: told once, read again
            if not self._told:
                self._told = True
                _log.exception("cannot be read", name=self._name)
        finally:
            turn.ended.set()
