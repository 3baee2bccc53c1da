"""A Docker engine comes up, and leaves nothing on the host, however its starter ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.docker import Docker
from sandbox.docker_images import BASE, Images
from sandbox.docker_programs import DockerPrograms
from tests.waiting import eventually, is_alive

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
STARTER = """
import sys, threading
from pathlib import Path
from sandbox.docker import Docker
from sandbox.docker_images import import_root
from sandbox.docker_programs import docker_programs
from sandbox.docker_roots import docker_roots
from sandbox.place import Place
from sandbox.processes import Stack
with Place(Path(sys.argv[1])) as place, Stack() as stack:
    engine = Docker(place, docker_programs(say=print), stack).start()
    import_root(engine, docker_roots(say=print).run, "base")
    engine.run("run", "--detach", "base", "python3", "-c", "import time; time.sleep(600)")
    print("ready", engine.pid, *engine.cgroups, flush=True)
    threading.Event().wait()
"""


def network() -> tuple[str, str]:
    """Return the devices and the packet rules of this host."""
    asked = (("ip", "-brief", "link"), ("iptables", "--table", "nat", "--list-rules"))
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    devices, rules = (
        subprocess.run(words, env={"PATH": path}, capture_output=True, check=True, text=True).stdout
        for words in asked
    )
    return devices, rules


def members(groups: tuple[Path, ...]) -> set[int]:
    """Return the processes in an engine's groups, those of its containers too."""
    return {
        int(pid)
        for group in groups
        for procs in group.rglob("cgroup.procs")
        for pid in procs.read_text().split()
    }


def test_a_container_runs_and_the_host_sees_no_rule_device_or_mount(
    docker: Docker, images: Images
) -> None:
    """Tests on a developer's machine must not touch its own Docker, nor its firewall."""
    assert images.docker is docker
    before = network()
    docker.run("network", "create", "seen-by-nobody")
    name = docker.run(
        *("run", "--detach", "--network", "seen-by-nobody", "--memory", "64m", BASE),
        *("python", "-c", "import time; time.sleep(600)"),
    ).strip()
    try:
        assert network() == before
        assert str(docker.folder) not in Path("/proc/mounts").read_text()
        assert docker.run("inspect", "--format", "{{.State.Running}}", name).strip() == "true"
    finally:
        docker.run("rm", "--force", name)
        docker.run("network", "rm", "seen-by-nobody")


def test_it_speaks_compose(docker: Docker) -> None:
    """The plugin is the current one, not the retired program in Python."""
    assert "version v2." in docker.run("compose", "version")


def test_killing_the_starter_ends_the_engine_and_its_containers(
    engine_programs: DockerPrograms, images: Images, tmp_path: Path
) -> None:
    """A test run that is killed must leave neither containers nor mounts nor groups."""
    del engine_programs, images  # fetched by now
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path / "place")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert starter.stdout is not None
    with starter, starter.stdout as lines:
        _, pid, *groups = next(line for line in lines if line.startswith("ready")).split()
        running = members(tuple(map(Path, groups)))
        assert int(pid) in running
        assert len(running) > 3  # dockerd, containerd, a shim, a container
        os.kill(starter.pid, signal.SIGKILL)
    assert eventually(lambda: not any(Path(group).exists() for group in groups))
    assert not [pid for pid in running if is_alive(pid)]
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
