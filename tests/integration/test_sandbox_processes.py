"""Children of the sandbox end with it, whatever ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox.leash import Leash
from sandbox.processes import Command, Process, Stack
from tests.waiting import PATIENCE_S, eventually, is_alive

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]

# A caller that starts a child with a grandchild and tells both process ids, then does `{end}`.
CALLER = """
import os, sys, time
from pathlib import Path
from sandbox.leash import Leash
from sandbox.processes import Command, Process, Stack
from sandbox.leash import Leash
folder = Path(sys.argv[1])
script = "sleep 1000 & echo $! > grandchild; mv grandchild told; exec sleep 1000"
argv = ("/bin/sh", "-c", script)
child = Process(Command(name="child", argv=argv, log=folder / "log", folder=folder))
with Stack() as stack:
    {before}
    stack.push(child).start().wait_ready(lambda: (folder / "told").exists(), timeout_s=20)
    print(child.pid, (folder / "told").read_text().strip(), flush=True)
    {end}
"""


def run_caller(folder: Path, *, end: str, before: str = "pass") -> tuple[int, list[int]]:
    """Run a caller until it ends; return its status and the process ids that it told."""
    done = subprocess.run(
        [sys.executable, "-c", CALLER.format(end=end, before=before), str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE_S * 2,
    )
    return done.returncode, [int(pid) for pid in done.stdout.split()]


def shell(folder: Path, script: str, *, name: str = "child", stop_within_s: float = 5.0) -> Process:
    """Return a process that runs a shell script."""
    return Process(
        Command(
            name=name,
            argv=("/bin/sh", "-c", script),
            log=folder / f"{name}.log",
            folder=folder,
            stop_within_s=stop_within_s,
        )
    )


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Give a stack that ends what a test started."""
    with Stack() as ours:
        yield ours


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), 15); time.sleep(60)", 128 + signal.SIGTERM),
        ("raise KeyboardInterrupt", None),
        ("raise ValueError", 1),
        ("pass", 0),
    ],
    ids=["kill -9", "_exit", "SIGTERM", "Ctrl-C", "error", "normal"],
)
def test_every_child_ends_with_its_starter(tmp_path: Path, end: str, status: int | None) -> None:
    """A test run that is killed must not leave an etcd that eats the machine for days."""
    ended_with, pids = run_caller(tmp_path, end=end)
    assert status is None or ended_with == status
    assert len(pids) == 2
    assert eventually(lambda: not any(map(is_alive, pids)))


def test_a_fork_that_outlives_its_starter_does_not_keep_the_children(tmp_path: Path) -> None:
    """A fork without exec holds the guard's pipe open; only the starter's own end counts."""
    fork = "fork = os.fork()\n    if fork == 0:\n        os.close(1); time.sleep(60); os._exit(0)"
    _, pids = run_caller(
        tmp_path, end=f"{fork}\n    print(fork, flush=True); os.kill(os.getpid(), 9)"
    )
    child, grandchild, fork_pid = pids
    try:
        assert eventually(lambda: not is_alive(child) and not is_alive(grandchild))
        assert is_alive(fork_pid)
    finally:
        os.kill(fork_pid, signal.SIGKILL)


def test_a_child_that_the_guard_does_not_know_never_runs(tmp_path: Path) -> None:
    """The caller may die between fork and registration: the child waits for that at a gate."""
    die = "Leash.register = lambda _, pid: (print(pid, flush=True), os._exit(9))"
    status, (pid,) = run_caller(tmp_path, before=die, end="")
    try:
        assert status == 9
        assert eventually(lambda: not is_alive(pid))
        assert not (tmp_path / "told").exists()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def test_a_guard_that_starts_late_sees_that_its_starter_is_gone(tmp_path: Path) -> None:
    """The starter may die while the guard's interpreter loads, and a fork hold the pipe open."""
    with subprocess.Popen(["/bin/true"]) as gone:
        pass
    child = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True, cwd=tmp_path)
    guard = ROOT / "sandbox" / "guard.py"
    with (
        child,
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(guard), str(gone.pid)], stdin=subprocess.PIPE
        ) as late,
    ):
        assert late.stdin is not None
        late.stdin.write(b"+%d\n" % child.pid)
        late.stdin.flush()  # and it stays open
        try:
            assert child.wait(PATIENCE_S) == -signal.SIGKILL
        finally:
            child.kill()


def test_the_guard_spares_a_group_that_it_was_told_to_forget() -> None:
    """Its number may belong to a stranger by the time the guard acts."""
    with subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True) as stranger:
        ours = Leash()
        ours.register(stranger.pid)
        ours.forget(stranger.pid)
        ours.close()  # it waits until the guard has done its work
        assert stranger.poll() is None
        stranger.kill()


def test_a_child_lives_on_when_its_starting_thread_ends(tmp_path: Path, stack: Stack) -> None:
    """PR_SET_PDEATHSIG would kill it here; fixtures and pools start children from threads."""
    child = stack.push(shell(tmp_path, "echo up; exec sleep 1000"))
    thread = threading.Thread(target=child.start)
    thread.start()
    thread.join()
    child.wait_ready(lambda: "up" in child.tail(), timeout_s=PATIENCE_S)
    assert child.alive


def test_a_stack_stops_in_reverse_order(tmp_path: Path) -> None:
    """An API server whose etcd is gone ignores SIGTERM for a minute."""
    wait = "echo up; while :; do sleep 0.02; done"
    with Stack() as stack:
        for name in ("etcd", "apiserver", "controllers"):
            script = f'trap "echo {name} >> ended; exit" TERM; {wait}'
            child = stack.push(shell(tmp_path, script, name=name)).start()
            child.wait_ready(lambda child=child: "up" in child.tail(), timeout_s=PATIENCE_S)  # type: ignore[misc] # mypy cannot type a lambda's default
    assert (tmp_path / "ended").read_text().split() == ["controllers", "apiserver", "etcd"]


def test_one_that_ignores_sigterm_is_killed_after_its_deadline(
    tmp_path: Path, stack: Stack
) -> None:
    """A stop that waits for ever is worse than a crash."""
    script = 'trap "" TERM; echo up; while :; do sleep 0.02; done'
    child = stack.push(shell(tmp_path, script, stop_within_s=0.2)).start()
    pid = child.wait_ready(lambda: "up" in child.tail(), timeout_s=PATIENCE_S).pid
    child.stop()
    assert not is_alive(pid)
    assert not child.alive


def test_a_stop_ends_what_the_child_left_behind(tmp_path: Path, stack: Stack) -> None:
    """A supervisor may end in order and forget a helper; the next run would meet its port."""
    script = "sleep 1000 & echo $! > part; mv part told; exec sleep 1000"
    child = stack.push(shell(tmp_path, script)).start()
    child.wait_ready((tmp_path / "told").exists, timeout_s=PATIENCE_S)
    child.stop()
    assert eventually(lambda: not is_alive(int((tmp_path / "told").read_text())))


def test_one_failing_stop_does_not_keep_the_others_running(tmp_path: Path) -> None:
    """The error is still raised, after everything was tried."""

    class Broken:
        def stop(self) -> None:
            raise PreconditionError("cannot")

    child = shell(tmp_path, "exec sleep 1000")
    stack = Stack()
    stack.push(child).start()
    stack.push(Broken())
    with pytest.raises(PreconditionError, match="cannot"):
        stack.stop()
    assert not child.alive


def test_a_child_that_dies_before_it_is_ready_says_why(tmp_path: Path, stack: Stack) -> None:
    """Whoever reads the error must not have to look for the log."""
    child = stack.push(shell(tmp_path, "echo no such flag; exit 4")).start()
    with pytest.raises(PreconditionError, match=r"ended with status 4 .* no such flag") as caught:
        child.wait_ready(lambda: False, timeout_s=PATIENCE_S)
    assert caught.value.__notes__ == ["no such flag\n"]


def test_a_child_that_is_too_slow_says_what_it_did(tmp_path: Path, stack: Stack) -> None:
    """An OSError of the probe, as a refused connection, means not yet."""
    child = stack.push(shell(tmp_path, "echo still loading; exec sleep 1000")).start()
    child.wait_ready(lambda: "loading" in child.tail(), timeout_s=PATIENCE_S)

    def refuse() -> bool:
        raise ConnectionRefusedError

    with pytest.raises(PreconditionError, match=r"is not ready after 0 s.*still loading"):
        child.wait_ready(refuse, timeout_s=0)
    assert child.alive


def test_a_program_that_does_not_exist_is_no_silent_child(tmp_path: Path, stack: Stack) -> None:
    """The shell at the gate says what it could not find."""
    child = Process(Command(name="gone", argv=("/no/such/program",), log=tmp_path / "log"))
    stack.push(child).start()
    with pytest.raises(PreconditionError, match=r"ended with status 127.*/no/such/program"):
        child.wait_ready(lambda: False, timeout_s=PATIENCE_S)


def test_a_child_can_be_started_again_and_keeps_one_log(tmp_path: Path, stack: Stack) -> None:
    """A restart must not lose what the first life said."""
    child = stack.push(shell(tmp_path, "echo life; exec sleep 1000")).start()
    child.wait_ready(lambda: child.tail().count("life") == 1, timeout_s=PATIENCE_S)
    with pytest.raises(PreconditionError, match="runs already"):
        child.start()
    child.kill()
    child.start().wait_ready(lambda: child.tail().count("life") == 2, timeout_s=PATIENCE_S)


def test_stopping_twice_or_before_the_start_is_harmless(tmp_path: Path) -> None:
    """A stack stops what a test stopped already."""
    child = shell(tmp_path, "exec sleep 1000")
    child.stop()
    assert child.exit_status is None
    child.start().stop()
    child.stop()
    assert child.exit_status == -signal.SIGTERM
