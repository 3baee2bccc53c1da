"""CPU time of a process and all its descendants, also of those that ended, from /proc."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """One process."""

    parent: int
    ticks: int  # its own and of its children that ended and were waited for


def parse(stat: str) -> Used:
    """Read a line of /proc/PID/stat; the name in it may hold spaces and brackets. Pure."""
    fields = stat.rpartition(")")[2].split()
    return Used(parent=int(fields[1]), ticks=sum(map(int, fields[11:15])))


def tree_ticks(root: int, processes: Mapping[int, Used]) -> int:
    """Return the ticks of `root` and of everything below it. Pure.

    Misses a process whose parent ended first: it hangs below another then.
    """
    children: dict[int, list[int]] = {}
    for pid, used in processes.items():
        children.setdefault(used.parent, []).append(pid)
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        if pid in processes:
            total += processes[pid].ticks
        waiting += children.get(pid, ())
    return total


def machine_ticks(stat: str) -> int:
    """Read the first line of /proc/stat: the ticks of all CPUs that were not idle. Pure.

    Its fields: user, nice, system, idle, iowait, irq, softirq, steal, and guests counted before.
    """
    fields = [int(field) for field in stat.splitlines()[0].split()[1:9]]
    return sum(fields[:3]) + sum(fields[5:8])


def machine_cpu_seconds() -> float:
    """Return the CPU seconds that the machine has spent on anything. Linux only."""
    return machine_ticks(Path("/proc/stat").read_text()) / _TICKS_PER_S


def cpu_seconds_of(pids: Iterable[int]) -> float:
    """Return the CPU seconds of these processes, without their living children. Linux only."""
    stats = (Path(f"/proc/{pid}/stat").read_text() for pid in pids)
    return sum(parse(stat).ticks for stat in stats) / _TICKS_PER_S


class Others:
    """How much of the machine is busy with what neither this process nor one below it does."""

    def __init__(self) -> None:
        """Begin to watch."""
        self._began_s = time.monotonic()
        self._cpu_s = self._used_s()

    def cores(self) -> float:
        """Return how many cores were busy with others since the beginning, on average."""
        return (self._used_s() - self._cpu_s) / (time.monotonic() - self._began_s)

    @staticmethod
    def _used_s() -> float:
        return machine_cpu_seconds() - cpu_seconds(os.getpid())


def cpu_seconds(root: int) -> float:
    """Return the CPU seconds that the tree below `root` has used so far. Linux only."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = parse((entry / "stat").read_text())
    return tree_ticks(root, found) / _TICKS_PER_S
