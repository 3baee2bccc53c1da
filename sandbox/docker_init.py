"""What runs inside a Docker engine's namespaces: mounts and loopback, then dockerd.

Run as a program by `docker_launch`. It reaps what is orphaned (the containers' shims are) and ends
with dockerd; then the kernel ends everything in there.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from sandbox import docker_plan
from sandbox.node_init import reap_until_end_of
from sandbox.node_namespaces import bring_loopback_up, mount_system


def main(plan_file: str) -> int:
    """Run dockerd, and return its status when it ends."""
    return reap_until_end_of(lambda: _become_dockerd(Path(plan_file)))


def _become_dockerd(plan_file: Path) -> int:
    """Furnish the namespaces and become dockerd; return only when that fails."""
    try:
        plan = docker_plan.read(plan_file)
        mount_system(plan.cgroups)
        bring_loopback_up()
        os.execve(plan.command[0], plan.command, plan.environ)  # noqa: S606 -- it shall become this program
    except BaseException:  # noqa: BLE001 -- a fork must not unwind into the code of its parent
        traceback.print_exc()
    sys.stderr.flush()
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
