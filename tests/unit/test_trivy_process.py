"""Bounds of one run: its files, and whoever watches what it writes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from common.model.errors import SluiceError, TerminalError
from tests.waiting import is_alive
from worker.evidence.image.trivy_process import TrivyRun, run_trivy

WRITE = """file = open("out", "wb", buffering=0)
for _ in range(100): file.write(bytes(100_000))"""
SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def run(folder: Path, program: str, **fields: object) -> TrivyRun:
    """Return a run of a program in place of Trivy."""
    values: dict[str, object] = {
        "argv": (sys.executable, "-c", program),
        "env": dict(os.environ),
        "cwd": folder,
        "log": folder / "log",
        "deadline_at_s": time.monotonic() + 60,
    }
    return TrivyRun(**(values | fields))  # type: ignore[arg-type] # a test's shorthand


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
def test_no_file_grows_beyond_the_bound(tmp_path: Path) -> None:
    """Between two looks a job could write gigabytes."""
    ended = run_trivy(run(tmp_path, f"import time; time.sleep(1)\n{WRITE}", file_bytes=1_000_000))
    assert ended.exit_code != 0
    assert not ended.killed
    assert (tmp_path / "out").stat().st_size <= 1_000_000
    assert run_trivy(run(tmp_path, WRITE)).exit_code == 0


def test_what_the_watch_says_ends_the_run(tmp_path: Path) -> None:
    """The child is gone when the error comes."""
    seen: list[int] = []

    def watch(pid: int) -> SluiceError | None:
        seen.append(pid)
        return TerminalError("enough") if len(seen) > 1 else None

    with pytest.raises(TerminalError, match="enough"):
        run_trivy(run(tmp_path, SLEEP, watch=watch))
    assert not is_alive(seen[0])


def test_a_watched_run_keeps_its_deadline_and_its_aborts(tmp_path: Path) -> None:
    """The watch only looks; whoever waits for the run still ends it."""
    past = run(tmp_path, SLEEP, watch=lambda _: None, deadline_at_s=time.monotonic() + 0.5)
    assert run_trivy(past).killed
    reader, writer = os.pipe()
    os.write(writer, b"x")
    try:
        left = run(tmp_path, SLEEP, watch=lambda _: None)
        assert run_trivy(left, (reader,)).killed
        assert time.monotonic() < left.deadline_at_s
    finally:
        os.close(reader)
        os.close(writer)
