"""The scanner's socket: accepts jobs, runs a bounded number at once, answers each with its end.

A client that leaves ends its job. A scanner that is stopped ends all of them: their clients see a
closed connection, which is a transient error there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from common.model.bounded import UNREADABLE
from common.model.errors import (
    PreconditionError,
    ScanTimeoutError,
    SluiceError,
    TerminalError,
    TransientError,
)
from worker.evidence.image import wire
from worker.evidence.image.descriptors import readable
from worker.scanner.job import Bench, JobRun, Taken
from worker.scanner.slots import Slots

_log = structlog.get_logger()

_BACKLOG = 128
_HANDSHAKE_S = 10.0  # a client that connects and says nothing
_SEND_S = 30.0


class ScannerService:
    """Listens at `path` from construction on; `serve` until `stop`. A context manager."""

    def __init__(self, bench: Bench, path: Path) -> None:
        """Take the socket; raises PreconditionError when another scanner holds it."""
        self._bench = bench
        self._path = path
        self._slots = Slots(bench.jobs)
        self._stop_read, self._stop_write = os.pipe()
        self._stopped = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._lock = _hold(path)
        bench.workshop.wipe()
        self._listener = _listen(path)

    def serve(self) -> None:
        """Accept jobs until `stop`; returns when every job has ended."""
        while not self._stopped.is_set():
            if self._stop_read not in readable((self._listener.fileno(), self._stop_read), None):
                connection, _ = self._listener.accept()
                self._start(connection)
        for thread in tuple(self._threads):
            thread.join()

    def stop(self) -> None:
        """End `serve` and all running jobs. Safe to call from a signal handler, and twice."""
        if not self._stopped.is_set():
            self._stopped.set()
            os.write(self._stop_write, b"x")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._bench.workshop.wipe()
        for descriptor in (self._stop_read, self._stop_write, self._lock):
            os.close(descriptor)

    def _start(self, connection: socket.socket) -> None:
        thread = threading.Thread(target=self._attend, args=(connection,), name="job")
        self._threads.add(thread)
        thread.start()

    def _attend(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._answer(connection)
        finally:
            self._threads.discard(threading.current_thread())

    def _answer(self, connection: socket.socket) -> None:
        accepted_at_s = time.monotonic()
        try:
            connection.settimeout(_HANDSHAKE_S)
            job = wire.decode_job(wire.receive_frame(connection, wire.JOB_LIMIT_BYTES))
        except (EOFError, OSError, *UNREADABLE) as exc:
            _log.warning("not a job", error=type(exc).__name__)
            return
        answer = self._run(job, connection, accepted_at_s)
        frame = wire.answer_frame(answer)
        seconds = round(time.monotonic() - accepted_at_s, 3)
        outcome = answer.reason if isinstance(answer, wire.Failed) else "Done"
        _log.info("job ended", image=job.reference, outcome=outcome, seconds=seconds)
        with contextlib.suppress(OSError):  # the client left; its job ended with that
            connection.settimeout(_SEND_S)
            connection.sendall(frame)

    def _run(self, job: wire.Job, connection: socket.socket, accepted_at_s: float) -> wire.Answer:
        aborts = (connection.fileno(), self._stop_read)
        try:
            taken = self._taken(job, aborts, accepted_at_s + job.deadline_s)
        except SluiceError as exc:
            return wire.failed(exc)
        except OSError as exc:
            text = f"the scanner's scratch space failed: {exc.strerror}"
            return wire.failed(TransientError(text, reason="ScratchFull"))
        except Exception as exc:  # noqa: BLE001 # the client must get an answer; the log has the trace
            _log.exception("job failed", image=job.reference)
            text = f"the scanner could not handle what Trivy found: {type(exc).__name__}"
            return wire.failed(TerminalError(text, reason="ScannerFault"))
        return wire.Done(
            inventory=taken.inventory,
            told=taken.told,
            seconds=time.monotonic() - accepted_at_s,
            proven=tuple(sorted(taken.proven)),
        )

    def _taken(self, job: wire.Job, aborts: Sequence[int], deadline_at_s: float) -> Taken:
        def give_up() -> bool:
            return time.monotonic() >= deadline_at_s or bool(readable(aborts, 0))

        with self._slots.take(alone=job.alone, give_up=give_up) as ready:
            if not ready:
                raise ScanTimeoutError("no scanner was free before the job's deadline")
            return JobRun(self._bench, job, aborts, deadline_at_s).run()


def _hold(path: Path) -> int:
    """Lock the socket's name for the life of this process; the kernel lets go of it for us."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as exc:
        raise _refused(path, exc) from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise PreconditionError(
            f"another scanner listens at {path}; stop it or set SLUICE_SCANNER_SOCKET"
        ) from exc
    return lock


def _listen(path: Path) -> socket.socket:
    """Return a listening socket that only we may use.

    In a folder that hands its group on (a pod's shared volume) that group may too: there worker
    and scanner run as different users.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        shared = path.parent.stat().st_mode & stat.S_ISGID
        before = os.umask(0o777)  # nobody may connect before the mode is set
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(0o660 if shared else 0o600)
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise _refused(path, exc) from exc
    return listener


def _refused(path: Path, error: OSError) -> PreconditionError:
    """Return what to do where nobody can listen; a path that is too long has no `strerror`."""
    return PreconditionError(
        f"cannot listen at {path}: {error.strerror or error}; let SLUICE_SCANNER_SOCKET be a short "
        "path in a folder where this user may write"
    )
