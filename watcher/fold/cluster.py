"""The fold of the whole cluster: changes in, what changed for somebody out.

    apply(changes) -> facts          fold(prefix) then fold(rest) == fold(all)

A change is taken into the tables, then the rows that it can touch are built again and compared by
fingerprint; only a row that differs leaves as a fact. So what a batch undoes, or what no report
depends on, ends here. No I/O, no clock, no locks: one thread folds, others may only count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import overload

from common.model.clusterrow import ClusterRow, Row
from common.model.key import (
    ClusterKey,
    RowKey,
    WorkloadKey,
    cluster_sbom_key,
    cluster_sbom_of,
)
from common.model.workload import Fingerprint, WorkloadRow, fingerprint
from watcher.fold.byrowkey import ByRowKey
from watcher.fold.delta import FoldFact, RowChanged, RowGone
from watcher.fold.facts import PodFact, WorkloadFact
from watcher.fold.names import ImageNames
from watcher.fold.pods import Seen, see
from watcher.fold.reportfacts import ReportFact
from watcher.fold.reports import Reports
from watcher.fold.rows import Standing, build_row, is_idle
from watcher.fold.tables import Options, Tables
from watcher.fold.touched import Touched
from watcher.fold.unseen import count, unseen
from watcher.stream.change import Change

# A finished Pod of these has still run something; of other owners it says nothing about now.
_FINISHED_TELL = frozenset({"Pod", "Job", "CronJob"})


class Cluster:
    """Everything that the watcher knows of the cluster."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._tables = Tables(options)
        self._prints: ByRowKey[Fingerprint] = ByRowKey()
        self._names = ImageNames()  # stays empty unless the settings want their reports

    @property
    def prints(self) -> Mapping[RowKey, Fingerprint]:
        """The fingerprint of every row; for reading only."""
        return self._prints

    @property
    def reports(self) -> Reports:
        """The index of reports; for reading only."""
        return self._tables.reports

    @property
    def unreadable(self) -> frozenset[WorkloadKey]:
        """Workloads that may exist although no row can be built for them."""
        return frozenset(key for key, _ in self._tables.unreadable.values() if key is not None)

    def objects(self, resource: str) -> int:
        """Return how many objects of a resource are known; any thread may ask."""
        return count(self._tables, resource)

    def walk(self) -> Iterator[RowKey]:
        """Yield the key of every row while changes are applied; see `ByKey.walk`."""
        return self._prints.walk()

    @property
    def workloads(self) -> int:
        """How many workloads have a row."""
        return len(self._prints.workloads)

    def uid_of(self, key: RowKey) -> str:
        """Return the uid of the living workload of that name; empty: there is none.

        Reports about the cluster have no owner that a row could name.
        """
        if not isinstance(key, WorkloadKey):
            return ""
        fact = self._tables.workloads.get(key)
        return fact.uid if fact is not None else ""

    def left_over(self) -> Iterator[RowKey]:
        """Yield what reports about the cluster are about and a scanner made, where no row is.

        Nobody owns them, so no garbage collector takes them away.
        """
        return self._tables.cluster_reports(but=self._prints)

    def report(self, shown: str) -> ReportFact | None:
        """Return the report `Kind/namespace/name`, or None."""
        return self.reports.shown(shown)

    def load(self, changes: Iterable[Change]) -> None:
        """Take changes in without a look at what they touch; `settle` must follow."""
        touched = Touched()
        for change in self._each(changes):
            self._tables.take(change, touched)

    def settle(self) -> list[FoldFact]:
        """Build every row, once everything that exists is loaded; return what differs."""
        keys = [*self._tables.workloads, *self._prints.workloads]
        return self._rebuild(dict.fromkeys(keys, False))

    def apply(self, changes: Iterable[Change]) -> list[FoldFact]:
        """Take changes in, in order; return what changed for somebody, each row at most once."""
        touched = Touched()
        taken = [self._tables.take(change, touched) for change in self._each(changes)]
        facts = [fact for fact in taken if fact is not None]
        keys = touched.expand(self._tables.workloads)
        return [*facts, *self._rebuild(keys)]

    def _each(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Yield the changes, with a deletion for what a reading of everything has not seen."""
        for change in changes:
            if change.seen is None:
                yield change
            else:
                yield from unseen(self._tables, change)

    @overload
    def row(self, key: WorkloadKey) -> WorkloadRow | None: ...
    @overload
    def row(self, key: ClusterKey) -> ClusterRow | None: ...
    @overload
    def row(self, key: RowKey) -> Row | None: ...
    def row(self, key: RowKey) -> Row | None:
        """Return the row of a key; None: no such thing, or nothing to do for it ever."""
        if isinstance(key, WorkloadKey):
            return self._workload_row(key)
        return self._cluster_row(key)

    def _cluster_row(self, key: ClusterKey) -> ClusterRow | None:
        name, kbom = cluster_sbom_of(key), self._tables.kbom
        return kbom.row() if name and name == kbom.name else self._names.row(name)

    def _workload_row(self, key: WorkloadKey) -> WorkloadRow | None:
        workloads = self._tables.workloads
        fact = workloads.get(key)
        if fact is None or workloads.cron_job_of(fact) is not None:
            return None
        if workloads.head(fact) != fact:
            return None
        seen, stored = self._see(fact), self.reports.has(key)
        row = build_row(
            fact,
            seen,
            standing=self._standing(fact, told=seen.has_pods or stored),
            default_platform=self._tables.nodes.default_platform,
            stored=stored,
        )
        return None if is_idle(row) else row

    def _rebuild(self, keys: Mapping[WorkloadKey, bool]) -> list[FoldFact]:
        """Build the rows of `keys` (value: whether the change is spread); return what differs."""
        facts: list[FoldFact] = []
        touched: set[str] = set()
        for key, spread in keys.items():
            row = self._workload_row(key)
            fact = self._compare(key, row, spread=spread)
            if fact is None:
                continue
            facts.append(fact)
            if self._options.cluster_sboms:
                touched |= self._names.put(key, row)
        if self._tables.kbom_touched:
            self._tables.kbom_touched = False
            touched.add(self._tables.kbom.name)
        return [*facts, *self._rebuild_names(touched - {""})]

    def _rebuild_names(self, names: Iterable[str]) -> Iterator[FoldFact]:
        """Build the rows of image names, and of the cluster's own; return what differs."""
        for name in sorted(names):
            key = cluster_sbom_key(name)
            fact = self._compare(key, self._cluster_row(key), spread=True)
            if fact is not None:
                yield fact

    def _compare(self, key: RowKey, row: Row | None, *, spread: bool) -> FoldFact | None:
        """Remember a row's fingerprint; return what differs, None: nothing does."""
        if row is None:
            return RowGone(key=key) if self._prints.pop(key, None) is not None else None
        now = fingerprint(row)
        if self._prints.get(key) == now:
            return None
        self._remember(key, now)
        return RowChanged(key=key, spread=spread)

    def _remember(self, key: RowKey, now: Fingerprint) -> None:
        """Keep a row's fingerprint, a workload's under the name that its fact holds."""
        if not isinstance(key, WorkloadKey):
            self._prints[key] = now
            return
        fact = self._tables.workloads.get(key)
        name = key.name if fact is None else fact.name
        self._prints.pop(key, None)
        self._prints.workloads.put(key.kind, key.namespace, name, now)

    def _see(self, fact: WorkloadFact) -> Seen:
        return see(
            self._pods_of(fact),
            platform_of=self._tables.nodes.platform_of,
            finished_tell=fact.kind in _FINISHED_TELL,
        )

    def _pods_of(self, fact: WorkloadFact) -> Iterator[PodFact]:
        """Yield the Pods whose digests belong to the workload."""
        pods, workloads = self._tables.pods, self._tables.workloads
        if fact.kind == "Pod":
            found = (pods.get(one.namespace, one.name) for one in workloads.gang(fact))
            yield from (pod for pod in found if pod is not None)
            return
        owners = workloads.jobs_of(fact) if fact.kind == "CronJob" else [fact]
        for owner in owners:
            yield from pods.of(owner.me, owner.namespace)

    def _standing(self, fact: WorkloadFact, *, told: bool) -> Standing:
        """Return how a workload stands; `told`: whether its row is, if it is an old revision's.

        To look for a successor is O(n) in a Deployment's revisions, and it keeps as many as it is
        told to.
        """
        workloads = self._tables.workloads
        if not self._options.only_current_revisions or workloads.is_current(fact):
            return Standing()
        return Standing(current=False, successor=workloads.successor(fact) if told else "")
