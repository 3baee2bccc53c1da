"""The cluster: does it answer, are the definitions there and whose, does a peer run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from common.kube.cluster import Operator
from common.model.finding import Fault, Finding, Good, Notice
from common.reports.catalog import CATALOG, CLUSTER_KINDS, PRODUCED_KINDS

_MANAGED_BY = "app.kubernetes.io/managed-by"
_OURS = "kube-sluice"
# This account may not: it has rights in namespaces alone.
INSTALL_BY_ANOTHER = (
    "let somebody who may create CRDs run `sluice crds | kubectl apply --server-side -f -`"
)


def judge_definitions(found: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Yield what is to say about the CRDs; `found` holds the labels of each one there is."""
    needed = [row for row in CATALOG if row.kind in (*PRODUCED_KINDS, *CLUSTER_KINDS)]
    missing = [row.crd_name for row in needed if row.crd_name not in found]
    if missing:
        yield Fault(
            topic="definitions",
            said=f"missing: {', '.join(missing)}",
            remedy="run `sluice crds --install`",
        )
    origins: dict[str, int] = {}
    for row in CATALOG:
        if row.crd_name in found:
            origin = origin_of(found[row.crd_name])
            origins[origin] = origins.get(origin, 0) + 1
    for origin, count in sorted(origins.items()):
        yield Good(topic="definitions", said=f"{count} of {len(CATALOG)} installed by {origin}")


def judge_lists(missing: Sequence[str], *, namespace: str) -> Finding:
    """Return what is to say where only lists of reports may be read, and no definition."""
    if missing:
        return Fault(
            topic="definitions",
            said=f"missing: {', '.join(missing)}",
            remedy=INSTALL_BY_ANOTHER,
        )
    where = namespace or "all namespaces"
    return Good(
        topic="definitions",
        said=f"reports are served in {where}; this account may not read who installed them",
    )


def origin_of(labels: Mapping[str, str]) -> str:
    """Return who installed a definition, by its labels."""
    manager = labels.get(_MANAGED_BY, "")
    if manager == _OURS:
        return _OURS
    return f"somebody else ({manager or 'no manager named'}), trivy-operator perhaps"


def judge_peers(operators: Sequence[Operator], *, targets: Sequence[str]) -> Iterator[Finding]:
    """Yield a fault for each trivy-operator that runs: both would rewrite each other's reports.

    `targets` are the namespaces that were looked into; none: all.
    """
    for operator in operators:
        where = f"{operator.namespace}/{operator.name}"
        if operator.ready:
            yield peer_fault(operator)
        else:
            yield Notice(topic="trivy-operator", said=f"{where} is installed and scaled to 0")
    if targets:
        yield Notice(topic="trivy-operator", said=elsewhere(targets))
    elif not operators:
        yield Good(topic="trivy-operator", said="none here")


def elsewhere(targets: Sequence[str]) -> str:
    """Say what cannot be seen by an account of some namespaces."""
    return (
        f"looked for in {', '.join(targets)} alone; one that runs elsewhere cannot be seen, and "
        "must not watch these namespaces"
    )


def peer_fault(operator: Operator) -> Fault:
    """Return what is wrong with a trivy-operator that runs beside us (trap 36)."""
    where = f"{operator.namespace}/{operator.name}"
    scale = f"kubectl -n {operator.namespace} scale deployment {operator.name} --replicas=0"
    return Fault(
        topic="trivy-operator",
        said=f"{where} runs: it would delete and rewrite our reports for ever, and we its",
        remedy=f"run `{scale}`; its reports stay and are taken over",
    )
