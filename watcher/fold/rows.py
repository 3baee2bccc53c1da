"""From facts to the row that workers read. Pure, total.

What does not matter to a workload's reports must not enter its row: the fingerprint hashes all of
it. So rows are normalised here: a refused workload's Pods, the Pods of a CronJob's runs, and the
cluster's default platform once every container runs are left out.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from common.model.workload import Container, WorkloadRow
from watcher.fold.facts import WorkloadFact
from watcher.fold.nodes import DEFAULT_PLATFORM
from watcher.fold.pods import Seen

API_VERSIONS = {
    "Pod": "v1",
    "ReplicationController": "v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "CronJob": "batch/v1",
    "Job": "batch/v1",
}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a workload stands among its relatives."""

    current: bool = True
    successor: str = ""  # only where it is not current


def build_row(
    fact: WorkloadFact, seen: Seen, *, standing: Standing, default_platform: str, stored: bool
) -> WorkloadRow:
    """Return the row of a workload.

    `seen` is what its Pods tell, `default_platform` the cluster's commonest, `stored` whether
    reports name it.
    """
    if fact.skip:
        seen = Seen()
    containers = _containers(fact, seen)
    top_kind, top_name, top_uid = _top(fact)
    return WorkloadRow(
        kind=fact.kind,
        namespace=fact.namespace,
        name=fact.name,
        uid=fact.uid,
        api_version=API_VERSIONS[fact.kind],
        created_at=fact.created_at,
        containers=containers,
        current=standing.current,
        has_pods=seen.has_pods and fact.kind != "CronJob",
        expects_pods=fact.kind != "CronJob",
        successor=standing.successor,
        top_kind=top_kind,
        top_name=top_name,
        top_uid=top_uid,
        service_account=fact.service_account,
        pull_secrets=fact.pull_secrets,
        default_platform=_assumed_platform(containers, fact, default_platform),
        labels=dict(fact.labels),
        skip=fact.skip,
        skips=fact.skips,
        stored=stored,
    )


def is_idle(row: WorkloadRow) -> bool:
    """Return whether nothing can ever be done for the row, so that it need not exist.

    A refused workload, and an old revision without Pods (a Deployment keeps ten), needs attention
    only while reports name it. Without this every rollout would change ten rows for nothing.
    """
    return not row.stored and (bool(row.skip) or not (row.current or row.has_pods))


def _containers(fact: WorkloadFact, seen: Seen) -> tuple[Container, ...]:
    return tuple(
        Container(
            name=one.name,
            role=one.role,
            image=one.image,
            running=seen.running.get(one.name, ()),
            pull_error=seen.pull_errors.get(one.name, ""),
            loaded=seen.loaded.get(one.name, ()),
        )
        for one in fact.containers
    )


def _assumed_platform(
    containers: Iterable[Container], fact: WorkloadFact, default_platform: str
) -> str:
    """Return the platform to assume, a constant where no container needs it."""
    if fact.skip or all(container.running for container in containers):
        return DEFAULT_PLATFORM
    return fact.placement.assumed(default_platform)


def _top(fact: WorkloadFact) -> tuple[str, str, str]:
    """Return kind, name and uid of the controller that a user knows."""
    controller = fact.controller
    if controller is not None and controller.kind == "Deployment":
        return controller.kind, controller.name, controller.uid
    return fact.kind, fact.name, fact.uid
