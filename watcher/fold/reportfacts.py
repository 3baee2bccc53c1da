"""What a report's metadata says: whose it is, who wrote it, and what it was then. Pure.

No body is ever read.
"""

from __future__ import annotations

import sys
from collections.abc import Collection

from common.kube.wire import ObjectMeta
from common.model.key import RowKey, WorkloadKey, cluster_sbom_key
from common.reports import labels as names
from common.reports import stamp
from common.reports.catalog import CLUSTER_KINDS
from common.reports.stamp import Stamp, StampArtifact
from watcher.fold.facts import Controller, Fact
from watcher.fold.named import is_labelled, named_by_labels
from watcher.fold.read import read_controller

# The severities of a summary, in the order in which `ReportFact.counts` holds them.
SEVERITIES = ("critical", "high", "medium", "low", "unknown")


_NOTHING = StampArtifact()


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

    @property
    def about(self) -> RowKey | None:
        """The key of what it is about: a workload, or something of the whole cluster."""
        if self.kind in CLUSTER_KINDS:
            return None if self.owner is None else cluster_sbom_key(self.owner.name)
        return self.workload

    def _key(self, owner: Controller | None) -> WorkloadKey | None:
        if owner is None or self.kind in CLUSTER_KINDS:
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
        counts=severity_counts(known) if known else (),
        labels=tuple(sorted((key, labels[key]) for key in copied if key in labels)),
    )
    return ReportFact(
        namespace=sys.intern(meta.namespace),
        name=meta.name,
        owner=owner,
        gist=gist,
    )


def severity_counts(known: Stamp) -> tuple[int, ...]:
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
