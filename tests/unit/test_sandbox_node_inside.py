"""What happens at a node's start and end, part by part; `tests/e2e` holds the whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from sandbox import node_host, node_launch, node_namespaces, node_plan, node_supervisor
from sandbox.node import Node
from sandbox.node_plan import Mount, Plan
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack

ROOT = Path(__file__).parents[2]
GROUP = Path("/sys/fs/cgroup/cpu/sluice-node-1")


def plan(folder: Path) -> Plan:
    return Plan(
        folder=folder,
        logs=folder,
        cgroups=(Mount(controllers=("cpu",), group=GROUP),),
        commands={},
        search_path="/bin",
        ctr=Path("/bin/ctr"),
        pause_archive=folder / "pause.tar",
        ca=folder / "ca.crt",
        registry_port=5000,
        server_socket=7,
        host_network=8,
    )


def test_the_groups_are_joined_before_the_namespaces_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cgroup namespace shows what is below the groups of the moment it is made."""
    did: list[object] = []
    monkeypatch.setattr(node_launch, "join", lambda groups: did.append(list(groups)))
    monkeypatch.setattr(os, "execvp", lambda _file, words: did.append(words))
    node_plan.write(plan(tmp_path), tmp_path / "plan.json")
    node_launch.main(str(tmp_path / "plan.json"))
    joined, command = did
    assert joined == [GROUP]
    assert isinstance(command, tuple)
    assert {"--cgroup", "--pid", "--net", "--mount", "--kill-child", "--fork"} < set(command)
    assert command[-2:] == ("sandbox.node_init", str(tmp_path / "plan.json"))


def test_the_first_process_ends_with_the_supervisors_status_and_its_last_words(
    tmp_path: Path,
) -> None:
    """They stand in the node's log: without them a node that fails to start says nothing."""
    (tmp_path / "plan.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.node_init", str(tmp_path / "plan.json")],
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
    )
    assert done.returncode == 1
    assert "missing required field" in done.stderr


@pytest.fixture
def two(tmp_path: Path) -> Iterator[dict[str, Process]]:
    parts = {
        name: Process(Command(name=name, argv=("sleep", "60"), log=tmp_path / name)).start()
        for name in ("etcd", "kubelet")
    }
    yield parts
    for part in parts.values():
        part.kill()


def test_the_part_that_ends_first_is_found_without_polling(two: dict[str, Process]) -> None:
    """An idle node must cost nothing; half a node must not live on."""
    os.kill(two["kubelet"].pid, signal.SIGKILL)
    assert node_supervisor._first_to_end(two) is two["kubelet"]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Give the commands that would have been run; groups are mounted below the test's folder."""
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(node_namespaces, "_CGROUPS", tmp_path)
    monkeypatch.setattr(node_namespaces, "_run", lambda *words: commands.append(words))
    return commands


def test_controllers_that_are_mounted_together_keep_a_name_each(
    tmp_path: Path, ran: list[tuple[str, ...]]
) -> None:
    """The kubelet looks for `cpu`, the kernel mounts only `cpu,cpuacct`."""
    node_namespaces._mount_cgroup(Mount(controllers=("cpu", "cpuacct"), group=GROUP))
    assert ran == [
        ("mount", "-t", "cgroup", "-o", "cpu,cpuacct", "cgroup", str(tmp_path / "cpu,cpuacct"))
    ]
    for name in ("cpu", "cpuacct"):
        assert (tmp_path / name).resolve() == tmp_path / "cpu,cpuacct"


def test_a_hierarchy_without_a_controller_is_mounted_as_such(
    tmp_path: Path, ran: list[tuple[str, ...]]
) -> None:
    """Without `none` the kernel takes the name for all controllers."""
    node_namespaces._mount_cgroup(Mount(controllers=("name=systemd",), group=GROUP))
    assert ran == [
        ("mount", "-t", "cgroup", "-o", "none,name=systemd", "cgroup", str(tmp_path / "systemd"))
    ]


def test_a_file_that_leads_nowhere_is_made_before_it_is_bound(
    tmp_path: Path, ran: list[tuple[str, ...]]
) -> None:
    """With systemd-resolved /etc/resolv.conf points into the /run that the node has hidden."""
    target = tmp_path / "run" / "resolve" / "stub.conf"
    link = tmp_path / "resolv.conf"
    link.symlink_to(target)
    node_namespaces._bind_file(tmp_path / "own.conf", str(link), "options attempts:1\n")
    assert target.exists()
    assert ran == [("mount", "--bind", str(tmp_path / "own.conf"), str(target))]


def test_a_command_that_fails_is_named() -> None:
    """Of twenty commands the one that failed is what a user needs."""
    with pytest.raises(PreconditionError, match=r"ls /no/such/folder failed: .*No such file"):
        node_namespaces._run("ls", "/no/such/folder")


def test_a_host_that_cannot_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after a build of minutes and half a folder."""

    def refuse() -> None:
        raise PreconditionError("this host cannot run a node: no root")

    monkeypatch.setattr(node_host, "require", refuse)
    with Place(tmp_path / "place") as place, Stack() as stack:
        with pytest.raises(PreconditionError, match="no root"):
            Node(place, {}, stack, registry_port=5000)
        assert not (place.folder / "node-pki").exists()
