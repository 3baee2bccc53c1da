"""Long-lived children: start, wait until ready, stop in order; none outlives its starter.

Every child leads a process group of its own and is known to a guard (`guard.py`) before its first
instruction, so that even `kill -9` of this process ends it. Only processes started here are ever
signalled, by their id. Not for programs that end by themselves: use `subprocess.run`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol, Self, TypeVar

from common.model.errors import FOREIGN_LIMIT, PreconditionError, shorten
from sandbox.leash import leash

POLL_S = 0.03  # a probe costs about 1 ms; a child is found ready this late at most
_TAIL_BYTES = 4096  # about 30 lines of a Go component's log
# The child waits here until the guard knows it; the end of the input (we died) ends it too.
_GATE = 'read -r _ || exit 1; exec "$@" </dev/null'


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run for long, and how to end it."""

    name: str
    argv: tuple[str, ...]
    log: Path
    environ: Mapping[str, str] | None = None  # None: ours
    folder: Path | None = None  # None: ours
    pass_fds: tuple[int, ...] = ()
    stop_within_s: float = 5.0  # then SIGKILL; an apiserver without etcd ignores SIGTERM for 60 s


class Process:
    """A child that can be started, stopped and started again."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = True  # we saw to its end: its id may be a stranger's by now

    @property
    def pid(self) -> int:
        """The process id, and the id of its group. Raises PreconditionError before `start`."""
        if self._child is None:
            raise PreconditionError(f"{self.command.name} was not started")
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Say whether it runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_status(self) -> int | None:
        """The status it ended with, negative for a signal; None while it runs or before."""
        return None if self._child is None else self._child.poll()

    def start(self) -> Self:
        """Start it, appending to its log. Raises PreconditionError when it runs already."""
        if self.alive:
            raise PreconditionError(f"{self.command.name} runs already as {self.pid}")
        self.command.log.parent.mkdir(parents=True, exist_ok=True)
        with self.command.log.open("ab") as log:
            child = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, self.command.name, *self.command.argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.command.environ,
                cwd=self.command.folder,
                pass_fds=self.command.pass_fds,
                start_new_session=True,
            )
        self._child = child
        self._ended = False
        try:
            leash().register(child.pid)
        finally:
            _open_gate(child)
        return self

    def wait_ready(self, is_ready: Callable[[], bool], *, timeout_s: float) -> Self:
        """Wait until `is_ready` says so; an OSError from it means "not yet".

        Raises PreconditionError, with the log's tail as a note, when it dies or is too slow.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            if not self.alive:
                raise self.failure(f"ended with status {self.exit_status} before it was ready")
            with contextlib.suppress(OSError):
                if is_ready():
                    return self
            if time.monotonic() > deadline:
                raise self.failure(f"is not ready after {timeout_s:g} s")
            time.sleep(POLL_S)

    def failure(self, what: str) -> PreconditionError:
        """Return an error that says `what` happened, where the log is, and its last lines."""
        tail = self.tail()
        last = tail[-FOREIGN_LIMIT:]
        error = PreconditionError(
            f"{self.command.name} {what}; log: {self.command.log}; its end: {shorten(last)}",
            reason="ProgramFailed",
        )
        error.add_note(tail)
        return error

    def tail(self) -> str:
        """Return the end of its log, 4 KiB at most."""
        try:
            with self.command.log.open("rb") as log:
                log.seek(max(0, self.command.log.stat().st_size - _TAIL_BYTES))
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def stop(self) -> None:
        """End it: SIGTERM to the leader, SIGKILL after the deadline; then whatever it left."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its group as a crash would: SIGKILL at once."""
        self._end(signal.SIGKILL)

    def _end(self, first: signal.Signals) -> None:
        child = self._child
        if child is None or self._ended:
            return
        if child.poll() is None:
            child.send_signal(first)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(self.command.stop_within_s)
        _kill_group(child.pid)
        child.wait()
        leash().forget(child.pid)
        self._ended = True


def _open_gate(child: subprocess.Popen[bytes]) -> None:
    """Let the shell become the program. When it died at the gate, `wait_ready` tells."""
    if child.stdin is None:
        return
    with contextlib.suppress(BrokenPipeError), child.stdin as gate:
        gate.write(b"\n")


def _kill_group(group: int) -> None:
    # PermissionError: macOS answers so for a group of zombies only.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class Stoppable(Protocol):
    """What a stack can end."""

    def stop(self) -> None:
        """End it; must be harmless when it ended already."""


S = TypeVar("S", bound=Stoppable)


class Stack:
    """Ends what was pushed, the last first, when its block ends: normally, by Ctrl-C or SIGTERM.

    One that fails to stop does not keep the others running; its error is raised at the end.
    """

    def __init__(self) -> None:
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._exits.enter_context(sigterm_unwinds())
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def push(self, part: S) -> S:
        """Remember `part` to be stopped, and return it."""
        self._exits.callback(part.stop)
        return part

    def stop(self) -> None:
        """Stop everything now, in reverse order."""
        self._exits.close()


@contextlib.contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that `with` blocks end what they began.

    Does nothing outside the main thread, or where somebody else handles SIGTERM already.
    """
    ours = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    if not ours or before not in (signal.SIG_DFL, signal.SIG_IGN):
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
