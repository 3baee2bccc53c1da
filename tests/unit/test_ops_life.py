"""A process begins anew as itself, and a signal ends it whatever it was about to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Begins anew twice; the third life ends. Each notes who it is.
LIVES = """
import os, signal, sys
from common.ops.life import Life, lived
note = sys.argv[1]
with open(note, "a") as file:
    file.write(f"{os.getpid()} {sys.argv[2]} {os.environ['TOLD']}\\n")
lives = len(open(note).read().splitlines())
def work(life):
    if lives < 3:
        life.renew()
        assert life.stopping.is_set()
    if "signal" in sys.argv:
        os.kill(os.getpid(), signal.SIGTERM)
    print("life", lives)
    return 7 if lives == 3 else 1
sys.exit(lived(work))
"""


def run(note: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-c", LIVES, str(note), "argument", *more],
        env={**os.environ, "TOLD": "environment"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_stays_the_same_process_and_its_last_life_tells_the_status(tmp_path: Path) -> None:
    """Whoever supervises it sees no end: no restart is counted, and none is waited for."""
    done = run(tmp_path / "note")
    assert done.returncode == 7, done.stderr
    lives = [line for line in done.stdout.splitlines() if line.startswith("life")]
    assert lives == ["life 1", "life 2", "life 3"]
    notes = (tmp_path / "note").read_text().splitlines()
    assert len(notes) == 3
    assert len(set(notes)) == 1
    assert notes[0].endswith(" argument environment")


def test_a_signal_ends_it_even_when_it_was_to_begin_anew(tmp_path: Path) -> None:
    """A Pod that is deleted in that moment must not live until it is killed."""
    done = run(tmp_path / "note", "signal")
    assert done.returncode == 1, done.stderr
    assert done.stdout == "life 1\n"
