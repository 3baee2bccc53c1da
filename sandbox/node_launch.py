"""Starts a node: joins the node's cgroups, then becomes the one process outside that holds it.

Run as a program: `python -m sandbox.node_launch PLAN`. It becomes `unshare`, which waits for the
node's first process. When either is killed, the kernel ends everything inside.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from sandbox import node_plan
from sandbox.node_cgroups import join

_NAMESPACES = ("--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup")


def main(plan_file: str) -> None:
    """Become the node's process outside."""
    plan = node_plan.read(Path(plan_file))
    enter((mount.group for mount in plan.cgroups), "sandbox.node_init", plan_file)


def enter(groups: Iterable[Path], module: str, plan_file: str) -> None:
    """Join the groups and become `unshare`, which runs `module` with the plan inside.

    In this order: a cgroup namespace shows what is below the groups of the moment it is made.
    """
    join(groups)
    command = ("unshare", *_NAMESPACES, "--mount-proc", "--fork", "--kill-child")
    os.execvp("unshare", (*command, sys.executable, "-m", module, plan_file))  # noqa: S606 -- it shall become this program


if __name__ == "__main__":
    main(sys.argv[1])
