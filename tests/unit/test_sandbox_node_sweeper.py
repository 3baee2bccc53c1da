"""The sweeper removes a node's groups when the node has ended, and not a moment before."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import node_sweeper
from tests.waiting import eventually, is_alive

ROOT = Path(__file__).parents[2]


class Held:
    """A lock that a node holds, and a sweeper that waits for it."""

    def __init__(self, folder: Path) -> None:
        self.lock = folder / "node.lock"
        self.group = folder / "cpu" / "sluice-node-1"
        (self.group / "kubepods" / "pod1").mkdir(parents=True)
        self._held = os.open(self.lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.node_sweeper", str(self.lock), str(self.group)],
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )

    def end_the_node(self) -> None:
        os.close(self._held)

    def waits_for_the_lock(self) -> bool:
        """Say whether the kernel lists the sweeper as blocked: then its signals are set up."""
        return f"-> FLOCK  ADVISORY  WRITE {self.process.pid} " in Path("/proc/locks").read_text()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    one = Held(tmp_path)
    try:
        assert eventually(one.waits_for_the_lock)
        yield one
    finally:
        one.close()


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/locks")


def test_nothing_is_swept_while_the_node_lives(held: Held) -> None:
    """A group with processes in it cannot go, but an empty one of a Pod that starts could."""
    assert held.process.poll() is None
    assert (held.group / "kubepods" / "pod1").exists()


def test_the_groups_go_when_the_nodes_processes_have_ended(held: Held) -> None:
    """Also after `kill -9`: the kernel gives the lock back, whatever happened."""
    held.end_the_node()
    assert held.process.wait(timeout=30) == 0
    assert not held.group.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_for_its_starter_do_not_end_it(held: Held, number: signal.Signals) -> None:
    """Ctrl-C and a closed terminal are the very moments for which it is there."""
    held.process.send_signal(number)
    held.end_the_node()
    assert held.process.wait(timeout=30) == 0
    assert not held.group.exists()


def test_a_group_that_stays_busy_is_named_with_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The starter turns it into an error: silence would fill the host with groups."""
    lock, group = tmp_path / "lock", tmp_path / "group"
    lock.touch()
    group.mkdir()
    (group / "file").touch()  # rmdir refuses, as for a group with a process
    monkeypatch.setattr(node_sweeper, "_DYING_S", 0.05)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert node_sweeper.main([str(lock), str(group)]) == 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert str(group) in capsys.readouterr().err


def test_a_sweeper_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    """Its starter is what gets killed."""
    lock, group = tmp_path / "lock", tmp_path / "group"
    group.mkdir()
    held = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'sandbox.node_sweeper', *sys.argv[1:]],"
        " start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(lock), str(group)],
        capture_output=True,
        check=False,
        cwd=ROOT,
    )
    sweeper = int(done.stdout)
    assert done.returncode == -signal.SIGKILL
    assert is_alive(sweeper)
    os.close(held)
    assert eventually(lambda: not group.exists())
    assert eventually(lambda: not is_alive(sweeper))
