"""The parts of the sandbox's Docker engine; `tests/e2e` holds the whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox import docker_launch, docker_plan, node_launch, stand
from sandbox.docker_plan import Plan
from sandbox.docker_programs import DockerPrograms, release
from sandbox.node_plan import Mount

GROUP = Path("/sys/fs/cgroup/cpu/sluice-node-1")


def plan() -> Plan:
    return Plan(
        cgroups=(Mount(controllers=("cpu",), group=GROUP),),
        command=("/cache/dockerd", "--host=unix:///place/docker.sock"),
        environ={"HTTPS_PROXY": "http://user:word@proxy"},
    )


def test_a_plan_is_read_as_it_was_written_and_by_nobody_else(tmp_path: Path) -> None:
    """The environment of a developer may hold a proxy's password."""
    docker_plan.write(plan(), tmp_path / "plan.json")
    assert docker_plan.read(tmp_path / "plan.json") == plan()
    assert (tmp_path / "plan.json").stat().st_mode & 0o077 == 0


def test_the_engine_gets_namespaces_and_cgroups_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its bridge, its packet rules and its mounts would be the host's."""
    did: list[object] = []
    monkeypatch.setattr(node_launch, "join", lambda groups: did.append(list(groups)))
    monkeypatch.setattr(os, "execvp", lambda _file, words: did.append(words))
    docker_plan.write(plan(), tmp_path / "plan.json")
    docker_launch.main(str(tmp_path / "plan.json"))
    joined, command = did
    assert joined == [GROUP]
    assert isinstance(command, tuple)
    assert {"--cgroup", "--pid", "--net", "--mount", "--kill-child", "--fork"} < set(command)
    assert command[-2:] == ("sandbox.docker_init", str(tmp_path / "plan.json"))


def test_its_programs_find_each_other_before_the_hosts(tmp_path: Path) -> None:
    """A containerd of another version, in PATH, is not this engine's."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libdevmapper.so.1").touch()
    found = DockerPrograms(root=tmp_path, compose=tmp_path / "compose")
    assert found.environ()["PATH"].startswith(f"{tmp_path}/usr/bin:{tmp_path}/usr/sbin:")
    assert found.environ()["LD_LIBRARY_PATH"] == f"{tmp_path}/lib"
    assert found.plugins() == {"docker-compose": tmp_path / "compose"}


def test_packages_of_one_release_are_not_taken_for_anothers() -> None:
    """Their libraries are the release's."""
    bookworm, trixie = ({"ID": "debian", "VERSION_ID": number} for number in ("12", "13"))
    assert release(bookworm) != release(trixie)
    assert release({}).startswith("none")


def test_a_program_with_several_names_is_copied_once(tmp_path: Path) -> None:
    """The Kubernetes components are one file of 136 MB; an image must not hold it thrice."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "kubernetes").write_text("all")
    for name in ("etcd", "kube-apiserver"):
        (cache / name).symlink_to("kubernetes")
    names = ("etcd", "kube-apiserver", "kubernetes")
    stand.gather({name: cache / name for name in names}, tmp_path / "made")
    made = {path.name: path.is_symlink() for path in (tmp_path / "made").iterdir()}
    assert made == {"etcd": True, "kube-apiserver": True, "kubernetes": False}
    assert (tmp_path / "made/etcd").read_text() == "all"
