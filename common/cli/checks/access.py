"""What each component may do in the cluster: the rules, and whether our account has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from common.kube.lease import GROUP as COORDINATION
from common.kube.lease import LEASE_VERBS, LeasePlace
from common.model.finding import Fault, Finding, Good, Notice
from common.reports.catalog import BY_KIND, CLUSTER_KINDS, GROUP, PRODUCED_KINDS
from common.settings.operator_keys import MAPS

_REPORTS = tuple(BY_KIND[kind].plural for kind in PRODUCED_KINDS)
_CLUSTER_REPORTS = tuple(BY_KIND[kind].plural for kind in CLUSTER_KINDS)
_WRITE = ("get", "create", "update", "patch", "delete")
_FOLLOW = ("list", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Verbs on resources of one group that a component needs."""

    component: str
    group: str  # empty: the core group
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    everywhere: bool = False  # True: in all namespaces, or not namespaced; else where targets are
    of_cluster: bool = False  # True: on reports about the cluster, where any are written
    elects: bool = False  # True: on the one Lease, and only where there is an election
    names: tuple[str, ...] = ()  # of objects in the product's own namespace; empty: of all
    optional: str = ""  # what is lost without it; empty: it is needed
    instead: str = ""  # what spares it; empty: nothing does


# The chart's roles grant exactly this; a component asks for nothing else.
RULES: tuple[Rule, ...] = (
    Rule(
        component="watcher",
        group="",
        resources=("nodes",),
        verbs=_FOLLOW,
        everywhere=True,
        instead="set SLUICE_PLATFORM to what all nodes are, such as linux-amd64",
    ),
    Rule(
        component="watcher", group="", resources=("pods", "replicationcontrollers"), verbs=_FOLLOW
    ),
    Rule(
        component="watcher",
        group="apps",
        resources=("deployments", "replicasets", "statefulsets", "daemonsets"),
        verbs=_FOLLOW,
    ),
    Rule(component="watcher", group="batch", resources=("jobs", "cronjobs"), verbs=_FOLLOW),
    Rule(component="watcher", group=GROUP, resources=_REPORTS, verbs=_FOLLOW),
    Rule(
        component="watcher",
        group=GROUP,
        resources=_CLUSTER_REPORTS,
        verbs=_FOLLOW,
        everywhere=True,
        of_cluster=True,
    ),
    Rule(
        component="watcher",
        group=COORDINATION,
        resources=("leases",),
        verbs=LEASE_VERBS,
        elects=True,
        instead=(
            "set OPERATOR_NAMESPACE and SLUICE_CLUSTER to what the Lease's Role says, or"
            " SLUICE_LEADER_ELECTION=false for a single watcher"
        ),
    ),
    Rule(
        component="watcher",
        group="",
        resources=("configmaps",),
        verbs=("get",),
        names=MAPS,
        optional="trivy-operator's ConfigMaps are no settings",
    ),
    Rule(component="worker", group=GROUP, resources=_REPORTS, verbs=_WRITE),
    Rule(
        component="worker",
        group=GROUP,
        resources=_CLUSTER_REPORTS,
        verbs=_WRITE,
        everywhere=True,
        of_cluster=True,
    ),
    Rule(
        component="worker",
        group="",
        resources=("events",),
        verbs=("create", "get", "patch"),  # the same failure again raises a count
        optional="failures are not told on the workload",
    ),
    Rule(
        component="worker",
        group="",
        resources=("secrets", "serviceaccounts"),
        verbs=("get",),
        optional="private images that never ran here cannot be pulled",
    ),
)


class CanI(Protocol):
    """Tells what our account may do."""

    def __call__(
        self, verb: str, group: str, resource: str, namespace: str, /, *, name: str = ""
    ) -> bool:
        """Return whether it may; an empty namespace means all, an empty name every object."""


def check_access(
    can_i: CanI,
    *,
    targets: Sequence[str],
    lease: LeasePlace | None,
    nodes: bool = True,
    cluster: bool = True,
) -> Iterator[Finding]:
    """Yield one finding per rule; `targets` are the namespaces to scan, none meaning all.

    `check_configmaps` has one more.
    `lease` is the one that the watcher stands for; None: there is no election. Without `nodes` a
    setting says their platform, and nobody reads them. Without `cluster` nobody writes reports
    about the cluster.
    """
    for rule in RULES:
        if rule.elects:
            if lease is not None:
                yield _finding(rule, list(_missing(rule, can_i, [lease.namespace], lease.name)))
            continue
        if rule.names:
            continue
        if (rule.resources == ("nodes",) and not nodes) or (rule.of_cluster and not cluster):
            continue
        namespaces = targets if targets and not rule.everywhere else ("",)
        yield _finding(rule, list(_missing(rule, can_i, namespaces)))


def check_configmaps(can_i: CanI, home: str) -> Iterator[Finding]:
    """Yield whether trivy-operator's ConfigMaps may be read in `home`, the product's namespace."""
    for rule in RULES:
        if rule.names:
            lacks = (_missing(rule, can_i, [home], name) for name in rule.names)
            yield _finding(rule, [one for each in lacks for one in each])


def _missing(rule: Rule, can_i: CanI, namespaces: Sequence[str], name: str = "") -> Iterator[str]:
    for namespace in namespaces:
        where = f" in {namespace}" if namespace else ""
        for resource in rule.resources:
            lacking = [
                verb
                for verb in rule.verbs
                if not can_i(verb, rule.group, resource, namespace, name=name)
            ]
            if lacking:
                yield f"{', '.join(lacking)} {resource}{f' {name}' if name else ''}{where}"


def _finding(rule: Rule, missing: Sequence[str]) -> Finding:
    topic = f"access of the {rule.component}"
    if not missing:
        return Good(topic=topic, said=f"{', '.join(rule.verbs)} {', '.join(rule.resources)}")
    said = f"this account may not {'; '.join(missing)}"
    if rule.optional:
        return Notice(topic=topic, said=f"{said}: {rule.optional}")
    remedy = f"grant it in a role (API group {rule.group or 'core'}), as the chart does"
    return Fault(
        topic=topic, said=said, remedy=f"{remedy}; or {rule.instead}" if rule.instead else remedy
    )
