"""Decides how a stored report becomes the wanted one, from metadata alone. Pure, total.

Comparing never fetches a body: the stamp tells the hash of the body as it was built, and
`metadata.generation` tells whether anybody touched it since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from common.reports.stamp import Stamp, is_newer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the API server says about a report, without its body."""

    owner_uid: str  # empty: no controller
    owner_lives: bool  # another workload that exists holds the name
    generation: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    stamp: Stamp | None  # None: not written by us, or somebody removed it


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the report must be."""

    owner_uid: str
    content_hash: str
    epoch: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]  # ours, the stamp's own left out
    own_annotations: frozenset[str]  # every name that we ever set: absent in the target, it goes


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """No report of that name exists."""

    generation: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Write the body; the API server will raise the generation to `generation`."""

    generation: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restamp:
    """The body is true: patch metadata only, which leaves the generation alone."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Nothing to write."""

    why: str  # Equal | NewerEpoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidestep:
    """Another live workload owns the name: take one of our own."""


Step: TypeAlias = Create | Replace | Restamp | Keep | Sidestep


def choose(stored: Stored | None, target: Target) -> Step:
    """Choose the cheapest write that makes the stored report the wanted one."""
    if stored is None:
        return Create()
    if stored.owner_uid != target.owner_uid and stored.owner_lives:
        return Sidestep()
    if stored.stamp is not None and is_newer(stored.stamp.epoch, target.epoch):
        return Keep(why="NewerEpoch")
    why = _body_fault(stored, target)
    if why:
        return Replace(generation=stored.generation + 1, why=why)
    if stored.owner_uid != target.owner_uid or _metadata_differs(stored, target):
        return Restamp(generation=stored.generation)
    return Keep(why="Equal")


def _body_fault(stored: Stored, target: Target) -> str:
    """Return why the stored body cannot be trusted to be the wanted one; empty: it can."""
    if stored.stamp is None:
        return "NoStamp"
    if stored.stamp.generation != stored.generation:
        return "Edited"
    if stored.stamp.content_hash != target.content_hash:
        return "Changed"
    return ""


def _metadata_differs(stored: Stored, target: Target) -> bool:
    """Compare what is ours; foreign labels and annotations are nobody's business."""
    if any(stored.labels.get(name) != value for name, value in target.labels.items()):
        return True
    if any(stored.annotations.get(name) != value for name, value in target.annotations.items()):
        return True
    return any(
        name in stored.annotations and name not in target.annotations
        for name in target.own_annotations
    )
