"""The hand-assembled programs behave as containers need, without a container."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.pause_elf import done, go_build_info, pause

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the programs are Linux programs for amd64",
)


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def _until_it_waits(pid: int) -> None:
    """Return when the process has reached `rt_sigtimedwait`; fail after ten seconds."""
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}/syscall").read_text().split()[0] != "128":
        assert time.monotonic() < end, f"process {pid} never came to wait for signals"
        time.sleep(0.002)


@pytest.fixture
def paused(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `pause` until it waits."""
    program = _file(tmp_path / "pause", pause(b"data in a second segment and a section"))
    with subprocess.Popen([program]) as process:
        try:
            _until_it_waits(process.pid)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_pause_waits_until_it_is_asked_to_end(
    paused: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    """A sample pod that ends by itself restarts for ever, and one that cannot end blocks `make`."""
    assert paused.poll() is None
    paused.send_signal(number)
    assert paused.wait(timeout=10) == 0


def test_pause_survives_a_stop_and_continue(paused: subprocess.Popen[bytes]) -> None:
    """Freezing a container interrupts the wait; the program must not take that for SIGTERM."""
    paused.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, paused.pid, os.WSTOPPED | os.WNOWAIT)
    paused.send_signal(signal.SIGCONT)
    os.waitid(os.P_PID, paused.pid, os.WCONTINUED | os.WNOWAIT)
    assert paused.poll() is None
    paused.terminate()
    assert paused.wait(timeout=10) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root")
def test_pause_ends_on_sigterm_even_as_process_1(tmp_path: Path) -> None:
    """Linux ignores signals without handler for process 1: each pod would take its whole grace."""
    program = _file(tmp_path / "pause", pause())
    command = ["unshare", "--pid", "--fork", "--kill-child", str(program)]
    with subprocess.Popen(command) as outer:
        try:
            inner = _child_of(outer.pid)
            _until_it_waits(inner)
            os.kill(inner, signal.SIGTERM)
            assert outer.wait(timeout=10) == 0
        finally:
            outer.kill()


def _child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    end = time.monotonic() + 10
    while not children.read_text():
        assert time.monotonic() < end, "unshare never forked"
        time.sleep(0.002)
    return int(children.read_text())


def test_done_succeeds_at_once(tmp_path: Path) -> None:
    """Sample Jobs must complete."""
    assert (
        subprocess.run([_file(tmp_path / "done", done())], timeout=10, check=False).returncode == 0
    )


def test_the_programs_stay_tiny() -> None:
    """Every sample image carries both; they must not show up in any measurement."""
    assert len(pause()) + len(done()) < 400


def test_go_build_info_has_the_layout_that_go_reads() -> None:
    """Length prefixes above 127 take two bytes; a wrong one hides all modules behind it."""
    info = go_build_info("example.com/app", version="v1.0.0", go="go1.20.1", needs={"a.b/c": "v1"})
    assert info.startswith(b"\xff Go buildinf:\x08\x02")
    assert info[32:41] == b"\x08go1.20.1"
    assert info[41] & 0x80, "more bytes of the length follow"
    length = (info[41] & 0x7F) + (info[42] << 7)
    assert length == len(info) - 43
    assert info[43 + 16 : -16].splitlines()[2] == b"dep\ta.b/c\tv1\th1:" + b"A" * 43 + b"="
