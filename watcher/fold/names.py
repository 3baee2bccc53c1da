"""Image names: which contents run under each, over all workloads. Pure.

A name's row says what kubelets run for it, and no more: who runs it, and how often, matters to no
report about the image. Every method is O(containers of one workload) but `row`, O(contents of one
name): thousands of workloads share a name, and are folded one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

from common.model.clusterrow import SbomRow
from common.model.key import WorkloadKey
from common.model.workload import Running, WorkloadRow
from common.reports.naming import image_sbom_name
from watcher.fold.bykey import ByKey

_Uses: TypeAlias = frozenset[tuple[str, str, Running]]  # report name, reference, what runs


class ImageNames:
    """Fold of the rows of all workloads."""

    def __init__(self) -> None:
        self._of: ByKey[_Uses] = ByKey()
        self._users: dict[str, Counter[tuple[str, Running]]] = {}

    def put(self, key: WorkloadKey, row: WorkloadRow | None) -> set[str]:
        """Take a workload's row in, None: it has none; return the names that it touches."""
        now = _uses(row) if row is not None else frozenset()
        before = self._of.pop(key, frozenset())
        if now:
            self._of[key] = now
        for use in before - now:
            self._count(use, -1)
        for use in now - before:
            self._count(use, 1)
        return {name for name, _, _ in before ^ now}

    def row(self, name: str) -> SbomRow | None:
        """Return the row of a name; None: nothing runs under it."""
        users = self._users.get(name)
        if users is None:
            return None
        return SbomRow(
            name=name,
            reference=min(reference for reference, _ in users),
            images=tuple(sorted({running for _, running in users})),
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._users)

    def _count(self, use: tuple[str, str, Running], change: int) -> None:
        name, reference, running = use
        users = self._users.setdefault(name, Counter())
        place = (reference, running)
        users[place] += change
        if not users[place]:
            del users[place]
        if not users:
            del self._users[name]


def _uses(row: WorkloadRow) -> _Uses:
    """Return what a workload runs, an old revision too; of what is not scanned a row tells none."""
    return frozenset(
        (name, container.image, running)
        for container in row.containers
        if container.running and (name := image_sbom_name(container.image))
        for running in container.running
    )
