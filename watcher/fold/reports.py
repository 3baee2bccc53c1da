"""Reports: an index of what their metadata says, found by name and by owner in O(1).

No body is ever read. Reports map to workloads by kind, namespace and name, never by uid alone: a
report that a zombie wrote for a dead uid must still lead to the workload that lives now. Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator

from common.kube.wire import ObjectMeta
from common.model.key import WorkloadKey
from common.reports import labels as names
from common.reports import stamp
from common.reports.stamp import Stamp, StampArtifact
from watcher.fold.bykey import ByKey
from watcher.fold.facts import Controller, Fact
from watcher.fold.named import is_labelled, named_by_labels
from watcher.fold.pool import Pool
from watcher.fold.read import read_controller

# The severities of a summary, in the order in which `ReportFact.counts` holds them.
SEVERITIES = ("critical", "high", "medium", "low", "unknown")


class ReportGist(Fact, frozen=True):
    """What many reports say alike: all about one image, one container's name, one settings."""

    kind: str
    container: str
    generation: int
    labelled: bool  # the labels say what they must: owner, namespace, container, manager
    named: Controller | None  # by the labels, where that is not the owner; None: it is, or none
    content_hash: str  # empty: no stamp that can be read, so the body is not known to be ours
    epoch: int  # of the stamp; 0 without
    stamped_generation: int  # that the write was to give; 0 without
    artifact: StampArtifact
    counts: tuple[int, ...]  # by SEVERITIES; empty: none in the stamp
    labels: tuple[tuple[str, str], ...]  # the copied ones, for metrics


class ReportFact(Fact, frozen=True):
    """What is known about one stored report."""

    namespace: str
    name: str
    owner: Controller | None  # None: neither an owner reference nor labels name one
    gist: ReportGist

    @property
    def kind(self) -> str:
        """What it is."""
        return self.gist.kind

    @property
    def stamped(self) -> bool:
        """Whether it carries a stamp that can be read."""
        return bool(self.gist.content_hash)

    @property
    def edited(self) -> bool:
        """Whether somebody changed the body after our write.

        Any change of a body raises the generation; our own write stamped the one it would give.
        """
        return self.stamped and self.gist.generation != self.gist.stamped_generation

    @property
    def unreadable(self) -> bool:
        """Whether the stamped hash is of another form: garbage, or another version's."""
        return self.gist.content_hash.startswith(stamp.UNREADABLE)

    @property
    def workload(self) -> WorkloadKey | None:
        """The key of the workload that it is about, whatever uid it names."""
        return self._key(self.owner)

    @property
    def claimed(self) -> WorkloadKey | None:
        """The key of another workload that the labels name; None: they name no other."""
        return self._key(self.gist.named)

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
    gist = ReportGist(
        kind=sys.intern(kind),
        container=sys.intern(labels.get(names.CONTAINER_NAME, "")),
        generation=meta.generation,
        labelled=owner is not None and is_labelled(meta, owner, replaced=replaced),
        named=None if _same(named, owner) else named,
        content_hash=known.content_hash if known else "",
        epoch=known.epoch if known else 0,
        stamped_generation=known.generation if known else 0,
        artifact=known.artifact if known else _NOTHING,
        counts=_counts(known) if known else (),
        labels=tuple(sorted((key, labels[key]) for key in copied if key in labels)),
    )
    return ReportFact(
        namespace=sys.intern(meta.namespace),
        name=meta.name,
        owner=owner,
        gist=gist,
    )


class Reports:
    """Fold of the metadata of all reports."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, dict[str, ReportFact]]] = {}  # kind, namespace, name
        self._by_owner: ByKey[tuple[ReportFact, ...]] = ByKey()
        self._gists: Pool[ReportGist] = Pool()

    def get(self, kind: str, namespace: str, name: str) -> ReportFact | None:
        """Return the report, or None."""
        return self._by_name.get(kind, {}).get(namespace, {}).get(name)

    def shown(self, shown: str) -> ReportFact | None:
        """Return the report that `Kind/namespace/name` names, or None."""
        kind, _, rest = shown.partition("/")
        namespace, _, name = rest.partition("/")
        return self.get(kind, namespace, name)

    def put(self, report: ReportFact) -> bool:
        """Take a report in; return False for one of which all that matters is known."""
        before = self.get(report.kind, report.namespace, report.name)
        if before == report:
            return False
        if before is not None:
            self._drop(before)
        key = report.workload
        siblings = () if key is None else self.of(key)
        kept = self._sharing(report, siblings)
        names = self._by_name.setdefault(kept.kind, {}).setdefault(kept.namespace, {})
        names[kept.name] = kept
        if kept.owner is not None:
            owner = kept.owner
            self._by_owner.put(owner.kind, kept.namespace, owner.name, (*siblings, kept))
        return True

    def remove(self, kind: str, namespace: str, name: str) -> ReportFact | None:
        """Drop a report; return what was known of it."""
        found = self.get(kind, namespace, name)
        if found is not None:
            self._drop(found)
        return found

    def names(self, kind: str, namespace: str) -> Iterator[tuple[str, str]]:
        """Yield namespace and name of all of a kind, in one namespace or (empty) in all."""
        for inside, reports in self._by_name.get(kind, {}).items():
            if namespace in ("", inside):
                yield from ((inside, name) for name in reports)

    def of(self, workload: WorkloadKey) -> tuple[ReportFact, ...]:
        """Return the reports about a workload of that name, whatever uid they name."""
        return self._by_owner.get(workload, ())

    def owner(self, named: Controller, namespace: str) -> Controller:
        """Return the one object by which its reports know an owner; else what was given."""
        about = self._by_owner.find(named.kind, namespace, named.name) or ()
        return next((one.owner for one in about if one.owner == named), None) or named

    def __iter__(self) -> Iterator[ReportFact]:
        """Yield every report; safe while another thread folds, each table is copied first."""
        for namespaces in list(self._by_name.values()):
            for reports in list(namespaces.values()):
                yield from list(reports.values())

    def count(self, kind: str) -> int:
        """Return how many there are of a kind; safe while another thread folds."""
        return sum(len(reports) for reports in list(self._by_name.get(kind, {}).values()))

    def __len__(self) -> int:
        return sum(self.count(kind) for kind in list(self._by_name))

    def _sharing(self, report: ReportFact, siblings: tuple[ReportFact, ...]) -> ReportFact:
        """Return an equal report whose parts are those of the others of its workload, and image."""
        name, owner = report.name, report.owner
        for one in siblings:
            name = one.name if one.name == name else name
            owner = one.owner if one.owner == owner else owner
        return ReportFact(
            namespace=report.namespace,
            name=name,
            owner=owner,
            gist=self._gists.take(report.gist),
        )

    def _drop(self, report: ReportFact) -> None:
        del self._by_name[report.kind][report.namespace][report.name]
        self._gists.give_back(report.gist)
        key = report.workload
        if key is None:
            return
        left = tuple(other for other in self._by_owner[key] if other is not report)
        if left:
            self._by_owner[key] = left
        else:
            del self._by_owner[key]


_NOTHING = StampArtifact()


def _counts(known: Stamp) -> tuple[int, ...]:
    """Return the summary by severity; empty for kinds whose summary counts something else."""
    summary = known.summary
    if "criticalCount" not in summary:
        return ()
    return tuple(summary.get(f"{name}Count", 0) for name in SEVERITIES)


def _controller(meta: ObjectMeta) -> Controller | None:
    """Return the owner that the references name: the controller, else the first one."""
    owners = meta.owner_references or ()
    return read_controller(meta.controller or (owners[0] if owners else None))


def _same(named: Controller | None, owner: Controller | None) -> bool:
    """Whether both name one object; labels tell no uid."""
    if named is None or owner is None:
        return named is owner
    return (named.kind, named.name) == (owner.kind, owner.name)
