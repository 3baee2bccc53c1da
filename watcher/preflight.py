"""What must be so before a watcher may start; each fault comes with its remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from common.kube.errors import KindMissingError, NotFoundError
from common.kube.lease import GROUP, LEASE_VERBS, LeasePlace
from common.kube.negotiate import METADATA_LIST
from common.kube.session import Query, Reply
from common.model.errors import PreconditionError
from common.settings.value import Scope
from watcher.stream.catalog import Row


class Api(Protocol):
    """The API server."""

    def request(self, method: str, path: str, *, query: Query = (), accept: str = ...) -> Reply:
        """Return the answer; raises an ApiError."""


class Rights(Protocol):
    """What our account may do."""

    def can_i(
        self, verb: str, group: str, resource: str, namespace: str = "", *, name: str = ""
    ) -> bool:
        """Return whether it may; an empty namespace means in all of them."""


class Peer(Protocol):
    """A Deployment that carries trivy-operator's name label."""

    @property
    def namespace(self) -> str:
        """Where it is."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def ready(self) -> int:
        """How many replicas run."""


def check_definitions(api: Api, rows: Iterable[Row], *, namespace: str | None = None) -> None:
    """Raise PreconditionError unless every report kind among `rows` is served.

    Asked in one namespace where no more may be read; None: in all.
    """
    missing = [
        row.kind for row in rows if row.metadata_only and not _is_served(api, row, namespace)
    ]
    if missing:
        raise PreconditionError(
            f"the API server knows no {', '.join(missing)}; install the definitions: "
            "sluice crds --install (or the chart, which brings them)"
        )


def check_peers(peers: Sequence[Peer]) -> None:
    """Raise PreconditionError while a trivy-operator runs: both would rewrite each other's reports.

    One that is scaled to 0 is no obstacle: that is how one moves over and back.
    """
    for peer in peers:
        if peer.ready:
            raise PreconditionError(
                f"trivy-operator runs here ({peer.namespace}/{peer.name}, {peer.ready} ready): "
                "two writers of the same reports never rest. Stop it first: kubectl scale "
                f"--namespace {peer.namespace} deployment/{peer.name} --replicas=0"
            )


def told_by_settings(scope: Scope, *, cluster: str) -> tuple[str, ...]:
    """Return what would need rights in the whole cluster, and is taken from settings instead."""
    told = []
    if cluster:
        told.append(f"the key space's name ({cluster}, SLUICE_CLUSTER)")
    if scope.platform:
        told.append(f"the nodes' platform ({scope.platform}, SLUICE_PLATFORM)")
    return tuple(told)


def check_lease(rights: Rights, lease: LeasePlace | None) -> None:
    """Raise PreconditionError unless our account may hold `lease`; None: there is no election."""
    if lease is None:
        return
    lacking = [
        verb
        for verb in LEASE_VERBS
        if not rights.can_i(verb, GROUP, "leases", lease.namespace, name=lease.name)
    ]
    if lacking:
        raise PreconditionError(
            f"this account may not {', '.join(lacking)} the Lease {lease},"
            f" by which watchers agree who leads; grant it in a Role of namespace"
            f" {lease.namespace}: apiGroups [{GROUP}], resources [leases], verbs"
            f" [{', '.join(LEASE_VERBS)}], as the chart does; or set OPERATOR_NAMESPACE and"
            " SLUICE_CLUSTER, which make its name, to what the Role says; for a single watcher set"
            " SLUICE_LEADER_ELECTION=false"
        )


def _is_served(api: Api, row: Row, namespace: str | None) -> bool:
    try:
        api.request("GET", row.path(namespace), query=(("limit", "1"),), accept=METADATA_LIST)
    except (NotFoundError, KindMissingError):
        return False
    return True
