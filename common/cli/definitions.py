"""Which report definitions a cluster has, read by name and without their schemas.

An account of one namespace may not read definitions: then a list of reports tells that one exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from common.kube.errors import DeniedError, KindMissingError, NotFoundError
from common.kube.negotiate import METADATA, METADATA_LIST
from common.kube.paths import REPORTS, object_path
from common.kube.session import Session
from common.kube.wire import PartialObject
from common.reports.catalog import BY_KIND, CATALOG, PRODUCED_KINDS

_ROOT = "/apis/apiextensions.k8s.io/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """What could be found out."""

    labels: Mapping[str, Mapping[str, str]] | None  # of each that exists; None: may not be read
    missing: tuple[str, ...]  # of all; of those alone that we write where labels may not be read
    looked_in: str = ""  # the namespace whose lists of reports were asked instead


def look_for_definitions(session: Session, targets: Sequence[str]) -> Definitions:
    """Find out which definitions exist, with the chart's rights: those of namespaces suffice.

    `targets` are the namespaces whose lists are asked where definitions may not be read, an empty
    one meaning all; none: definitions must be readable. Raises what the session raises.
    """
    try:
        found = definitions_found(session)
    except DeniedError:
        if not targets:
            raise
        return Definitions(
            labels=None, missing=_unserved(session, targets[0]), looked_in=targets[0]
        )
    return Definitions(labels=found, missing=missing(found))


def missing(found: Mapping[str, object]) -> tuple[str, ...]:
    """Return the definitions that the cluster lacks. Pure."""
    return tuple(row.crd_name for row in CATALOG if row.crd_name not in found)


def _unserved(session: Session, namespace: str) -> tuple[str, ...]:
    """Return the definitions of reports that we write whose lists nobody serves."""
    lacking = []
    for row in (BY_KIND[kind] for kind in PRODUCED_KINDS):
        path = object_path(REPORTS, row.plural, namespace=namespace)
        try:
            session.request("GET", path, query=(("limit", "1"),), accept=METADATA_LIST)
        except (NotFoundError, KindMissingError):
            lacking.append(row.crd_name)
    return tuple(lacking)


def definitions_found(session: Session) -> dict[str, Mapping[str, str]]:
    """Return the labels of each definition of ours that exists, by its name."""
    found: dict[str, Mapping[str, str]] = {}
    for row in CATALOG:
        path = object_path(_ROOT, "customresourcedefinitions", name=row.crd_name)
        try:
            body = session.request("GET", path, accept=METADATA).body
        except NotFoundError:
            continue
        labels = msgspec.json.decode(body, type=PartialObject).metadata.labels
        found[row.crd_name] = labels or {}
    return found
