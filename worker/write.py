"""The only writer: makes one stored report the wanted one, and writes nothing when it is.

Everything is conditional: a create fails when somebody was faster, a replacement and a patch carry
the resourceVersion that the decision was made on. Between that read and the write the run asks
whether its key is still its own (`Mine`). A worker that slept past its lease can therefore not
overwrite newer data: another run that began before the question is seen by it, and the write of one
that began later changed the resourceVersion.

What it will miss: a create has no version to carry. One that slept between question and request
brings back a report that was deleted meanwhile; with its owner it goes again, else by the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias, assert_never

import msgspec

from common.kube.resources import ReportMeta
from common.model.errors import ConflictError, TooLargeError
from common.reports.assemble import AnyDraft, assemble, metadata_patch
from common.reports.fit import REPORT_LIMIT_BYTES, fit, size_bytes
from common.reports.labels import MANAGED_BY, MANAGER, OWN_ANNOTATIONS, TRUNCATED_ANNOTATION
from common.reports.stamp import CONTENT_HASH_ANNOTATION, STAMP_ANNOTATION, Stamp, parse
from worker.difference import Create, Keep, Replace, Restamp, Sidestep, Step, Stored, Target, choose

# A conflict means that somebody wrote between our read and our write; three in a row mean a fight,
# which a later run settles better than a loop here.
_TRIES = 3
# After a refusal for size: half of what was thought to fit, for the limit may be set lower.
_SHRINK = 2

# The stamp is compared by its parts. What was left out belongs to the stored body, so it changes
# with the body alone.
_COMPARED = OWN_ANNOTATIONS - {CONTENT_HASH_ANNOTATION, STAMP_ANNOTATION, TRUNCATED_ANNOTATION}

# Says whether the run's key is still its own; raises when nobody can tell.
Mine: TypeAlias = Callable[[], bool]

How: TypeAlias = Literal["created", "replaced", "stamped", "kept", "left", "deleted"]


class ReportStore(Protocol):
    """The API server's reports."""

    def get(self, kind: str, namespace: str, name: str) -> ReportMeta | None:
        """Return metadata only; None: there is none."""

    def create(self, body: Mapping[str, object]) -> ReportMeta:
        """Raise ConflictError when the name is taken, GoneError when the namespace goes."""

    def replace(self, body: Mapping[str, object]) -> ReportMeta:
        """Raise ConflictError when `metadata.resourceVersion` is not the stored one."""

    def patch_metadata(self, meta: ReportMeta, patch: Mapping[str, object]) -> ReportMeta:
        """Raise ConflictError when the patch's resourceVersion is not the stored one."""

    def delete(self, meta: ReportMeta) -> bool:
        """Return False when it was gone; raise ConflictError when it changed since `meta`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of one report."""

    shown: str  # Kind/namespace/name, the name that it really has
    content_hash: str
    how: How
    size_bytes: int = 0  # of the body sent; 0: none was
    truncated: tuple[str, ...] = ()


class Writer:
    """Applies drafts. `lives(kind, namespace, name, uid)` tells whether such a workload exists."""

    def __init__(
        self,
        store: ReportStore,
        *,
        lives: Callable[[str, str, str, str], bool],
        now: Callable[[], str],
    ) -> None:
        self._store = store
        self._lives = lives
        self._now = now  # RFC 3339, UTC, whole seconds

    def apply(self, draft: AnyDraft, stamp: Stamp, *, mine: Mine, expect_absent: bool) -> Written:
        """Make the report true.

        `expect_absent` saves the read before the first write of a new workload. Raises what the
        store raises, and what `mine` raises; ConflictError after three lost races, or when the key
        is another run's by now.
        """
        existing = None if expect_absent else self._read(draft)
        for _ in range(_TRIES):
            step = choose(self._stored(existing, draft), _target(draft, stamp))
            if isinstance(step, Sidestep):
                draft = draft.sidestep()
                existing = self._read(draft)
                continue
            if not isinstance(step, Keep):
                _require(mine, draft.shown)
            try:
                return self._take(step, draft, stamp, existing)
            except ConflictError:
                existing = self._read(draft)
        raise ConflictError(
            f"{draft.shown}: lost {_TRIES} races against another writer; "
            "is a second operator writing reports?"
        )

    def remove(self, shown: str, *, owner_uid: str, mine: Mine) -> bool:
        """Delete `Kind/namespace/name` if `owner_uid` still owns it; whether it did.

        Raises ConflictError when it changed meanwhile, or when the key is another run's by now.
        """
        kind, namespace, name = shown.split("/")
        existing = self._store.get(kind, namespace, name)
        if existing is None or existing.owner is None or existing.owner.uid != owner_uid:
            return False
        _require(mine, shown)
        return self._store.delete(existing)

    def uid_of(self, shown: str) -> str:
        """Return the uid of a stored report; empty: there is none."""
        kind, namespace, name = shown.split("/")
        existing = self._store.get(kind, namespace, name)
        return existing.uid if existing is not None else ""

    def remove_of_cluster(self, shown: str, *, mine: Mine) -> bool:
        """Delete `Kind//name`, which no garbage collector does; whether it was there.

        What neither bears our stamp nor says that a scanner manages it is somebody else's.
        Raises ConflictError as `remove` does.
        """
        kind, namespace, name = shown.split("/")
        existing = self._store.get(kind, namespace, name)
        if existing is None:
            return False
        if parse(existing.annotations) is None and existing.labels.get(MANAGED_BY) != MANAGER:
            return False
        _require(mine, shown)
        return self._store.delete(existing)

    def _read(self, draft: AnyDraft) -> ReportMeta | None:
        return self._store.get(draft.body.kind, draft.namespace, draft.name)

    def _stored(self, existing: ReportMeta | None, draft: AnyDraft) -> Stored | None:
        if existing is None:
            return None
        owner = existing.owner
        return Stored(
            owner_uid=owner.uid if owner else "",
            owner_lives=owner is not None
            and owner.uid != draft.owner_uid
            and self._lives(owner.kind, draft.namespace, owner.name, owner.uid),
            generation=existing.generation,
            labels=existing.labels,
            annotations=existing.annotations,
            stamp=parse(existing.annotations),
        )

    def _take(
        self, step: Step, draft: AnyDraft, stamp: Stamp, existing: ReportMeta | None
    ) -> Written:
        """Perform one step; the body is sent only where the step says so."""
        match step:
            case Keep(why=why):
                how: How = "kept" if why == "Equal" else "left"
                return Written(shown=draft.shown, content_hash=draft.content_hash, how=how)
            case Restamp(generation=generation):
                assert existing is not None  # noqa: S101 # `choose` restamps only what is stored
                self._restamp(draft, _predicting(stamp, generation), existing)
                return Written(shown=draft.shown, content_hash=draft.content_hash, how="stamped")
            case Create(generation=generation):
                return self._send(draft, _predicting(stamp, generation), None)
            case Replace(generation=generation):
                return self._send(draft, _predicting(stamp, generation), existing)
            case Sidestep():  # pragma: no cover # taken in `apply`
                raise ConflictError(f"{draft.shown}: another workload holds the name")
            case _:
                assert_never(step)

    def _send(self, draft: AnyDraft, stamp: Stamp, existing: ReportMeta | None) -> Written:
        """Send the body, smaller when it is refused; correct the stamp if the prediction failed."""
        body = fit(draft.body)
        try:
            meta = self._put(replace(draft, body=body), stamp, existing)
        except TooLargeError:
            body = fit(body, min(size_bytes(body.report), REPORT_LIMIT_BYTES) // _SHRINK)
            meta = self._put(replace(draft, body=body), stamp, existing)
        if meta.generation != stamp.generation:
            self._restamp(draft, _predicting(stamp, meta.generation), meta)
        return Written(
            shown=draft.shown,
            content_hash=draft.content_hash,
            how="created" if existing is None else "replaced",
            size_bytes=size_bytes(body.report),
            truncated=body.truncated,
        )

    def _put(self, draft: AnyDraft, stamp: Stamp, existing: ReportMeta | None) -> ReportMeta:
        marked = _marked(draft, ",".join(draft.body.truncated))
        wanted = assemble(marked, stamp, now=self._now(), existing=existing)
        return self._store.create(wanted) if existing is None else self._store.replace(wanted)

    def _restamp(self, draft: AnyDraft, stamp: Stamp, existing: ReportMeta) -> None:
        """Patch metadata; the mark of what was left out of the stored body stays with it."""
        mark = existing.annotations.get(TRUNCATED_ANNOTATION, "")
        patch = metadata_patch(_marked(draft, mark), stamp, existing=existing)
        self._store.patch_metadata(existing, patch)


def _require(mine: Mine, shown: str) -> None:
    """Raise ConflictError unless the run's key is still its own."""
    if not mine():
        raise ConflictError(f"{shown}: not written, for another run has its key by now")


def _marked(draft: AnyDraft, left_out: str) -> AnyDraft:
    """Say on the report what was left out of it; empty: nothing was."""
    if not left_out:
        return draft
    return replace(draft, annotations={**draft.annotations, TRUNCATED_ANNOTATION: left_out})


def _predicting(stamp: Stamp, generation: int) -> Stamp:
    """Return the stamp with another predicted generation."""
    return msgspec.structs.replace(stamp, generation=generation)


def _target(draft: AnyDraft, stamp: Stamp) -> Target:
    return Target(
        owner_uid=draft.owner_uid,
        content_hash=draft.content_hash,
        epoch=stamp.epoch,
        labels=draft.labels,
        annotations=draft.annotations,
        own_annotations=_COMPARED,
    )
