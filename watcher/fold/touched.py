"""Which rows a batch of changes can touch. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable

from common.model.key import WorkloadKey
from watcher.fold.facts import PodFact, WorkloadFact
from watcher.fold.owned import OwnerName, name_of
from watcher.fold.workloads import OWNING_KINDS, Workloads


class Touched:
    """The rows to build again after a batch; a row that many changes touch is built once."""

    def __init__(self) -> None:
        self._keys: dict[WorkloadKey, bool] = {}  # value: whether only a node touched it
        self._gangs: dict[OwnerName, bool] = {}

    def key(self, key: WorkloadKey, *, spread: bool = False) -> None:
        """Touch one row; `spread`: a node does, so many rows may be touched at once."""
        self._keys[key] = self._keys.get(key, True) and spread

    def workloads(self, facts: Iterable[WorkloadFact]) -> None:
        """Touch the rows of these objects."""
        for fact in facts:
            self.key(fact.key)

    def pod(self, pod: PodFact, *, spread: bool = False) -> None:
        """Touch the row that tells about a Pod: its owner's, its own or its gang's."""
        controller = pod.controller
        if controller is None or controller.kind not in OWNING_KINDS:
            self.key(WorkloadKey(kind="Pod", namespace=pod.namespace, name=pod.name), spread=spread)
        if controller is None:
            return
        if controller.kind in OWNING_KINDS:
            kind, name = controller.kind, controller.name
            self.key(WorkloadKey(kind=kind, namespace=pod.namespace, name=name), spread=spread)
        else:
            self._gang(name_of(controller, pod.namespace), spread=spread)

    def gang(self, fact: WorkloadFact) -> None:
        """Touch the rows of all Pods beside a Pod of a controller that is no workload."""
        if fact.controller is not None:
            self._gang(name_of(fact.controller, fact.namespace), spread=False)

    def _gang(self, owner: OwnerName, *, spread: bool) -> None:
        self._gangs[owner] = self._gangs.get(owner, True) and spread

    def expand(
        self, workloads: Workloads, *, known: Container[WorkloadKey]
    ) -> dict[WorkloadKey, bool]:
        """Return every row to build, with whether only nodes touched it.

        A Job of a CronJob stands for the CronJob; a gang for its heads, and for those that were
        heads before (`known` rows).
        """
        keys = dict(self._keys)
        for key, spread in self._keys.items():
            fact = workloads.get(key)
            cron_job = workloads.cron_job_of(fact) if fact is not None else None
            if cron_job is not None:
                keys[cron_job] = keys.get(cron_job, True) and spread
        for owner, spread in self._gangs.items():
            heads = {head.key for head in workloads.heads(owner)}
            members = (member.key for member in workloads.children(*owner))
            for key in members:
                if key in heads or key in known:
                    keys[key] = keys.get(key, True) and spread
        return keys
