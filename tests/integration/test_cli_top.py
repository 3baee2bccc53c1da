"""`sluice top` as a process on a real terminal, and without one."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from common.state.names import Names
from sandbox.valkey import Valkey
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.integration

TOP = (sys.executable, "-P", "-m", "common.cli.main", "top")


@pytest.fixture
def environ(valkey: Valkey, names: Names) -> dict[str, str]:
    """Give what points the command at a cluster of the test's own."""
    known = {"SLUICE_REDIS_URL": valkey.socket_url, "SLUICE_CLUSTER": names.cluster}
    return {**os.environ, **known, "TERM": "xterm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A `sluice top` on a terminal, whose other end is ours."""

    child: subprocess.Popen[bytes]
    ours: int
    theirs: int

    def read_until(self, words: bytes) -> bytes:
        """Return what is drawn until these words come."""
        text, deadline = b"", time.monotonic() + PATIENCE_S
        while words not in text:
            ready, _, _ = select.select([self.ours], [], [], deadline - time.monotonic())
            assert ready, text
            text += os.read(self.ours, 65_536)
        return text


@pytest.fixture
def opened(environ: dict[str, str]) -> Iterator[Callable[..., Open]]:
    """Give what opens one."""
    ends: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **changes: str) -> Open:
        ours, theirs = pty.openpty()
        ends.extend((ours, theirs))
        child = subprocess.Popen(
            [*TOP, *words], stdin=theirs, stdout=theirs, stderr=theirs, env={**environ, **changes}
        )
        children.append(child)
        return Open(child=child, ours=ours, theirs=theirs)

    yield start
    for child in children:
        child.kill()
        child.wait()
    for end in ends:
        os.close(end)


def test_q_ends_it_and_leaves_the_terminal_as_it_was(opened: Callable[..., Open]) -> None:
    """A shell that does not echo any more is closed and opened again."""
    shown = opened("--interval-s", "3600")
    before = termios.tcgetattr(shown.theirs)
    text = shown.read_until(b"\x1b[J")
    os.write(shown.ours, b" ")
    shown.read_until(b"\x1b[J")  # space looks again long before the hour is over
    os.write(shown.ours, b"q")
    assert shown.child.wait(PATIENCE_S) == 0
    assert termios.tcgetattr(shown.theirs) == before
    assert b"\x1b[1;31m! " in text


def test_sigterm_leaves_the_terminal_as_it_was(opened: Callable[..., Open]) -> None:
    """The Pod in which it runs is replaced."""
    shown = opened("--interval-s", "3600")
    before = termios.tcgetattr(shown.theirs)
    shown.read_until(b"q ends")
    shown.child.send_signal(signal.SIGTERM)
    assert shown.child.wait(PATIENCE_S) == 0
    assert termios.tcgetattr(shown.theirs) == before


def test_no_color_is_respected(opened: Callable[..., Open]) -> None:
    """https://no-color.org: any value that is not empty."""
    shown = opened("--interval-s", "3600", NO_COLOR="1")
    assert b"\x1b[1;31m" not in shown.read_until(b"! the key space")
    os.write(shown.ours, b"q")
    assert shown.child.wait(PATIENCE_S) == 0


def test_once_prints_plain_text_where_nobody_looks(environ: dict[str, str]) -> None:
    """For a ticket, or a log."""
    done = subprocess.run(
        [*TOP, "--once"], env=environ, capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    assert b"is empty: no watcher and no worker" in done.stdout
    assert b"\x1b" not in done.stdout
