"""A node's cgroups stand below its starter's own, are recognised by name, and can be swept."""

from __future__ import annotations

from pathlib import Path

from sandbox.node_cgroups import Hierarchy, group_name, hierarchies, join, remove

SELF = """\
9:name=systemd:/
4:memory:/jobs/one
3:cpuset:/
2:cpu,cpuacct:/user
0::/init.scope
"""
MOUNTS = """\
tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,name=systemd 0 0
cgroup /elsewhere/memory cgroup rw,relatime,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""


def by_name() -> dict[tuple[str, ...], Hierarchy]:
    return {each.controllers: each for each in hierarchies(SELF, MOUNTS)}


def test_hierarchies_are_found_with_our_place_in_each() -> None:
    """A group beside ours would escape the limits set on us."""
    assert by_name()["memory",].group("n") == Path("/sys/fs/cgroup/memory/jobs/one/n")


def test_our_own_group_may_be_the_root() -> None:
    """The path must not become absolute again and leave the mount."""
    assert by_name()["cpuset",].group("n") == Path("/sys/fs/cgroup/cpuset/n")


def test_controllers_mounted_together_stay_together() -> None:
    """The kernel refuses to mount one of them alone."""
    assert by_name()["cpu", "cpuacct"].mount == Path("/sys/fs/cgroup/cpu,cpuacct")


def test_a_named_hierarchy_without_controller_is_kept() -> None:
    """Runc joins it as well."""
    assert ("name=systemd",) in by_name()


def test_cgroup_v2_is_no_hierarchy_of_ours() -> None:
    """Its line has no controllers and its mount another type."""
    assert all(each.controllers for each in by_name().values())
    assert hierarchies("0::/\n", MOUNTS) == []


def test_a_controller_that_is_not_mounted_is_not_found() -> None:
    """`node_host` then tells what lacks."""
    assert hierarchies(SELF, "proc /proc proc rw 0 0\n") == []


def test_two_folders_have_two_names() -> None:
    """Two nodes run side by side and sweep their own groups only."""
    assert group_name(Path("/a/node")) != group_name(Path("/b/node"))
    assert group_name(Path("/a/node")).startswith("sluice-node-")


def test_joining_copies_what_an_empty_cpuset_group_lacks(tmp_path: Path) -> None:
    """The kernel lets nobody into a cpuset group without CPUs and memory nodes."""
    (tmp_path / "cpuset.cpus").write_text("0-1")
    (tmp_path / "cpuset.mems").write_text("0")
    group = tmp_path / "node"
    group.mkdir()
    for name in ("cpuset.cpus", "cpuset.mems"):  # the kernel makes these files
        (group / name).write_text("")
    join([group])
    assert (group / "cpuset.cpus").read_text() == "0-1"
    assert (group / "cpuset.mems").read_text() == "0"
    assert (group / "cgroup.procs").read_text() == "0"


def test_removing_takes_groups_within_groups(tmp_path: Path) -> None:
    """Each Pod and each container has one below the node's."""
    group = tmp_path / "node"
    (group / "kubepods" / "pod1" / "container").mkdir(parents=True)
    assert remove([group, tmp_path / "never-made"])
    assert not group.exists()


def test_a_busy_group_is_reported_and_the_others_go(tmp_path: Path) -> None:
    """A process that dies a moment later must not keep ten hierarchies."""
    busy, idle = tmp_path / "busy", tmp_path / "idle"
    busy.mkdir()
    (busy / "file").touch()  # rmdir refuses, as it does for a group with a process
    idle.mkdir()
    assert not remove([busy, idle])
    assert busy.exists()
    assert not idle.exists()
