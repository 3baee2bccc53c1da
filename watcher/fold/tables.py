"""Taking one change into the tables, and noting which rows it can touch. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from functools import lru_cache
from typing import Protocol, overload

import msgspec
from msgspec.structs import replace

from common.kube.wire import CronJob, Node, PartialObject, Pod, Workload
from common.model.key import WORKLOAD_KINDS, RowKey, WorkloadKey
from common.reports.catalog import CLUSTER_KINDS
from watcher.fold import read
from watcher.fold.clusterreports import read_cluster_report
from watcher.fold.delta import FoldFact, ReportGone, ReportSeen, Unreadable
from watcher.fold.facts import Controller, WorkloadFact
from watcher.fold.kbom import Kbom
from watcher.fold.nodes import DEFAULT_PLATFORM, Nodes
from watcher.fold.pods import Pods
from watcher.fold.reportfacts import read_report
from watcher.fold.reports import Reports
from watcher.fold.touched import Touched
from watcher.fold.workloads import OWNING_KINDS, Workloads
from watcher.stream.catalog import BY_RESOURCE
from watcher.stream.change import Change, Op

_NAMESPACES = 4096


class Selection(Protocol):
    """Which workloads are scanned."""

    def covers(self, namespace: str) -> bool:
        """Return whether anything in the namespace can be selected."""

    def refusal(self, kind: str, namespace: str, labels: Mapping[str, str]) -> str:
        """Return why an object must not be scanned; empty: it may."""


def wants_all(_role: str, _image: str) -> bool:
    """Want every container."""
    return True


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say about folding."""

    selection: Selection
    wants: Callable[[str, str], bool] = wants_all  # a container, by its role and its image
    copied_labels: tuple[str, ...] = ()  # label keys that go onto reports and metrics
    replaced_labels: frozenset[str] = frozenset()  # keys on reports whose values settings fill
    only_current_revisions: bool = True
    cluster_sboms: bool = False  # whether every image name that runs has a row of its own
    kbom: bool = False  # whether the cluster's own software has one
    server_version: str = ""  # of the API server; empty: not known
    platform: str = ""  # of all nodes; empty: each tells its own


class Tables:
    """The folds of all resources, side by side."""

    def __init__(self, options: Options) -> None:
        self._options = options
        # Asked by every event of every Pod, and of ever the same namespaces.
        self._covers = lru_cache(_NAMESPACES)(options.selection.covers)
        self.nodes = Nodes(options.platform or DEFAULT_PLATFORM)
        self.pods = Pods()
        self.workloads = Workloads()
        self.reports = Reports()
        self.kbom = Kbom(options.server_version if options.kbom else "")
        self.kbom_touched = False  # since it was built last
        # By resource and name: what it most likely touches, and at which version it was told.
        self.unreadable: dict[tuple[str, str], tuple[WorkloadKey | None, int]] = {}

    def take(self, change: Change, touched: Touched) -> FoldFact | None:
        """Take a change in; return what it says by itself, apart from the rows that it touches.

        A list's end says nothing here: what it no longer shows was told as deletions before.
        """
        if change.op is Op.UNDECODABLE:
            return self._note_unreadable(change)
        if change.op not in {Op.UPSERT, Op.DELETE}:
            return None
        self.unreadable.pop((change.resource, change.key), None)
        kind = BY_RESOURCE[change.resource].kind
        match change.object:
            case None:
                return self._remove(kind, change, touched)
            case Pod() as pod:
                self._put_pod(pod, touched)
            case Node() as node:
                self._touch_kbom(self.kbom.put_node(node))
                self._move_node(node.metadata.name, read.read_node(node), touched)
            case PartialObject() as report if kind in CLUSTER_KINDS:
                return self._put_cluster_report(kind, report)
            case PartialObject() as report:
                return self._put_report(kind, report, touched)
            case Workload() as owner if kind == "Deployment":
                self._put_deployment(owner, touched)
            case Workload() | CronJob() as owner:
                self._put_workload(kind, owner, touched)
        return None

    def _note_unreadable(self, change: Change) -> FoldFact | None:
        """Note an object that cannot be read; None: that it cannot was said of this version."""
        place, version = (change.resource, change.key), change.version
        if version and self.unreadable.get(place, (None, 0))[1] == version:
            return None
        key = self._likely_key(change)
        self.unreadable[place] = (key, version)
        return Unreadable(resource=change.resource, name=change.key, key=key)

    def _remove(self, kind: str, change: Change, touched: Touched) -> FoldFact | None:
        namespace, name = change.namespace, change.name
        match kind:
            case "Pod":
                self._touch_kbom(self.kbom.remove_pod(namespace, name))
                pod = self.pods.remove(namespace, name)
                if pod is not None:
                    touched.pod(pod)
                self._remove_workload("Pod", namespace, name, touched)
            case "Node":
                self._touch_kbom(self.kbom.remove_node(name))
                self._move_node(name, None, touched)
            case "Deployment":
                if self.workloads.remove_deployment(namespace, name):
                    touched.workloads(self.workloads.children("Deployment", namespace, name))
            case _ if kind in WORKLOAD_KINDS:
                self._remove_workload(kind, namespace, name, touched)
            case _ if kind in CLUSTER_KINDS:
                gone = self.reports.remove(kind, "", name)
                return None if gone is None else ReportGone(report=gone)
            case _:
                return self._remove_report(kind, change, touched)
        return None

    def _put_pod(self, pod: Pod, touched: Touched) -> None:
        meta = pod.metadata
        if not self._covers(meta.namespace):
            return
        if self.kbom.name:
            self._touch_kbom(self.kbom.put_pod(pod))
        fact = read.read_pod(pod, lambda named: self._shared(named, meta.namespace))
        before = self.pods.put(fact)
        if before != fact:
            touched.pod(fact)
            if before is not None and before.controller != fact.controller:
                touched.pod(before)
        if fact.controller is None or fact.controller.kind not in OWNING_KINDS:
            self._put_workload("Pod", pod, touched)
        elif before is not None and before.controller != fact.controller:
            self._remove_workload("Pod", meta.namespace, meta.name, touched)  # it was adopted

    def _put_workload(self, kind: str, owner: Pod | Workload | CronJob, touched: Touched) -> None:
        """Take a workload in; one that is being deleted is gone, a deployer Pod never was one."""
        meta = owner.metadata
        if meta.deletion_timestamp is not None or read.is_deployer(meta):
            self._remove_workload(kind, meta.namespace, meta.name, touched)
            return
        skip = self._options.selection.refusal(kind, meta.namespace, meta.labels or {})
        read_fact = read.read_workload(
            kind,
            owner,
            copied=self._options.copied_labels,
            skip=skip,
            wants=self._options.wants,
        )
        fact = replace(
            read_fact,
            me=self._shared(read_fact.me, meta.namespace),
            controller=self._shared(read_fact.controller, meta.namespace),
        )
        before = self.workloads.put(fact)
        if before != fact:
            self._touch(fact, touched)
            if before is not None:
                self._touch(before, touched)  # it may have left a family, or a gang

    def _remove_workload(self, kind: str, namespace: str, name: str, touched: Touched) -> None:
        gone = self.workloads.remove(WorkloadKey(kind=kind, namespace=namespace, name=name))
        if gone is not None:
            self._touch(gone, touched)

    def _touch(self, fact: WorkloadFact, touched: Touched) -> None:
        """Touch an object's row and those that its change may move."""
        touched.key(fact.key)
        if fact.kind == "ReplicaSet":
            touched.workloads(self.workloads.siblings(fact))  # their successor may be another
        cron_job = self.workloads.cron_job_of(fact)
        if cron_job is not None:
            touched.key(cron_job)
        if fact.kind == "Pod":
            touched.workloads(self.workloads.front(fact))

    def _put_deployment(self, owner: Workload, touched: Touched) -> None:
        meta = owner.metadata
        read_fact = read.read_deployment(meta)
        fact = replace(read_fact, me=self._shared(read_fact.me, meta.namespace))
        if self.workloads.put_deployment(meta.namespace, meta.name, fact):
            touched.workloads(self.workloads.children("Deployment", meta.namespace, meta.name))

    def _move_node(self, name: str, platform: str | None, touched: Touched) -> None:
        """Set (None: remove) a node's platform, and touch the rows for which that matters."""
        default, before = self.nodes.default_platform, self.nodes.platform_of(name)
        if platform is None:
            self.nodes.remove(name)
        else:
            self.nodes.put(name, platform)
        if self.nodes.default_platform != default:
            for key in self.workloads:
                touched.key(key, spread=True)
        elif self.nodes.platform_of(name) != before:
            for pod in self.pods:
                if pod.node == name:
                    touched.pod(pod, spread=True)

    def _put_report(self, kind: str, report: PartialObject, touched: Touched) -> FoldFact | None:
        options = self._options
        read_fact = read_report(
            kind,
            report.metadata,
            copied=options.copied_labels,
            replaced=options.replaced_labels,
        )
        fact = replace(read_fact, owner=self._shared(read_fact.owner, read_fact.namespace))
        before = self.reports.get(kind, fact.namespace, fact.name)
        owners = (fact.workload, before.workload if before is not None else None)
        had = {key: self.reports.has(key) for key in owners if key is not None}
        if not self.reports.put(fact):
            return None
        for key, stored in had.items():
            if self.reports.has(key) != stored:
                touched.key(key)  # a row that was idle has something to do now, or the reverse
        return ReportSeen(report=fact, before=before)

    def _touch_kbom(self, changed: bool) -> None:  # noqa: FBT001 # the one thing that there is to say
        self.kbom_touched = self.kbom_touched or changed

    def _put_cluster_report(self, kind: str, report: PartialObject) -> FoldFact | None:
        """Take in a report about the cluster; no workload's row depends on it."""
        options = self._options
        fact = read_cluster_report(kind, report.metadata, replaced=options.replaced_labels)
        before = self.reports.get(kind, "", fact.name)
        return ReportSeen(report=fact, before=before) if self.reports.put(fact) else None

    def cluster_reports(self, *, but: Container[RowKey]) -> Iterator[RowKey]:
        """Yield what reports of a scanner are about, but these keys; a key may come twice.

        Those of ours always, trivy-operator's where the settings want such reports.
        """
        options = self._options
        for kind in CLUSTER_KINDS:
            for _, name in list(self.reports.names(kind, "")):
                report = self.reports.get(kind, "", name)
                key = report.about if report is not None else None
                if report is None or key is None or key in but:
                    continue
                wanted = options.kbom if report.gist.container else options.cluster_sboms
                if report.stamped or (wanted and report.gist.labelled):
                    yield key

    def _remove_report(self, kind: str, change: Change, touched: Touched) -> FoldFact | None:
        gone = self.reports.remove(kind, change.namespace, change.name)
        if gone is None:
            return None
        key = gone.workload
        if key is not None and not self.reports.has(key):
            touched.key(key)
        return ReportGone(report=gone)

    @overload
    def _shared(self, named: Controller, namespace: str) -> Controller: ...
    @overload
    def _shared(self, named: Controller | None, namespace: str) -> Controller | None: ...
    def _shared(self, named: Controller | None, namespace: str) -> Controller | None:
        """Return the one object by which everything here knows an owner, in whatever order it came.

        A name and a uid take 200 bytes; Pods and reports name theirs eight times over.
        """
        if named is None:
            return None
        found = self.workloads.owner(named, namespace)
        if found is named:
            found = self.pods.owner(named, namespace)
        return self.reports.owner(named, namespace) if found is named else found

    def _likely_key(self, change: Change) -> WorkloadKey | None:
        """Return the workload that an object which cannot be read most likely touches."""
        kind, namespace, name = BY_RESOURCE[change.resource].kind, change.namespace, change.name
        if not name:
            return None
        if kind in WORKLOAD_KINDS:
            pod = self.pods.get(namespace, name) if kind == "Pod" else None
            owner = pod.controller if pod is not None else None
            if owner is not None and owner.kind in OWNING_KINDS:
                kind, name = owner.kind, owner.name
            return WorkloadKey(kind=kind, namespace=namespace, name=name)
        report = self.reports.get(kind, namespace, name)
        if report is None:
            return None
        keys = [key for key in (report.workload, report.claimed) if key is not None]
        living = (key for key in keys if self.workloads.get(key) is not None)
        return next(living, keys[0] if keys else None)
