"""One bounded Trivy run: own process group, deadline, memory and disk, log cut to its end.

Trivy's `--timeout` and a first SIGTERM do not stop a scan whose registry accepts and then hangs
(measured with 0.76), so the deadline is ours: SIGTERM, 2 s, SIGKILL to the group.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import SluiceError
from common.model.hiding import without
from common.ops.process import Child, ChildSpec, ToFile
from worker.evidence.image.descriptors import readable
from worker.evidence.image.docker_config import Credential, secrets_in

GRACE_S = 2.0  # a run that analyses ends at once on SIGTERM; one that hangs never does
_LOG_TAIL_BYTES = 64 * 1024  # the FATAL line is the last; before it a hostile image may fill pages
_LOOK_S = 0.2  # from one look at what it writes to the next
_POLL_S = 0.05  # only where the system has no pidfd
_MB = 1024 * 1024
# Go collects harder near this share of the limit instead of running into it.
_SOFT_SHARE = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class TrivyRun:
    """One run to do."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path  # empty: Trivy reads trivy.yaml and .trivyignore from it
    log: Path
    deadline_at_s: float  # time.monotonic()
    memory_mb: int = 0  # 0: only the container's own limit counts
    file_bytes: int = 0  # no file may be larger; 0: no limit
    watch: Callable[[int], SluiceError | None] | None = None  # of its id: what ends it, if anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it ended; `killed` when our deadline or an abort did it."""

    exit_code: int  # negative: the signal
    log: str  # without the secrets that the run was told, which a server may have repeated
    killed: bool


def run_trivy(run: TrivyRun, aborts: Sequence[int] = ()) -> Ended:
    """Run it to its end, to its deadline, or until one of the file descriptors is readable.

    Call it from a thread that lives as long as the run: the child dies with its thread. Raises
    PreconditionError when the program cannot be started, and what its `watch` returns.
    """
    spec = ChildSpec(
        name="trivy",
        argv=run.argv,
        output=ToFile(path=str(run.log)),
        env={**run.env, **_soft_limit(run.memory_mb)},
        cwd=str(run.cwd),
        stop_s=GRACE_S,
    )
    told = _secrets_in(run.env)
    with Child(spec) as child:
        _bound(child.pid, run)
        exit_code, fault = _watched(child, run, aborts)
        killed = exit_code is None
        status = child.stop()
    if fault is not None:
        raise fault
    final = exit_code if exit_code is not None else status
    log = without(_tail(run.log), told)
    return Ended(exit_code=-9 if final is None else final, log=log, killed=killed)


def _secrets_in(env: Mapping[str, str]) -> list[str]:
    """Return the credentials that an environment leads to: registries' and proxies'."""
    found: list[str] = []
    with contextlib.suppress(KeyError, OSError):
        found += secrets_in((Path(env["DOCKER_CONFIG"]) / "config.json").read_bytes())
    for name in env:
        if name.lower().endswith("_proxy"):
            with contextlib.suppress(ValueError):  # no URL
                parts = urllib.parse.urlsplit(env[name])
                user, password = parts.username or "", parts.password or ""
                plain = Credential(
                    username=urllib.parse.unquote(user), password=urllib.parse.unquote(password)
                )
                found += [password, *plain.secrets] if password else []
    return found


def _watched(
    child: Child, run: TrivyRun, aborts: Sequence[int]
) -> tuple[int | None, SluiceError | None]:
    """Return the exit status, None at the deadline and on an abort; or what the watch says."""
    if run.watch is None:
        return _wait(child, run.deadline_at_s, aborts), None
    while True:
        until_s = min(run.deadline_at_s, time.monotonic() + _LOOK_S)
        exit_code = _wait(child, until_s, aborts)
        if exit_code is not None:
            return exit_code, None
        if time.monotonic() >= run.deadline_at_s or readable(aborts, 0):
            return None, None
        fault = run.watch(child.pid)
        if fault is not None:
            return None, fault


def _wait(child: Child, deadline_at_s: float, aborts: Sequence[int]) -> int | None:
    """Return the exit status, or None at the deadline and on an abort."""
    if sys.platform != "linux":
        return _poll(child, deadline_at_s, aborts)
    try:
        pidfd = os.pidfd_open(child.pid)
    except ProcessLookupError:
        return child.wait(0)
    try:
        ready = readable((pidfd, *aborts), deadline_at_s - time.monotonic())
    finally:
        os.close(pidfd)
    return child.wait(GRACE_S) if pidfd in ready else None


def _poll(child: Child, deadline_at_s: float, aborts: Sequence[int]) -> int | None:
    while time.monotonic() < deadline_at_s:
        status = child.wait(_POLL_S)
        if status is not None:
            return status
        if readable(aborts, 0):
            break
    return None


def _soft_limit(memory_mb: int) -> dict[str, str]:
    return {"GOMEMLIMIT": f"{int(memory_mb * _SOFT_SHARE)}MiB"} if memory_mb else {}


def _bound(pid: int, run: TrivyRun) -> None:
    """Limit the child's data and files, and make it the first to go when memory is short.

    RLIMIT_DATA counts what Go really asked for (RLIMIT_AS would count its huge reservations), and
    running into it ends Trivy with words that name the cause.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # it may have ended already
        if run.memory_mb:
            limit = run.memory_mb * _MB
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
        if run.file_bytes:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (run.file_bytes, run.file_bytes))
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000", encoding="ascii")


def _tail(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LOG_TAIL_BYTES))
        return file.read().decode(errors="replace")
    return ""
