"""The memory of Pods, as the kernel counts it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.chart.installation import Installation, Pod

MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes."""

    working_set: int = (
        0  # what `kubectl top` shows and limits are about: with shared and file pages
    )
    resident: int = 0  # of processes, pages that several share in equal parts: what `ps` would add

    def __add__(self, other: Memory) -> Memory:
        return Memory(
            working_set=self.working_set + other.working_set,
            resident=self.resident + other.resident,
        )

    @property
    def shown(self) -> str:
        """Return both in MB."""
        return f"{self.working_set / MB:.0f} MB working set, {self.resident / MB:.0f} MB resident"


def memory_of(installation: Installation) -> dict[str, Memory]:
    """Return the memory of each Pod by component; of several Pods their sum."""
    found: dict[str, Memory] = {}
    for pod in installation.pods():
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        found[component] = found.get(component, Memory()) + _of_pod(installation, pod)
    return found


def total(found: dict[str, Memory]) -> Memory:
    """Return the memory of all."""
    return sum(found.values(), Memory())


def _of_pod(installation: Installation, pod: Pod) -> Memory:
    name = f"pod{pod['metadata']['uid']}"
    (group,) = (
        each
        for each in installation.ground.groups(name)
        if (each / "memory.usage_in_bytes").exists()
    )
    used = int((group / "memory.usage_in_bytes").read_text())
    told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return Memory(
        working_set=used - int(told["total_inactive_file"]),
        resident=sum(map(_resident, installation.ground.processes(name))),
    )


def _resident(pid: int) -> int:
    """Return a process's share of memory; 0 for one that has just ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
