"""The book that a torture keeps outside Redis: files, written by every process that takes part.

What is wanted of a key is one small file; everything that happens is a line of one shared file.
Whatever happens to Redis cannot confuse it, and a SIGKILL loses no line that was written. Times are
of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

_LOOK_S = 0.004

Kind: TypeAlias = Literal[
    "claimed",  # a claim's reply came
    "began",  # a run began
    "ended",  # a run ended by itself; `settled` says whether it converged
    "completing",  # its completion is about to be sent
    "accepted",  # the completion was valid
    "refused",  # the completion was not valid any more
    "unknown",  # the reply to a completion was lost, or it says what an earlier one did
    "stored",  # the API server took a write of a report
    "excuse",  # a time in which nobody could renew a lease, or after which Redis had lost its log
    "killed",  # a process was ended by SIGKILL
]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line; what a kind does not need stays at its default."""

    kind: Kind
    at: float  # monotonic seconds
    pid: int  # whom it is about; 0: everybody
    key: str = ""
    token: int = 0
    worker: str = ""
    version: int = 0  # of the key, as the run saw it
    settled: bool = False
    until: float = 0.0  # of an excuse
    lost_log: bool = False  # of an excuse: what Redis was told within it is forgotten
    object_version: str = ""  # of a report that was stored


class Diary:
    """Reads and writes the files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("wanted", "gate", "held"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._events = os.open(folder / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        """Close the shared file."""
        os.close(self._events)

    # --- what is wanted

    def want(self, key: str, version: int) -> None:
        """Note that the key has this version now."""
        file = self.folder / "wanted" / key
        part = file.with_name(f".{key}.{os.getpid()}.{threading.get_ident()}")
        part.write_text(str(version))
        part.replace(file)

    def wanted(self, key: str) -> int:
        """Return the key's version; 0: nobody ever wanted it."""
        file = self.folder / "wanted" / key
        return int(file.read_text()) if file.exists() else 0

    # --- what happens

    def note(self, kind: Kind, *, pid: int | None = None, **fields: object) -> None:
        """Append a line, now and about this process unless told otherwise."""
        values = {"at": time.monotonic(), "pid": os.getpid() if pid is None else pid, **fields}
        event = msgspec.convert({"kind": kind, **values}, Event)
        os.write(self._events, msgspec.json.encode(event) + b"\n")  # one write: lines never mix

    def events(self) -> list[Event]:
        """Return all lines, in the order of their times."""
        decoder = msgspec.json.Decoder(Event)
        lines = (self.folder / "events").read_bytes().splitlines()
        return sorted((decoder.decode(line) for line in lines), key=lambda event: event.at)

    def count(self, kind: Kind) -> int:
        """Return how many lines of a kind there are; cheap enough to be asked while waiting."""
        return (self.folder / "events").read_bytes().count(b'{"kind":"%s"' % kind.encode())

    # --- gates: the torturer holds a run at a named point

    def shut(self, point: str, key: str, *, pid: int = 0) -> None:
        """Let the next run of the key stop at the point: anybody's, or that process' only."""
        (self.folder / "gate" / _gate(point, key, pid)).touch()

    def open(self, point: str, key: str, *, pid: int = 0) -> None:
        """Let it go on."""
        (self.folder / "gate" / _gate(point, key, pid)).unlink(missing_ok=True)

    def holds(self, point: str, key: str, *, pid: int = 0) -> bool:
        """Say whether a run stands there."""
        return (self.folder / "held" / _gate(point, key, pid)).exists()

    def pass_gate(self, point: str, key: str) -> None:
        """Stand at the point while it is shut. Called by runs."""
        for pid in (0, os.getpid()):
            name = _gate(point, key, pid)
            gate, held = self.folder / "gate" / name, self.folder / "held" / name
            if gate.exists():
                held.touch()
                while gate.exists():
                    time.sleep(_LOOK_S)
                held.unlink(missing_ok=True)


def _gate(point: str, key: str, pid: int) -> str:
    return f"{point}.{key}.{pid}"


@contextlib.contextmanager
def pulse(diary: Diary, *, allowed_s: float) -> Iterator[None]:
    """Note as an excuse every time in which this process could not run for `allowed_s`.

    A thread of its own that only sleeps: it misses its time when the process was stopped, or when
    the machine was too busy for it, and then no heartbeat of a lease could be in time either.
    """
    over = threading.Event()

    def beat() -> None:
        last = time.monotonic()
        while not over.wait(_PULSE_S):
            now = time.monotonic()
            if now - last > allowed_s:
                diary.note("excuse", at=last, until=now)
            last = now

    thread = threading.Thread(target=beat, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


_PULSE_S = 0.05
