"""The sandbox by hand: what it prints works, and nothing is left when it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.place import Place
from tests.fixtures_sandbox import Programs
from tests.waiting import PATIENCE_S, eventually, heed_ctrl_c, is_alive

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def sandbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m sandbox` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S * 4,
    )


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def up(programs: Programs, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Bring a sandbox up in the test's folder."""
    assert programs
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "up", "--dir", str(tmp_path / "box")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 # calls one system call
    ) as process:
        yield process
        process.kill()


def test_up_prints_what_to_export_and_ctrl_c_ends_everything(
    up: subprocess.Popen[str], programs: Programs, tmp_path: Path
) -> None:
    """The two lines are pasted into a shell, so they stand alone on standard output."""
    assert up.stdout is not None
    exported = dict(
        up.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(2)
    )
    assert set(exported) == {"KUBECONFIG", "REGISTRY"}
    nodes = subprocess.run(
        [programs["kubectl"], "get", "nodes", "--output", "name"],
        env={"KUBECONFIG": exported["KUBECONFIG"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert nodes.stdout.split() == ["node/node-1", "node/node-2"]
    children = children_of(up.pid)
    assert len(children) >= 4  # registry, etcd, API server, controllers; and the guard
    up.send_signal(signal.SIGINT)
    # Four programs, each with a deadline of its own, on a machine that may be busy.
    assert up.wait(PATIENCE_S * 3) == 0
    assert not any(map(is_alive, children))


def test_a_killed_sandbox_leaves_nothing_running(up: subprocess.Popen[str]) -> None:
    """`kill -9`, an out-of-memory kill, a closed laptop: no etcd stays behind."""
    assert up.stdout is not None
    assert up.stdout.readline().startswith("export KUBECONFIG=")
    children = children_of(up.pid)
    up.send_signal(signal.SIGKILL)
    up.wait(PATIENCE_S)
    assert eventually(lambda: not any(map(is_alive, children)))


def test_a_taken_port_ends_with_status_3_and_its_remedy(programs: Programs) -> None:
    """Scripts tell a precondition from a failure by the status."""
    assert programs
    with Place() as place:
        done = sandbox("up", "--registry-port", str(place.port()))
    assert done.returncode == 3
    assert "in use; stop its owner or choose another" in done.stderr
    assert done.stdout == ""


def test_build_prints_where_the_programs_are(programs: Programs) -> None:
    """One line each, name and path, for scripts."""
    done = sandbox("build")
    assert done.returncode == 0
    printed = dict(line.split("\t") for line in done.stdout.splitlines())
    redis = printed.pop("redis-server", None)  # tests want it, and not every machine can have it
    assert Path(redis).exists() if redis else "note: " in done.stderr
    assert printed == {name: str(path) for name, path in programs.items()}


def test_help_teaches_by_example() -> None:
    """A newcomer reads no source."""
    done = sandbox("--help")
    assert "python -m sandbox up " in done.stdout
    assert "python -m sandbox build --node" in done.stdout


def test_wrong_usage_is_status_2() -> None:
    """As every command of ours."""
    assert sandbox("upp").returncode == 2
