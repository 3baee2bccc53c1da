"""Builds a worker from settings: which adapters stand behind the ports of each pool."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from common.kube.events import Events
from common.kube.resources import Reports
from common.model.image import Inventory
from common.model.key import WORKLOAD_KINDS, ClusterKey, ImageKey, WorkloadKey
from common.ops.trivy_program import require_trivy
from common.queue.contract import Claim, Finished
from common.queue.workqueue import WorkQueue
from common.reports.assemble import LabelPolicy
from common.settings.value import Settings
from common.state.clock import RedisClock
from common.state.hidden import HiddenTable
from common.state.identities import IdentityTable
from common.state.images import ImageTable
from common.state.layers import LayerTable
from common.state.resolutions import ResolutionTable
from common.state.rows import RowTable
from common.state.settled import SettledTable
from common.state.troubles import TroubleTable
from common.state.trusted import TrustTable
from worker.budget import BudgetedDocuments, BudgetedRegistry, BudgetedScanner, Paid
from worker.deliver import KubeAnnouncer
from worker.evidence.cluster.match import TwirpClusterMatcher
from worker.evidence.image.inventory import SocketScanner
from worker.evidence.image.java_origin import JavaOrigin
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.policy_run import PolicyRun
from worker.evidence.image.registry import HttpRegistry
from worker.filtering import Filtering, details_of
from worker.guard import (
    GuardedBatchMatcher,
    GuardedClusterMatcher,
    GuardedManifests,
    GuardedMatcher,
    GuardedRegistry,
    GuardedScanner,
)
from worker.parts import (
    Parts,
    Store,
    match_server,
    match_token,
    recent,
    report_kinds,
    scan_digests,
    scan_options,
)
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


def workload_reconciler(parts: Parts) -> WorkloadReconciler:
    """Build what works on workload keys."""
    settings, store = parts.settings, parts.store
    images = ImageTable(*store, details=details_of(settings))
    rows, settled = RowTable(*store), SettledTable(*store)
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
                java=JavaOrigin.of_settings(settings),
            ),
            once=_pull_once(parts, paid),
        ),
        matcher=GuardedMatcher(
            matcher=_matcher(settings, server_url),
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
            matcher=_matcher(settings, server_url),
            server_url=server_url,
            guard=parts.guard,
        ),
        decide=parts.judge,
        epoch=parts.generation.number,
    )


def _matcher(settings: Settings, server_url: Callable[[], str]) -> TwirpMatcher:
    """Return what matches images, and keeps of the findings what somebody will ask for."""
    return TwirpMatcher(server_url, token=match_token(settings).read, details=details_of(settings))


def refresh_is_due(settings: Settings, store: Store) -> Callable[[ImageKey, Inventory], bool]:
    """Return the test whether a trusted, newer Trivy's turn has come for an image."""
    read, now_s = recent(TrustTable(*store).current), RedisClock(*store).now_s

    def is_due(key: ImageKey, inventory: Inventory) -> bool:
        refreshing = Refreshing(trusted=read(), over_s=settings.verify.refresh_over_s)
        return refreshing.is_due(key, inventory, now_s=now_s())

    return is_due


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
