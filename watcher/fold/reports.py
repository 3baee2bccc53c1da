"""Reports: an index of what their metadata says, found by name and by owner in O(1).

No body is ever read. Reports map to workloads by kind, namespace and name, never by uid alone: a
report that a zombie wrote for a dead uid must still lead to the workload that lives now. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from functools import lru_cache

from common.kube.wire import ObjectMeta
from common.model.key import WorkloadKey
from common.reports import labels as names
from common.reports import stamp
from common.reports.stamp import Stamp, StampArtifact
from watcher.fold.facts import Controller, Fact
from watcher.fold.named import is_labelled, named_by_labels
from watcher.fold.read import read_controller

# The severities of a summary, in the order in which `ReportFact.counts` holds them.
SEVERITIES = ("critical", "high", "medium", "low", "unknown")
# Images whose names are shared between reports; a cluster with more shares less, nothing else.
_SHARED_ARTIFACTS = 8192


class ReportFact(Fact, frozen=True):
    """What is known about one stored report."""

    kind: str
    namespace: str
    name: str
    version: int  # resourceVersion; the higher is the newer. 0: not a number
    generation: int
    owner: Controller | None  # None: neither an owner reference nor labels name one
    named: Controller | None  # by the labels, where that is not the owner; None: it is, or none
    labelled: bool  # the labels say what they must: owner, namespace, container, manager
    container: str
    content_hash: str  # empty: no stamp that can be read, so the body is not known to be ours
    epoch: int  # of the stamp; 0 without
    stamped_generation: int  # that the write was to give; 0 without
    artifact: StampArtifact
    counts: tuple[int, ...]  # by SEVERITIES; empty: none in the stamp
    labels: tuple[tuple[str, str], ...]  # the copied ones, for metrics

    @property
    def stamped(self) -> bool:
        """Whether it carries a stamp that can be read."""
        return bool(self.content_hash)

    @property
    def edited(self) -> bool:
        """Whether somebody changed the body after our write.

        Any change of a body raises the generation; our own write stamped the one it would give.
        """
        return self.stamped and self.generation != self.stamped_generation

    @property
    def unreadable(self) -> bool:
        """Whether the stamped hash is of another form: garbage, or another version's."""
        return self.content_hash.startswith(stamp.UNREADABLE)

    @property
    def workload(self) -> WorkloadKey | None:
        """The key of the workload that it is about, whatever uid it names."""
        return self._key(self.owner)

    @property
    def claimed(self) -> WorkloadKey | None:
        """The key of another workload that the labels name; None: they name no other."""
        return self._key(self.named)

    def _key(self, owner: Controller | None) -> WorkloadKey | None:
        if owner is None:
            return None
        return WorkloadKey(kind=owner.kind, namespace=self.namespace, name=owner.name)


def read_report(
    kind: str, meta: ObjectMeta, *, copied: tuple[str, ...], replaced: Collection[str] = ()
) -> ReportFact:
    """Return what a report's metadata says.

    `copied` are the label keys that metrics show, `replaced` those whose values the settings fill.
    """
    labels = meta.labels or {}
    known = stamp.parse(meta.annotations or {})
    named = named_by_labels(meta)
    owner = _controller(meta) or named
    return ReportFact(
        kind=kind,
        namespace=sys.intern(meta.namespace),
        name=sys.intern(meta.name),
        version=meta.version,
        generation=meta.generation,
        owner=owner,
        named=None if _same(named, owner) else named,
        labelled=owner is not None and is_labelled(meta, owner, replaced=replaced),
        container=sys.intern(labels.get(names.CONTAINER_NAME, "")),
        content_hash=known.content_hash if known else "",
        epoch=known.epoch if known else 0,
        stamped_generation=known.generation if known else 0,
        artifact=_shared(known.artifact) if known else _NOTHING,
        counts=_counts(known) if known else (),
        labels=tuple(sorted((key, labels[key]) for key in copied if key in labels)),
    )


class Reports:
    """Fold of the metadata of all reports."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, dict[str, ReportFact]]] = {}  # kind, namespace, name
        self._by_owner: dict[WorkloadKey, tuple[ReportFact, ...]] = {}

    def get(self, kind: str, namespace: str, name: str) -> ReportFact | None:
        """Return the report, or None."""
        return self._by_name.get(kind, {}).get(namespace, {}).get(name)

    def shown(self, shown: str) -> ReportFact | None:
        """Return the report that `Kind/namespace/name` names, or None."""
        kind, _, rest = shown.partition("/")
        namespace, _, name = rest.partition("/")
        return self.get(kind, namespace, name)

    def put(self, report: ReportFact) -> bool:
        """Take a report in; return False for one that is older than what is known.

        A write of ours comes back as an event when it pleases; the higher version wins. A cluster
        that was restored from a backup counts from lower versions: restart the watcher then.
        """
        before = self.get(report.kind, report.namespace, report.name)
        if before is not None:
            if report.version < before.version:
                return False
            self._disown(before)
        self._by_name.setdefault(report.kind, {}).setdefault(report.namespace, {})[report.name] = (
            report
        )
        key = report.workload
        if key is not None:
            self._by_owner[key] = (*self._by_owner.get(key, ()), report)
        return True

    def remove(self, kind: str, namespace: str, name: str) -> ReportFact | None:
        """Drop a report; return what was known of it."""
        found = self._by_name.get(kind, {}).get(namespace, {}).pop(name, None)
        if found is not None:
            self._disown(found)
        return found

    def of(self, workload: WorkloadKey) -> tuple[ReportFact, ...]:
        """Return the reports about a workload of that name, whatever uid they name."""
        return self._by_owner.get(workload, ())

    def __iter__(self) -> Iterator[ReportFact]:
        """Yield every report; safe while another thread folds, each table is copied first."""
        for namespaces in list(self._by_name.values()):
            for reports in list(namespaces.values()):
                yield from list(reports.values())

    def __len__(self) -> int:
        return sum(
            len(reports)
            for namespaces in list(self._by_name.values())
            for reports in list(namespaces.values())
        )

    def _disown(self, report: ReportFact) -> None:
        key = report.workload
        if key is None:
            return
        left = tuple(other for other in self._by_owner[key] if other is not report)
        if left:
            self._by_owner[key] = left
        else:
            del self._by_owner[key]


_NOTHING = StampArtifact()


@lru_cache(maxsize=_SHARED_ARTIFACTS)
def _shared(artifact: StampArtifact) -> StampArtifact:
    """Return one object for all equal artifacts: reports and workloads share images."""
    return artifact


@lru_cache(maxsize=_SHARED_ARTIFACTS)
def _shared_counts(counts: tuple[int, ...]) -> tuple[int, ...]:
    return counts


def _counts(known: Stamp) -> tuple[int, ...]:
    """Return the summary by severity; empty for kinds whose summary counts something else."""
    summary = known.summary
    if "criticalCount" not in summary:
        return ()
    return _shared_counts(tuple(summary.get(f"{name}Count", 0) for name in SEVERITIES))


def _controller(meta: ObjectMeta) -> Controller | None:
    """Return the owner that the references name: the controller, else the first one."""
    owners = meta.owner_references or ()
    return read_controller(meta.controller or (owners[0] if owners else None))


def _same(named: Controller | None, owner: Controller | None) -> bool:
    """Whether both name one object; labels tell no uid."""
    if named is None or owner is None:
        return named is owner
    return (named.kind, named.name) == (owner.kind, owner.name)
