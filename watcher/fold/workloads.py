"""Workloads: the objects that may own reports, and how ReplicaSets and Jobs hang together. Pure.

A ReplicaSet is current when its revision is its Deployment's or above it: the deployment controller
creates the ReplicaSet before it raises the Deployment's revision, so "equal" would skip the new one
and no later event would correct that.
"""

from __future__ import annotations

from collections.abc import Iterator

from common.model.key import WorkloadKey
from watcher.fold.bykey import ByKey
from watcher.fold.facts import Controller, DeploymentFact, WorkloadFact
from watcher.fold.owned import Owned

# Kinds whose Pods are told by the owner's row and have none of their own.
OWNING_KINDS = frozenset({"ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job"})


class Workloads:
    """Fold of every object that may own reports, found by key and by controller in O(1)."""

    def __init__(self) -> None:
        self._by_key: ByKey[WorkloadFact] = ByKey()
        self._owned: Owned[WorkloadFact] = Owned()
        self._deployments: dict[str, dict[str, DeploymentFact]] = {}  # by namespace and name

    def get(self, key: WorkloadKey) -> WorkloadFact | None:
        """Return what is known of the object, or None."""
        return self._by_key.get(key)

    def __iter__(self) -> Iterator[WorkloadKey]:
        return iter(self._by_key)

    def put(self, fact: WorkloadFact) -> WorkloadFact | None:
        """Take an object in; return what was known of it before, None for a new one."""
        before = self._by_key.get(fact.key)
        if before == fact:
            return before
        if before is not None:
            self._owned.drop(before)
            del self._by_key[fact.key]  # its name is the key, and leaves with it
        self._by_key.put(fact.kind, fact.namespace, fact.name, fact)
        self._owned.add(fact)
        return before

    def remove(self, key: WorkloadKey) -> WorkloadFact | None:
        """Drop an object; return what was known of it."""
        fact = self._by_key.pop(key, None)
        if fact is not None:
            self._owned.drop(fact)
        return fact

    def put_deployment(self, namespace: str, name: str, fact: DeploymentFact) -> bool:
        """Take a Deployment in; return whether its facts are new."""
        deployments = self._deployments.setdefault(namespace, {})
        before = deployments.pop(name, None)
        deployments[fact.me.name] = fact
        return before != fact

    def remove_deployment(self, namespace: str, name: str) -> bool:
        """Drop a Deployment; return whether it was known."""
        deployments = self._deployments.get(namespace, {})
        found = deployments.pop(name, None) is not None
        if found and not deployments:
            del self._deployments[namespace]
        return found

    def names(self, kind: str, namespace: str) -> Iterator[tuple[str, str]]:
        """Yield namespace and name of all of a kind, in one namespace or (empty) in all."""
        if kind != "Deployment":
            yield from self._by_key.names(kind, namespace)
            return
        for inside, deployments in self._deployments.items():
            if namespace in ("", inside):
                yield from ((inside, name) for name in deployments)

    def count(self, kind: str) -> int:
        """Return how many there are of a kind; safe while another thread folds."""
        if kind != "Deployment":
            return self._by_key.count(kind)
        return sum(len(deployments) for deployments in list(self._deployments.values()))

    def owner(self, named: Controller, namespace: str) -> Controller:
        """Return the one object by which a controller is known here; else what was given."""
        known: DeploymentFact | WorkloadFact | None
        if named.kind == "Deployment":
            known = self._deployments.get(namespace, {}).get(named.name)
        else:
            known = self._by_key.find(named.kind, namespace, named.name)
        if known is not None and known.me == named:
            return known.me
        return self._owned.controller(named, namespace) or named

    def children(self, kind: str, namespace: str, name: str) -> list[WorkloadFact]:
        """Return what an owner of that name controls, whatever uid it has."""
        return self._owned.of((kind, namespace, name))

    def siblings(self, fact: WorkloadFact) -> list[WorkloadFact]:
        """Return what the very controller of `fact` controls, `fact` included."""
        if fact.controller is None:
            return [fact]
        return self._owned.under(fact.controller, fact.namespace)

    def is_current(self, fact: WorkloadFact) -> bool:
        """Return whether `fact` is what its controller wants now.

        Unknown counts as current: to scan an old revision costs a scan, to skip the current one
        costs the truth.
        """
        deployment = self._deployment_of(fact)
        if deployment is None or deployment.revision is None or fact.revision is None:
            return True
        return fact.revision >= deployment.revision

    def successor(self, fact: WorkloadFact) -> str:
        """Return the name of the current ReplicaSet beside `fact`; empty where none is known."""
        current = [one for one in self.siblings(fact) if one is not fact and self.is_current(one)]
        newest = max(current, key=lambda one: (one.revision or 0, one.name), default=None)
        return newest.name if newest else ""

    def gang(self, fact: WorkloadFact) -> list[WorkloadFact]:
        """Return the Pods that share one row with `fact`, the row's head first; [fact] if alone.

        Pods of one controller that is no workload of ours (a workflow, a custom resource, a node)
        with the same containers and images are one subject: a workflow engine leaves thousands.
        The head is the *oldest*: it stays the head for as long as it exists, so its reports stay
        where they are while newer Pods come and go, and they are collected together with it.
        The newest one would move all reports with every step of a workflow.
        """
        if not _in_gang(fact):
            return [fact]
        return self._owned.gang(fact)

    def head(self, fact: WorkloadFact) -> WorkloadFact:
        """Return the oldest of the gang of `fact`, in O(log n): a sync asks it of each Pod."""
        found = self._owned.gang(fact, limit=1) if _in_gang(fact) else []
        return found[0] if found else fact

    def front(self, fact: WorkloadFact) -> list[WorkloadFact]:
        """Return those of whom one is the head now and one was before `fact` came or left.

        Who joins in front makes the head before it the second; who leaves, the second the head.
        """
        return self._owned.gang(fact, limit=2) if _in_gang(fact) else []

    def jobs_of(self, cron_job: WorkloadFact) -> list[WorkloadFact]:
        """Return the Jobs that this very CronJob made."""
        return self._owned.under(cron_job.me, cron_job.namespace)

    def cron_job_of(self, fact: WorkloadFact) -> WorkloadKey | None:
        """Return the key of the CronJob that made a Job, None for any other object."""
        controller = fact.controller
        if fact.kind != "Job" or controller is None or controller.kind != "CronJob":
            return None
        return WorkloadKey(kind="CronJob", namespace=fact.namespace, name=controller.name)

    def _deployment_of(self, fact: WorkloadFact) -> DeploymentFact | None:
        """Return the Deployment above a ReplicaSet if it is known, and is that very object."""
        controller = fact.controller
        if fact.kind != "ReplicaSet" or controller is None or controller.kind != "Deployment":
            return None
        deployment = self._deployments.get(fact.namespace, {}).get(controller.name)
        return deployment if deployment and deployment.me == controller else None


def _in_gang(fact: WorkloadFact) -> bool:
    return fact.kind == "Pod" and fact.controller is not None
