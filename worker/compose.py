"""Builds a worker from settings: which adapters stand behind the ports of each pool."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from common.model.image import Inventory
from common.model.key import WORKLOAD_KINDS, ClusterKey, ImageKey, WorkloadKey
from common.model.policies import changed_policies
from common.model.workload import WorkloadRow
from common.ops.match_token import TokenFile, token_file
from common.ops.trivy_program import require_trivy
from common.queue.contract import Claim, Finished
from common.queue.workqueue import WorkQueue
from common.reports.assemble import LabelPolicy
from common.reports.catalog import EXPOSED_SECRET_REPORT, SBOM_REPORT, VULNERABILITY_REPORT
from common.settings.value import Settings
from common.state.budget import BudgetTable
from common.state.circuits import CircuitTable
from common.state.clock import RedisClock
from common.state.connect import Client
from common.state.database import DatabaseTable
from common.state.epoch import EpochTable, Generation, Published, digest_at
from common.state.hidden import HiddenTable
from common.state.identities import IdentityTable
from common.state.images import ImageTable
from common.state.layers import LayerTable
from common.state.names import Names
from common.state.resolutions import ResolutionTable
from common.state.rows import RowTable
from common.state.settled import SettledTable
from common.state.troubles import TroubleTable
from common.state.trusted import TrustTable
from worker.budget import BudgetedDocuments, BudgetedRegistry, BudgetedScanner, Paid
from worker.deliver import KubeAnnouncer
from worker.evidence.cluster.match import TwirpClusterMatcher
from worker.evidence.image.access import Accesses
from worker.evidence.image.credential_provider import ExecProviders, load
from worker.evidence.image.credentials import (
    Keyring,
    KeyringConfig,
    NoProviders,
    Providers,
)
from worker.evidence.image.inventory import SocketScanner
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.policy_run import PolicyRun
from worker.evidence.image.registry import HttpRegistry
from worker.filtering import Filtering
from worker.guard import (
    Guard,
    GuardedApi,
    GuardedBatchMatcher,
    GuardedClusterMatcher,
    GuardedManifests,
    GuardedMatcher,
    GuardedRegistry,
    GuardedScanner,
)
from worker.judge import Judge
from worker.policies import NoPolicies, Policies
from worker.subject.cluster.kbom import KbomReporter
from worker.subject.cluster.reconcile import ClusterReconciler
from worker.subject.cluster.sbom import SbomReporter
from worker.subject.image.once import PullOnce
from worker.subject.image.plan import Refreshing
from worker.subject.image.pull import Pull, PullConfig
from worker.subject.image.reconcile import ImageReconciler
from worker.subject.image.rematch import RematchReconciler
from worker.subject.workload.gather import Gatherer
from worker.subject.workload.reconcile import IgnorePolicies, WorkloadConfig, WorkloadReconciler
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


def published(read: Callable[[], Published]) -> Callable[[], Published]:
    """Return `read` with its last answer kept, once there is one.

    The first rows come right behind the first epoch: who still believes that there is none would
    settle them under 0, and the next sweep would run them once more.
    """

    def known() -> Published | None:
        found = read()
        return found if found.number else None

    get = recent(known)
    return lambda: get() or Published(0, "")


def scan_options(settings: Settings) -> ScanOptions:
    """Return what Trivy looks for; one value for the whole cluster."""
    scanners = ("vuln", "secret") if settings.scanners.exposed_secret else ("vuln",)
    return ScanOptions(
        scanners=scanners,
        skip_files=settings.reports.skip_files,
        skip_dirs=settings.reports.skip_dirs,
        sbom=settings.scanners.sbom,
    )


def scan_digests(options: ScanOptions) -> Callable[[WorkloadRow], str]:
    """Return what tells the options' digest for a workload, whose annotations count."""
    plain = options.digest()

    def digest(row: WorkloadRow) -> str:
        if row.skips is None:
            return plain
        return options.chosen_digest(row.skips.files, row.skips.dirs)

    return digest


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
    environ: Mapping[str, str] = field(default_factory=dict)  # for programs that we start

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
    def budgets(self) -> BudgetTable:
        """Return how much registries may be asked for."""
        return BudgetTable(*self.store, self.settings.limits, draw=self.draw)

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
        digest = digest_at(self.settings, RedisClock(*self.store))
        return Generation(published(EpochTable(*self.store).published), recent(digest))

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
                operator_namespace=own_namespace(chosen.everybodys_namespace),
                workload_secrets=chosen.workload_secrets,
            ),
            self.providers,
        )

    @cached_property
    def providers(self) -> Providers:
        """Return the programs that give credentials; raises SettingsError."""
        chosen = self.settings.credentials
        if not chosen.provider_config:
            return NoProviders()
        found = load(chosen.provider_config, chosen.provider_bin_dir)
        return ExecProviders(found, self.environ)


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
            resolver=GuardedRegistry(
                registry=BudgetedRegistry(registry=HttpRegistry(), budgets=parts.budgets),
                guard=parts.guard,
            ),
            keys=parts.keyring,
            accesses=parts.accesses,
        ),
        policies=ignore_policies(parts),
        writer=Writer(Reports(parts.api), lives=_lives(rows), now=_now_text),
        announcer=KubeAnnouncer(Events(parts.api), now=_now),
        troubles=TroubleTable(*store),
        config=WorkloadConfig(
            kinds=report_kinds(settings),
            options=Filtering(settings).at,
            scan_options=scan_digests(scan_options(settings)),
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


def ignore_policies(parts: Parts) -> IgnorePolicies:
    """Return the settings' ignore policies. Raises PreconditionError: Trivy evaluates them."""
    texts = parts.settings.filters.ignore_policies
    if not texts:
        return NoPolicies()
    trivy = require_trivy(parts.settings.trivy.path, parts.environ.get("PATH", os.defpath))
    return Policies(
        texts=texts,
        runner=PolicyRun(trivy=trivy),
        answers=HiddenTable(*parts.store),
        version=trivy.version,
    )


def cluster_reconciler(parts: Parts) -> ClusterReconciler:
    """Build what works on the cluster's own keys."""
    settings, store = parts.settings, parts.store
    rows, images, server_url = RowTable(*store), ImageTable(*store), match_server(settings, store)
    additional = dict(settings.reports.additional_labels)
    filtering, now_s = Filtering(settings), RedisClock(*store).now_s
    return ClusterReconciler(
        rows=rows,
        settled=SettledTable(*store),
        claims=WorkQueue(*store),
        writer=Writer(Reports(parts.api), lives=_lives(rows), now=_now_text),
        sbom=SbomReporter(
            images=images,
            options=scan_options(settings).digest(),
            labels=LabelPolicy(additional=additional, report_ttl=settings.cluster_reports.sbom_ttl),
        ),
        kbom=KbomReporter(
            waiters=images,
            matcher=GuardedClusterMatcher(
                matcher=TwirpClusterMatcher(server_url, token=match_token(settings).read),
                server_url=server_url,
                guard=parts.guard,
            ),
            options=lambda: filtering.at(now_s()),
            labels=LabelPolicy(additional=additional, report_ttl=settings.reports.ttl),
        ),
        epoch=parts.generation.number,
    )


def row_reconciler(parts: Parts) -> Callable[[Claim], Finished]:
    """Build what works on every key that has a row: the pool `reconcile`."""
    workloads, cluster = workload_reconciler(parts), cluster_reconciler(parts)

    def reconcile(claim: Claim) -> Finished:
        return cluster(claim) if isinstance(claim.key, ClusterKey) else workloads(claim)

    return reconcile


def image_reconciler(parts: Parts, *, socket: Path, scanner_name: str) -> ImageReconciler:
    """Build what works on image keys; `socket` is the scanner's, its name the cluster's for it."""
    settings, store = parts.settings, parts.store
    server_url, paid = match_server(settings, store), Paid()
    return ImageReconciler(
        records=ImageTable(*store),
        pull=Pull(
            keys=parts.keyring,
            scanner=GuardedScanner(
                scanner=BudgetedScanner(
                    scanner=SocketScanner(socket), budgets=parts.budgets, paid=paid
                ),
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
            once=_pull_once(parts, paid),
        ),
        matcher=GuardedMatcher(
            matcher=TwirpMatcher(server_url, token=match_token(settings).read),
            server_url=server_url,
            guard=parts.guard,
        ),
        decide=parts.judge,
        now_s=RedisClock(*store).now_s,
        epoch=parts.generation.number,
        is_due=refresh_is_due(settings, store),
    )


def _pull_once(parts: Parts, paid: Paid) -> PullOnce | None:
    """Return what pulls each layer once; None: Trivy pulls by itself."""
    if not parts.settings.limits.pull_proxy:
        return None
    documents = BudgetedDocuments(registry=HttpRegistry(), budgets=parts.budgets, paid=paid)
    return PullOnce(
        manifests=GuardedManifests(registry=documents, guard=parts.guard),
        identities=IdentityTable(*parts.store),
        layers=LayerTable(*parts.store),
        verify=parts.settings.limits.verify_layers,
    )


def rematch_reconciler(parts: Parts) -> RematchReconciler:
    """Build what works on match keys: it needs no scanner and no registry."""
    settings, store = parts.settings, parts.store
    server_url = match_server(settings, store)
    return RematchReconciler(
        records=ImageTable(*store),
        matcher=GuardedBatchMatcher(
            matcher=TwirpMatcher(server_url, token=match_token(settings).read),
            server_url=server_url,
            guard=parts.guard,
        ),
        decide=parts.judge,
        epoch=parts.generation.number,
    )


def refresh_is_due(settings: Settings, store: Store) -> Callable[[ImageKey, Inventory], bool]:
    """Return the test whether a trusted, newer Trivy's turn has come for an image."""
    read, now_s = recent(TrustTable(*store).current), RedisClock(*store).now_s

    def is_due(key: ImageKey, inventory: Inventory) -> bool:
        refreshing = Refreshing(trusted=read(), over_s=settings.verify.refresh_over_s)
        return refreshing.is_due(key, inventory, now_s=now_s())

    return is_due


def match_token(settings: Settings) -> TokenFile:
    """Return where the match server's token is."""
    trivy = settings.trivy
    return token_file(trivy.token_file, settings.ops.data_dir, foreign=bool(trivy.server_url))


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
