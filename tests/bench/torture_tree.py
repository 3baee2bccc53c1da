"""Plays a scene in a process of its own, over this tree or over a copy with one guard less."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from common.model.errors import PreconditionError
from tests.bench.torture_ground import ROOT
from tests.bench.torture_mutants import Mutant
from tests.bench.torture_scene import Findings

_PACKAGES = ("common", "worker", "sandbox", "tests")
_PLAY_S = 240.0  # the longest scene needs a tenth of it


def played(
    scene: str,
    *,
    root: Path = ROOT,
    kubeconfig: Path | None = None,
    patience_s: float = 30.0,
    seed: int = 1,
    size: float = 1.0,
) -> Findings:
    """Play a scene over the tree at `root` and return its findings.

    Raises PreconditionError, with the end of what it said, when it did not come to its end.
    """
    argv = [sys.executable, "-m", "tests.bench.torture_play", scene]
    argv += ["--patience-s", str(patience_s), "--seed", str(seed), "--size", str(size)]
    if kubeconfig is not None:
        argv += ["--kubeconfig", str(kubeconfig)]
    done = subprocess.run(
        argv,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=_PLAY_S,
        check=False,
    )
    if done.returncode:
        raise PreconditionError(f"{scene} broke down", reason="ProgramFailed") from RuntimeError(
            done.stderr[-2000:]
        )
    return msgspec.json.decode(done.stdout, type=Findings)


@contextmanager
def without(mutant: Mutant) -> Iterator[Path]:
    """Give a copy of the tree in which the mutant's guard is gone."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        root = Path(folder)
        for package in _PACKAGES:
            shutil.copytree(ROOT / package, root / package)
        patch(root, mutant)
        yield root


def patch(root: Path, mutant: Mutant) -> None:
    """Take the guard out. Raises ValueError unless its text stands there exactly once."""
    file = root / mutant.file
    text = file.read_text()
    if text.count(mutant.guard) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has its guard {text.count(mutant.guard)} x")
    file.write_text(text.replace(mutant.guard, mutant.instead))
    # Compiled with the guard, it could be taken for the same file: sizes and seconds may agree.
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()
