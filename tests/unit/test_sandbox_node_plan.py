"""The plan crosses from the host into the node as a file, and arrives as it was."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sandbox import node_plan
from sandbox.node_plan import Mount, Plan

PLAN = Plan(
    folder=Path("/place/node"),
    logs=Path("/place/log"),
    cgroups=(Mount(controllers=("cpu", "cpuacct"), group=Path("/sys/fs/cgroup/cpu/x")),),
    commands={"etcd": ("/bin/etcd", "--data-dir=/place/node/etcd")},
    search_path="/bin",
    ctr=Path("/bin/ctr"),
    pause_archive=Path("/place/node/pause.tar"),
    ca=Path("/place/node-pki/ca.crt"),
    registry_port=5000,
    server_socket=7,
    host_network=8,
)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Paths stay paths, tuples stay tuples."""
    node_plan.write(PLAN, tmp_path / "plan.json")
    assert node_plan.read(tmp_path / "plan.json") == PLAN


def test_a_plan_of_another_version_is_refused(tmp_path: Path) -> None:
    """A node must not come up with half of what it was told."""
    (tmp_path / "plan.json").write_text('{"folder": "/place/node"}')
    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        node_plan.read(tmp_path / "plan.json")


def test_a_part_logs_under_its_name() -> None:
    """Where the error messages point."""
    assert PLAN.log("etcd") == Path("/place/log/etcd.log")
