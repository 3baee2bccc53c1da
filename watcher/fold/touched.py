"""Which rows a batch of changes can touch. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from common.model.key import WorkloadKey
from watcher.fold.facts import PodFact, WorkloadFact
from watcher.fold.workloads import OWNING_KINDS, Workloads


class Touched:
    """The rows to build again after a batch; a row that many changes touch is built once."""

    def __init__(self) -> None:
        self._keys: dict[WorkloadKey, bool] = {}  # value: whether only a node touched it

    def key(self, key: WorkloadKey, *, spread: bool = False) -> None:
        """Touch one row; `spread`: a node does, so many rows may be touched at once."""
        self._keys[key] = self._keys.get(key, True) and spread

    def workloads(self, facts: Iterable[WorkloadFact]) -> None:
        """Touch the rows of these objects."""
        for fact in facts:
            self.key(fact.key)

    def pod(self, pod: PodFact, *, spread: bool = False) -> None:
        """Touch the row that tells about a Pod: its owner's, or its own and thereby its gang's."""
        controller = pod.controller
        kind, name = "Pod", pod.name
        if controller is not None and controller.kind in OWNING_KINDS:
            kind, name = controller.kind, controller.name
        self.key(WorkloadKey(kind=kind, namespace=pod.namespace, name=name), spread=spread)

    def expand(self, workloads: Workloads) -> dict[WorkloadKey, bool]:
        """Return every row to build, with whether only nodes touched it.

        A Job of a CronJob stands for the CronJob, a Pod of a gang for the gang's head.
        """
        keys = dict(self._keys)
        for key, spread in self._keys.items():
            fact = workloads.get(key)
            teller = _teller(fact, workloads) if fact is not None else key
            if teller != key:
                keys[teller] = keys.get(teller, True) and spread
        return keys


def _teller(fact: WorkloadFact, workloads: Workloads) -> WorkloadKey:
    """Return the key whose row tells about an object."""
    return workloads.cron_job_of(fact) or workloads.head(fact).key
