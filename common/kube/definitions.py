"""Brings the definitions of the report kinds up to date: ours alone, and never back.

Helm creates what is missing and changes nothing, whatever a new chart brings; so somebody has to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec

from common.kube.cluster import Cluster
from common.kube.negotiate import METADATA
from common.kube.paths import object_path
from common.kube.session import Session
from common.reports.crds import EDITION, EDITION_ANNOTATION, MANAGED_BY

_GROUP = "/apis/apiextensions.k8s.io/v1"
_APPLY = "application/apply-patch+yaml"  # which JSON is, too
# Ours, whoever created it: Helm, kubectl or an older command of ours.
_APPLY_QUERY = (("fieldManager", "kube-sluice"), ("force", "true"))
VERBS = ("get", "create", "patch")  # what `upgrade` asks the API server for


class Stance(Enum):
    """Whose a definition is."""

    OURS = auto()  # of this edition or an older one
    NEWER = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What was found and done, by name."""

    done: Mapping[str, str]  # name -> created or changed
    newer: tuple[str, ...]
    foreign: tuple[str, ...]


class _Meta(msgspec.Struct, frozen=True):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    generation: int = 0


class _Definition(msgspec.Struct, frozen=True):
    metadata: _Meta


def stance(labels: Mapping[str, str], annotations: Mapping[str, str]) -> Stance:
    """Judge a definition by its marks. Pure; a mark that is no number counts as the oldest."""
    name, value = MANAGED_BY
    if labels.get(name) != value:
        return Stance.FOREIGN
    told = annotations.get(EDITION_ANNOTATION, "")
    edition = int(told) if told.isascii() and told.isdigit() else 0
    return Stance.NEWER if edition > EDITION else Stance.OURS


def upgrade(session: Session, crds: Sequence[Mapping[str, Any]]) -> Upgraded:
    """Create the definitions that are missing, bring ours to this edition, and leave the others.

    Reports are not touched: a definition is changed in its place. Raises an ApiError or
    SourceUnavailableError.
    """
    installed = Cluster(session).install_crds(crds)
    done = dict.fromkeys(installed.created, "created")
    newer, foreign = [], []
    for crd in crds:
        name = str(crd["metadata"]["name"])
        if name in done:
            continue
        before = _read(session, name)
        match stance(before.labels or {}, before.annotations or {}):
            case Stance.NEWER:
                newer.append(name)
            case Stance.FOREIGN:
                foreign.append(name)
            case Stance.OURS:
                if _apply(session, name, crd).generation != before.generation:
                    done[name] = "changed"
    return Upgraded(done=done, newer=tuple(newer), foreign=tuple(foreign))


def _read(session: Session, name: str) -> _Meta:
    reply = session.request("GET", _path(name), accept=METADATA)
    return msgspec.json.decode(reply.body, type=_Definition).metadata


def _apply(session: Session, name: str, crd: Mapping[str, Any]) -> _Meta:
    reply = session.request(
        "PATCH",
        _path(name),
        query=_APPLY_QUERY,
        body=msgspec.json.encode(crd),
        content_type=_APPLY,
        accept=METADATA,
    )
    return msgspec.json.decode(reply.body, type=_Definition).metadata


def _path(name: str) -> str:
    return object_path(_GROUP, "customresourcedefinitions", name=name)
