"""What the processes of a Docker engine must know. Values only; the plan is a file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sandbox.node_plan import Mount


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One engine."""

    cgroups: tuple[Mount, ...]
    command: tuple[str, ...]  # dockerd's
    environ: dict[str, str]  # dockerd's, and of what it starts


def write(plan: Plan, path: Path) -> None:
    """Store the plan for this user alone: an environment may hold a proxy's password."""
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(plan, enc_hook=str))


def read(path: Path) -> Plan:
    """Load a plan."""
    return msgspec.json.decode(path.read_bytes(), type=Plan, dec_hook=lambda kind, text: kind(text))
