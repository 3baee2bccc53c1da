"""Starts a Docker engine: joins its cgroups, then becomes the one process outside that holds it.

Run as a program: `python -m sandbox.docker_launch PLAN`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sandbox import docker_plan
from sandbox.node_launch import enter


def main(plan_file: str) -> None:
    """Become the engine's process outside."""
    plan = docker_plan.read(Path(plan_file))
    enter((mount.group for mount in plan.cgroups), "sandbox.docker_init", plan_file)


if __name__ == "__main__":
    main(sys.argv[1])
