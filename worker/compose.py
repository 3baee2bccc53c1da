"""Builds a worker from settings: which adapters stand behind the ports of each pool."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, TypeVar

from common.kube.credentials import Credentials
from common.kube.events import Events
from common.kube.identity import own_namespace
from common.kube.resources import Reports
from common.kube.session import Api, Session
from common.model.circuit import changed_circuits
from common.model.errors import DatabaseNotReadyError
from common.model.key import WORKLOAD_KINDS, WorkloadKey
from common.model.policies import changed_policies
from common.ops.version import VERSION
from common.queue.workqueue import WorkQueue
from common.reports.assemble import LabelPolicy
from common.reports.catalog import EXPOSED_SECRET_REPORT, SBOM_REPORT, VULNERABILITY_REPORT
from common.settings.value import Settings
from common.state.circuits import CircuitTable
from common.state.clock import RedisClock
from common.state.connect import Client
from common.state.database import DatabaseTable
from common.state.epoch import EpochTable, Generation, generation_digest
from common.state.images import ImageTable
from common.state.layers import LayerTable
from common.state.names import Names
from common.state.resolutions import ResolutionTable
from common.state.rows import RowTable
from common.state.settled import SettledTable
from common.state.troubles import TroubleTable
from worker.deliver import KubeAnnouncer
from worker.evidence.image.access import Accesses
from worker.evidence.image.credentials import Keyring, KeyringConfig
from worker.evidence.image.inventory import SocketScanner
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.registry import HttpRegistry
from worker.guard import (
    Guard,
    GuardedApi,
    GuardedManifests,
    GuardedMatcher,
    GuardedRegistry,
    GuardedScanner,
)
from worker.judge import Judge
from worker.project.context import ReportOptions
from worker.subject.image.once import PullOnce
from worker.subject.image.pull import Pull, PullConfig
from worker.subject.image.reconcile import ImageReconciler
from worker.subject.workload.gather import Gatherer
from worker.subject.workload.reconcile import WorkloadConfig, WorkloadReconciler
from worker.write import Writer

# How old a value that all keys share may be: the epoch and the match server's address change a
# few times a day, and a key that meets an old one is corrected by the next sweep.
_SHARED_S = 1.0


T = TypeVar("T")
# Where the tables are: a client and the names of one cluster in it.
Store: TypeAlias = tuple[Client, Names]


def recent(
    read: Callable[[], T], *, clock: Callable[[], float] = time.monotonic
) -> Callable[[], T]:
    """Return `read` with its last answer kept for a second; threads may read twice at once.

    None is not kept: what waits for the first answer is woken by it, and must see it then.
    """
    kept: tuple[float, T] | None = None

    def get() -> T:
        nonlocal kept
        now = clock()
        if kept is None or kept[1] is None or now - kept[0] > _SHARED_S:
            kept = (now, read())
        return kept[1]

    return get


def scan_options(settings: Settings) -> ScanOptions:
    """Return what Trivy looks for; one value for the whole cluster."""
    scanners = ("vuln", "secret") if settings.scanners.exposed_secret else ("vuln",)
    return ScanOptions(
        scanners=scanners,
        skip_files=settings.reports.skip_files,
        skip_dirs=settings.reports.skip_dirs,
        sbom=settings.scanners.sbom,
    )


def report_kinds(settings: Settings) -> frozenset[str]:
    """Return the kinds that are switched on."""
    switches = {
        VULNERABILITY_REPORT: settings.scanners.vulnerability,
        EXPOSED_SECRET_REPORT: settings.scanners.exposed_secret,
        SBOM_REPORT: settings.scanners.sbom,
    }
    return frozenset(kind for kind, on in switches.items() if on)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What both pools share: one Redis, one API server, one policy, one clock."""

    settings: Settings
    store: Store
    session: Session
    draw: Callable[[], float]  # in [0, 1)

    @cached_property
    def circuits(self) -> CircuitTable:
        """Return the circuits that all workers share."""
        changes = self.settings.pipeline.circuit_policies
        return CircuitTable(*self.store, policies=changed_circuits(changes))

    @cached_property
    def guard(self) -> Guard:
        """Return what stands before every source."""
        return Guard(circuits=self.circuits)

    @cached_property
    def judge(self) -> Judge:
        """Return what decides about failed runs."""
        return Judge(
            circuits=self.circuits,
            draw=self.draw,
            policies=changed_policies(self.settings.pipeline.error_policies),
        )

    @cached_property
    def api(self) -> Api:
        """Return the API server under its circuit."""
        return GuardedApi(api=self.session, guard=self.guard)

    @cached_property
    def generation(self) -> Generation:
        """Return the generation that this worker belongs to."""
        digest = generation_digest(self.settings.projection_digest(), VERSION)
        return Generation(recent(EpochTable(*self.store).published), digest)

    @cached_property
    def accesses(self) -> Accesses:
        """Return how registries are reached."""
        return Accesses.of_settings(self.settings)

    @cached_property
    def keyring(self) -> Keyring:
        """Return the pull credentials of this cluster."""
        chosen = self.settings.credentials
        return Keyring(
            Credentials(self.api),
            KeyringConfig(
                accesses=self.accesses,
                shared=dict(chosen.registry_secrets),
                operator_namespace=own_namespace(self.settings.scope.operator_namespace),
                workload_secrets=chosen.workload_secrets,
            ),
        )


def workload_reconciler(parts: Parts) -> WorkloadReconciler:
    """Build what works on workload keys."""
    settings, store = parts.settings, parts.store
    images, rows, settled = ImageTable(*store), RowTable(*store), SettledTable(*store)
    return WorkloadReconciler(
        rows=rows,
        settled=settled,
        successors=images,
        claims=WorkQueue(*store),
        gatherer=Gatherer(
            images=images,
            resolutions=ResolutionTable(*store),
            resolver=GuardedRegistry(registry=HttpRegistry(), guard=parts.guard),
            keys=parts.keyring,
            options=scan_options(settings).digest(),
            accesses=parts.accesses,
        ),
        writer=Writer(Reports(parts.api), lives=_lives(rows), now=_now_text),
        announcer=KubeAnnouncer(Events(parts.api), now=_now),
        troubles=TroubleTable(*store),
        config=WorkloadConfig(
            kinds=report_kinds(settings),
            options=ReportOptions(
                severities=frozenset(settings.reports.severities),
                ignore_unfixed=settings.reports.ignore_unfixed,
                additional_fields=frozenset(settings.reports.additional_fields),
            ),
            labels=LabelPolicy(
                additional=dict(settings.reports.additional_labels),
                report_ttl=settings.reports.ttl,
            ),
            image_wait_s=settings.pipeline.image_wait_s,
        ),
        decide=parts.judge,
        now_s=RedisClock(*store).now_s,
        epoch=parts.generation.number,
    )


def image_reconciler(parts: Parts, *, socket: Path, scanner_name: str) -> ImageReconciler:
    """Build what works on image keys; `socket` is the scanner's, its name the cluster's for it."""
    settings, store = parts.settings, parts.store
    server_url = match_server(settings, store)
    return ImageReconciler(
        records=ImageTable(*store),
        pull=Pull(
            keys=parts.keyring,
            scanner=GuardedScanner(
                scanner=SocketScanner(socket),
                registries=HttpRegistry(),
                name=scanner_name,
                guard=parts.guard,
            ),
            config=PullConfig(
                options=scan_options(settings),
                deadline_s=settings.trivy.scan_timeout_s,
                accesses=parts.accesses,
                server_url=server_url,
                max_bytes=settings.limits.max_image_bytes,
            ),
            once=_pull_once(parts),
        ),
        matcher=GuardedMatcher(
            matcher=TwirpMatcher(server_url), server_url=server_url, guard=parts.guard
        ),
        decide=parts.judge,
        now_s=RedisClock(*store).now_s,
        epoch=parts.generation.number,
    )


def _pull_once(parts: Parts) -> PullOnce | None:
    """Return what pulls each layer once; None: Trivy pulls by itself."""
    if not parts.settings.limits.pull_proxy:
        return None
    return PullOnce(
        manifests=GuardedManifests(registry=HttpRegistry(), guard=parts.guard),
        layers=LayerTable(*parts.store),
        verify=parts.settings.limits.verify_layers,
    )


def match_server(settings: Settings, store: Store) -> Callable[[], str]:
    """Return how to find the match server: the setting, else what the matcher announced."""
    if settings.trivy.server_url:
        return lambda: settings.trivy.server_url
    read = recent(DatabaseTable(*store).current)

    def find() -> str:
        row = read()
        if row is None:
            raise DatabaseNotReadyError(
                "no match server has announced a vulnerability database yet; "
                "is a worker of pool `match` running?"
            )
        return row.server_url

    return find


def _lives(rows: RowTable) -> Callable[[str, str, str, str], bool]:
    """Return the test whether a workload exists under exactly this uid."""

    def lives(kind: str, namespace: str, name: str, uid: str) -> bool:
        if kind not in WORKLOAD_KINDS:
            return False
        found = rows.get(WorkloadKey(kind=kind, namespace=namespace, name=name))
        return found is not None and found[0].uid == uid

    return lives


def _now() -> datetime:
    return datetime.now(UTC)


def _now_text() -> str:
    return _now().strftime("%Y-%m-%dT%H:%M:%SZ")
