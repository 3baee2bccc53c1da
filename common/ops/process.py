"""Long-lived child processes: started in a group of their own, watched, stopped in time.

A child never outlives us, not even after a SIGKILL (Linux: PDEATHSIG). That signal is tied to the
*thread* that started the child, so start children from a thread that lives as long as they should:
`Supervisor` does it from the thread that calls `watch`.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from common.model.errors import FOREIGN_LIMIT, PreconditionError, SourceUnavailableError
from common.model.hiding import without
from common.ops.redact import redact_text

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_KEPT_LINES = 3  # the last one names the cause, those before it what was going on
_TAIL_BYTES = 4096
_READY_POLL_S = 0.05
_KILL_WAIT_S = 5.0  # a process in uninterruptible sleep outlives even SIGKILL
_PRECONDITION_STATUS = 3  # what our own commands end with

# Loaded before any fork: between fork and exec only calls that take no lock are safe.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToFile:
    """Append the child's output to a file."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Hand every line of the child's output to `line(name, text)`, from a thread of its own."""

    line: Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How one child is started, when it counts as ready, and how it is stopped."""

    name: str
    argv: tuple[str, ...]
    output: ToFile | Forward
    env: Mapping[str, str] | None = None  # None: ours
    cwd: str | None = None  # None: ours
    ready: Callable[[], bool] | None = None  # None: ready as soon as it runs; may be called often
    ready_s: float = 30.0
    stop_s: float = 10.0  # between SIGTERM and SIGKILL
    # What it is told and may repeat; it is hidden in the lines that are handed on, or quoted.
    secrets: tuple[str, ...] = field(default=(), repr=False)
    stage: str = ""  # neighbours of one stage are told to stop together; empty: alone


class Child:
    """One running child. Close it (or use it as a context manager); `stop` is idempotent."""

    def __init__(self, spec: ChildSpec) -> None:
        """Start the child; raises PreconditionError if its program cannot be started."""
        self.spec = spec
        self.started_at_s = time.monotonic()
        self._tail: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._reader: threading.Thread | None = None
        self._asked = False
        self._stopped = False
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The process id, also that of its group."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status (negative: the signal), or None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the end; None if it still runs after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def wait_ready(self, stopping: threading.Event | None = None) -> None:
        """Block until the child is ready.

        Raises SourceUnavailableError when its time is over or when it ends first, and
        PreconditionError when it ends with our own status for that. Raises KeyboardInterrupt once
        `stopping` (None: nobody stops it) is set: that of the signal's handler may be lost, for
        Python ignores an exception in a hook of a fork.
        """
        ready = self.spec.ready
        deadline_s = time.monotonic() + self.spec.ready_s
        while ready is not None and not ready():
            if stopping is not None and stopping.is_set():
                raise KeyboardInterrupt
            status = self.wait(_READY_POLL_S)
            if status is not None:
                raise self.ended_error(status)
            if time.monotonic() > deadline_s:
                limit = f"within {self.spec.ready_s:g} s"
                raise SourceUnavailableError(
                    f"{self.spec.name} was not ready {limit}{self.last_words()}"
                )
        if (status := self.poll()) is not None:  # somebody else may answer in its place
            raise self.ended_error(status)

    def ended_error(self, status: int) -> PreconditionError | SourceUnavailableError:
        """Return what its end means to whoever needs it."""
        text = f"{self.spec.name} ended with {status_text(status)}{self.last_words()}"
        if status == _PRECONDITION_STATUS:
            return PreconditionError(text)
        return SourceUnavailableError(text)

    def last_words(self) -> str:
        """Return the end of its output as `: …`, or nothing if it said nothing."""
        if self._reader is not None and self.poll() is not None:
            self._reader.join(timeout=_KILL_WAIT_S)  # its last lines may still be in the pipe
        match self.spec.output:
            case ToFile(path=path):
                lines = _file_tail(path)
            case Forward():
                lines = list(self._tail)
        said = ending([self._shown(line) for line in lines[-_KEPT_LINES:]])
        return f": {said}" if said else ""

    def _shown(self, line: str) -> str:
        return redact_text(without(line, self.spec.secrets))

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once: a second one would tell some programs to hurry."""
        if not self._asked and self.poll() is None:
            self._process.terminate()
        self._asked = True

    def stop(self) -> int | None:
        """SIGTERM, the child's time, SIGKILL; return the status, None if nothing ended it.

        The rest of its group is killed too, once: later the id may be somebody else's.
        """
        if self._stopped:
            return self.poll()
        self._stopped = True
        self.ask_to_stop()
        self.wait(self.spec.stop_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        status = self.wait(_KILL_WAIT_S)
        if self._reader is not None:
            self._reader.join(timeout=_KILL_WAIT_S)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> subprocess.Popen[bytes]:
        match self.spec.output:
            case ToFile(path=path):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                with open(path, "ab") as file:  # noqa: PTH123 # a path may be a device
                    return self._spawn(file)
            case Forward(line=line):
                process = self._spawn(subprocess.PIPE)
                self._reader = threading.Thread(
                    target=self._read,
                    args=(process.stdout, line),
                    name=f"{self.spec.name}-output",
                    daemon=True,
                )
                self._reader.start()
                return process

    def _spawn(self, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if self.spec.env is None else dict(self.spec.env),
                cwd=self.spec.cwd,
                process_group=0,
                preexec_fn=_die_with_parent(os.getpid()),  # noqa: PLW1509 # calls nothing but prctl
            )
        except OSError as exc:
            raise PreconditionError(
                f"{self.spec.name}: cannot start {self.spec.argv[0]}: {exc.strerror}"
            ) from exc

    def _read(self, stream: IO[bytes], line: Callable[[str, str], None]) -> None:
        with stream:
            for raw in stream:
                text = raw.decode(errors="replace").rstrip("\r\n")
                text = without(text, self.spec.secrets)
                self._tail.append(text)
                line(self.spec.name, text)


def ending(lines: Sequence[str]) -> str:
    """Return the end of some output on one line of at most 256 characters. Pure.

    The last line names the cause and ends with the remedy, so it comes first, and its own end
    before its beginning; lines before it are told whole or not at all.
    """
    told = ""
    for line in reversed(lines):
        words = " ".join(line.split())
        if not told:
            told = words if len(words) <= FOREIGN_LIMIT else f"…{words[1 - FOREIGN_LIMIT :]}"
        elif len(words) + 1 + len(told) <= FOREIGN_LIMIT:
            told = f"{words} {told}".strip()
        else:
            break
    return told


def status_text(status: int) -> str:
    """Return an exit status in words: `status 1`, `SIGKILL`."""
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _file_tail(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 # a path may be a device
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """Return what the child calls before exec; None where the system has no such thing."""
    if _LIBC is None:
        return None
    libc = _LIBC

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return arm
