"""What `sluice run` is about to do, told before anything is written."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from common.cli.checks.cluster import INSTALL_BY_ANOTHER, elsewhere, peer_fault
from common.cli.definitions import look_for_definitions
from common.cli.layout import columns
from common.cli.tables import open_session
from common.kube.cluster import Cluster
from common.kube.errors import DeniedError
from common.kube.identity import key_space
from common.kube.lease import lease_place
from common.kube.session import Session
from common.model.errors import PreconditionError, SourceUnavailableError
from common.ops.refusals import arranged_first
from common.overview.words import counted
from common.reports.catalog import (
    CLUSTER_SBOM_REPORT,
    CLUSTER_VULNERABILITY_REPORT,
    EXPOSED_SECRET_REPORT,
    GROUP,
    SBOM_REPORT,
    VULNERABILITY_REPORT,
)
from common.settings.value import Scope, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Where it will work, and what it will write."""

    context: str
    host: str
    server_version: str
    cluster: str  # the key space's name in Redis
    namespaces: str
    kinds: tuple[str, ...]
    missing_definitions: tuple[str, ...]
    unseen: str  # what this account cannot see, in words; empty: nothing
    redis: str
    lease: str  # where the Lease stands; empty: there is no election
    data_dir: str

    def shown(self) -> str:
        """Return it for people."""
        kinds = ", ".join(f"{kind}s" for kind in self.kinds) or "no reports"
        rows = [
            ("cluster", f"{self.context} ({self.host}, {self.server_version})"),
            ("namespaces", self.namespaces),
            ("writes", f"{kinds}, and Events on workloads whose images cannot be scanned"),
            ("redis", self.redis),
            *(
                [("lease", f"{self.lease}: where another run holds it, this watcher stands by")]
                if self.lease
                else []
            ),
            ("data", self.data_dir),
        ]
        if self.missing_definitions:
            count = counted(len(self.missing_definitions), "report definition")
            rows.insert(2, ("installs", f"{count} (CRDs of {GROUP}) that are missing"))
        if self.unseen:
            rows.append(("trivy-operator", self.unseen))
        return columns(rows)


def look_ahead(settings: Settings) -> Preview:
    """Read what is to be told; nothing is written.

    Raises PreconditionError, naming the remedy, if the cluster does not answer or a trivy-operator
    runs in it.
    """
    with contextlib.closing(open_session(settings)) as session:
        try:
            return _look(session, settings)
        except SourceUnavailableError as exc:
            raise PreconditionError(
                f"{exc}; is the cluster of context {session.context} up, and is it the one you "
                "mean (--context)?"
            ) from exc


def _look(session: Session, settings: Settings) -> Preview:
    cluster, targets = Cluster(session), settings.scope.target_namespaces
    version = cluster.server_version()
    for operator in cluster.trivy_operators(targets):
        if operator.ready:
            fault = peer_fault(operator)
            raise PreconditionError(f"trivy-operator {fault.said}; {fault.remedy}")
    found = look_for_definitions(session, targets)
    if found.missing and found.labels is None:
        raise PreconditionError(
            f"the API server knows no {', '.join(found.missing)}; {INSTALL_BY_ANOTHER}"
        )
    address = settings.redis.address
    key_space_name = settings.redis.cluster or _identity(cluster)
    return Preview(
        context=session.context,
        host=session.host,
        server_version=version,
        cluster=key_space_name,
        namespaces=namespaces_text(settings.scope),
        kinds=kinds_on(settings),
        missing_definitions=found.missing,
        unseen=elsewhere(targets) if targets else "",
        redis=address.shown if address else "an embedded Valkey in the data folder",
        lease=_lease(settings, key_space_name),
        data_dir=settings.ops.data_dir,
    )


def _identity(cluster: Cluster) -> str:
    """Return the key space's default name; who may not read it is told of the setting."""
    try:
        return key_space(cluster)
    except DeniedError as exc:
        raise PreconditionError(
            f"{arranged_first(exc)}; or set SLUICE_CLUSTER to a name for this cluster"
        ) from exc


def _lease(settings: Settings, cluster: str) -> str:
    """Return the Lease that the watcher will stand for: it is told its key space by name."""
    if not settings.pipeline.leader_election:
        return ""
    return str(lease_place(settings.scope.operator_namespace, cluster))


def namespaces_text(scope: Scope) -> str:
    """Return which namespaces are scanned. Pure."""
    if scope.target_namespaces:
        return ", ".join(scope.target_namespaces)
    if scope.exclude_namespaces:
        return f"all but {', '.join(scope.exclude_namespaces)}"
    return "all"


def kinds_on(settings: Settings) -> tuple[str, ...]:
    """Return the kinds of reports that are switched on. Pure."""
    scanners, cluster = settings.scanners, settings.cluster_reports
    switches = {
        VULNERABILITY_REPORT: scanners.vulnerability,
        EXPOSED_SECRET_REPORT: scanners.exposed_secret,
        SBOM_REPORT: scanners.sbom,
        CLUSTER_SBOM_REPORT: cluster.any,
        CLUSTER_VULNERABILITY_REPORT: cluster.kbom,
    }
    return tuple(kind for kind, on in switches.items() if on)
