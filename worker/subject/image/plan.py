"""Decides what an image key needs: an inventory first, or only a match. Pure, total."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from common.model.errors import (
    BadReferenceError,
    ImageNotFoundError,
    OutOfMemoryError,
    UnauthorizedError,
)
from common.model.image import Failure, ImageRecord, ImageUse, Inventory
from common.model.key import ImageKey
from common.model.refs import parse_reference
from common.model.spread import turn_s
from common.model.trivy_version import Trusted, is_newer

# Faults of our own parts, which say nothing about the image. A restart heals them in seconds.
OUR_PARTS = frozenset(
    {
        "CacheDamaged",
        "CacheLocked",
        "DatabaseChanging",
        "DatabaseDownloadFailed",
        "DatabaseUnusable",
        "JavaDatabaseMissing",
        "LayerCacheUnavailable",
        "MatchFailed",
        "MatchServerRefused",
        "MatchServerUnavailable",
        "MatchServerUnreadable",
        "ScannerTooNew",
        "OptionsChanged",
        "ScannerUnavailable",
        "ScratchFull",
    }
)
# Reasons that say something about the name or the credentials, not about the image.
_REFUSED = frozenset(
    {BadReferenceError.reason, ImageNotFoundError.reason, UnauthorizedError.reason}
)
# Reasons that may be one registry's: where the image has a name elsewhere, that one comes next.
_OF_REGISTRY = frozenset(
    {
        "CertificateRefused",
        "ManifestTooLarge",
        "NameResolution",
        "RateLimited",
        "RegistryRefused",
        "RegistryUnavailable",
        "ScanTimeout",
        "TransferDamaged",
    }
)
_STEP = 4  # uses that a run tries for sure: `credentials.MAX_TRIES`, a credential and none each
# After this it is no restart any more: then users must see.
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """No workload uses the image any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyse:
    """Pull and analyse it: try these uses in turn until one's credentials are taken."""

    attempts: tuple[ImageUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rematch:
    """The inventory stands; ask the match server only."""

    inventory: Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """Analyse it again by a newer Trivy; until that is done the inventory stands."""

    inventory: Inventory
    attempts: tuple[ImageUse, ...]


ImagePlan: TypeAlias = Unused | Analyse | Rematch | Refresh


def plan(record: ImageRecord, uses: Iterable[ImageUse], *, due: bool) -> ImagePlan:
    """Choose the cheapest step that makes the record true; `due`: its inventory is outdated."""
    known = tuple(uses)
    if not known:
        return Unused()
    if record.inventory is not None and due:
        return Refresh(inventory=record.inventory, attempts=attempts(known))
    if record.inventory is not None:
        return Rematch(inventory=record.inventory)
    return Analyse(attempts=attempts(known, after=record.failure))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshing:
    """When inventories of an older Trivy are made again: each at a turn of its own."""

    trusted: Trusted | None  # None: nothing is, and nothing is made again
    over_s: float

    def is_due(self, key: ImageKey, inventory: Inventory, *, now_s: float) -> bool:
        """Whether the image's turn has come."""
        return (
            self.trusted is not None
            and is_newer(self.trusted.version, than=inventory.scanner_version)
            and now_s >= self.trusted.since_s + turn_s(key, over_s=self.over_s)
        )


def attempts(uses: Iterable[ImageUse], *, after: Failure | None = None) -> tuple[ImageUse, ...]:
    """Order the uses for pulling: those whose kubelet ran the image first, then by name.

    A fixed order, so that a retry asks the same registry with the same credentials first; but
    `after` a refusal it begins further on, for a run makes few tries, and after a fault of a
    registry with another one, if the image has a name there. Uses that differ in nothing a registry
    could see are tried once.
    """
    distinct: dict[tuple[str, ...], ImageUse] = {}
    for use in sorted(uses, key=lambda use: (not use.kubelet_ran_it, use.workload, use.reference)):
        distinct.setdefault(_visible(use), use)
    ordered = tuple(distinct.values())
    if after is not None and after.reason in _OF_REGISTRY:
        registries = list(dict.fromkeys(map(_registry, ordered)))
        next_one = registries[after.attempts % len(registries)]
        return tuple(sorted(ordered, key=lambda use: _registry(use) != next_one))
    if after is None or after.reason not in _REFUSED or len(ordered) <= _STEP:
        return ordered
    first = after.attempts * _STEP % len(ordered)
    return ordered[first:] + ordered[:first]


def has_new_names(uses: Iterable[ImageUse], *, than: Iterable[ImageUse]) -> bool:
    """Say whether a registry could tell one of the `uses` from all those before."""
    return not set(map(_visible, uses)) <= set(map(_visible, than))


def _visible(use: ImageUse) -> tuple[str, ...]:
    """Return what of a use a registry could see, and what is skipped for it."""
    skips = msgspec.json.encode((use.skip_files, use.skip_dirs)).decode()
    return (
        use.reference,
        use.digest,
        use.namespace,
        use.service_account,
        skips,
        *use.pull_secrets,
    )


def _registry(use: ImageUse) -> str:
    """Return the registry that the use names; empty where it names none."""
    with contextlib.suppress(BadReferenceError):
        return parse_reference(use.reference).registry
    return ""


def names_of(uses: Iterable[ImageUse]) -> frozenset[str]:
    """Return the names of registries and repositories that the uses hold, whole and in parts."""
    names: set[str] = set()
    for use in uses:
        names.add(use.reference)
        with contextlib.suppress(BadReferenceError):
            reference = parse_reference(use.reference)
            names |= {reference.name, reference.registry, reference.repository}
    return frozenset(names)


def is_told(reason: str, *, failed_for_s: float) -> bool:
    """Whether a failure belongs on the record, where it wakes waiters and reaches users.

    `failed_for_s` is the time since the first failure in a row. One of our own parts that restarts
    must not put an Event on every workload of the cluster.
    """
    return reason not in OUR_PARTS or failed_for_s >= _PATIENCE_S


def needs_room(record: ImageRecord) -> bool:
    """Whether the last try ran out of memory: the next one gets the whole scanner's."""
    return record.failure is not None and record.failure.reason == OutOfMemoryError.reason
