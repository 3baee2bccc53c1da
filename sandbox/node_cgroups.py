"""The cgroup v1 hierarchies of a node: a group below our own in each, so that limits on us hold.

A node never stands beside its starter's group. Every group of one node has the same name, which
comes from the node's folder. Only `controllers` under /sys/fs/cgroup are touched, and of them only
groups of that name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_INHERITED = ("cpuset.cpus", "cpuset.mems")  # empty in a new group, and then nothing may join it


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """One mounted v1 hierarchy and our place in it."""

    controllers: tuple[str, ...]  # some hosts mount `cpu,cpuacct` as one; `name=systemd` has none
    mount: Path
    own: str  # our group, "/" for the root

    def group(self, name: str) -> Path:
        """Return the folder of the group `name` below our own."""
        return self.mount / self.own.lstrip("/") / name


def hierarchies(self_cgroup: str, mounts: str) -> list[Hierarchy]:
    """Read /proc/self/cgroup and /proc/mounts. Pure.

    cgroup v2 is left out: its line names no controller, its mount has another type.
    """
    mounted: dict[frozenset[str], Path] = {}
    for line in mounts.splitlines():
        _, mount, kind, options, *_ = line.split()
        if kind == "cgroup":
            mounted.setdefault(frozenset(options.split(",")), Path(mount))
    found = []
    for line in self_cgroup.splitlines():
        _, controllers, own = line.split(":", 2)
        names = tuple(filter(None, controllers.split(",")))
        mount_points = [
            path for options, path in mounted.items() if names and options >= set(names)
        ]
        found += [Hierarchy(controllers=names, mount=path, own=own) for path in mount_points[:1]]
    return found


def group_name(folder: Path) -> str:
    """Return the name of the groups of the node that lives in `folder`."""
    return f"sluice-node-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def join(groups: Iterable[Path]) -> None:
    """Make each group and move this process into it. Raises OSError."""
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
        for name in _INHERITED:
            if (group / name).exists():
                (group / name).write_text((group.parent / name).read_text())
        (group / "cgroup.procs").write_text("0")


def remove(groups: Iterable[Path]) -> bool:
    """Remove each group with all below it; say whether none is left.

    A group with a process in it, or one just dying, stays: ask again.
    """
    left = False
    for group in groups:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        left = left or group.exists()
    return not left
