"""What a user means by OBJECT: `Kind/namespace/name`, an image, or a key as the ledger writes it.

A report means the workload or image that it was written for; one about the cluster has no
namespace: `ClusterSbomReport/name`.

A Deployment, or any other controller that owns workloads, means the workloads that are current.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from common.model.errors import BadReferenceError
from common.model.image import ImageUse
from common.model.key import (
    WORKLOAD_KINDS,
    ImageKey,
    WorkKey,
    WorkloadKey,
    cluster_sbom_key,
    try_key,
)
from common.model.refs import DEFAULT_REGISTRY, parse_reference
from common.model.workload import Fingerprint, WorkloadRow
from common.overview.tables import Tables
from common.reports.catalog import CATALOG
from common.state.settled import SettledRow

# kubectl's short names, for fingers that know them.
_SHORT = {
    "po": "Pod",
    "rs": "ReplicaSet",
    "rc": "ReplicationController",
    "sts": "StatefulSet",
    "ds": "DaemonSet",
    "cj": "CronJob",
    "deploy": "Deployment",
}
_KINDS = {kind.lower(): kind for kind in (*WORKLOAD_KINDS, "Deployment")}
# Every name by which `kubectl get` knows a report that we write; whether it has a namespace.
_REPORTS = {
    (name, report.scope == "Namespaced"): report.kind
    for report in CATALOG
    if report.produced
    for name in (report.singular, report.plural, *report.short_names)
}


class Rows(Protocol):
    """The watcher's rows."""

    def keys(self) -> Iterator[WorkloadKey]:
        """Yield every key."""

    def get(self, key: WorkloadKey) -> tuple[WorkloadRow, Fingerprint] | None:
        """Return a row, None if there is none."""

    def all(self) -> Iterator[WorkloadRow]:
        """Yield every row."""


class Images(Protocol):
    """The image table."""

    def keys(self) -> list[ImageKey]:
        """Return every image."""

    def uses(self, key: ImageKey) -> list[ImageUse]:
        """Return who uses an image."""


class Reported(Protocol):
    """What converged runs committed."""

    def all(self) -> Iterator[tuple[WorkKey, SettledRow]]:
        """Yield every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Where a name is looked for."""

    rows: Rows
    images: Images
    settled: Reported


def known_in(tables: Tables) -> Known:
    """Return where a cluster's names are looked for."""
    return Known(rows=tables.rows, images=tables.images, settled=tables.settled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A kind, a namespace and a name."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A digest, or a reference as users write it."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report, as the settled rows write it: `Kind/namespace/name`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exactly:
    """A key, in its wire form."""

    key: WorkKey


# How to say OBJECT; a message about one that is not known ends with it.
HINT = (
    "write Kind/namespace/name of a workload or a report, an image as its pod or report names it, "
    "or the beginning of its digest (sha256:…); `kubectl get pods -A -o custom-columns="
    "NAMESPACE:.metadata.namespace,NAME:.metadata.name,IMAGES:.spec.containers[*].image` shows "
    "names and images"
)
Wish: TypeAlias = Named | Image | Report | Exactly


def read_wish(text: str) -> Wish:
    """Return what the text can mean. Pure, total: what is nothing else is an image."""
    key = try_key(text)
    if key is not None:
        return Exactly(key=key)
    match text.split("/"):
        case [kind, name] if name and (sbom := _sbom_meant(kind.lower(), name)):
            return Exactly(key=cluster_sbom_key(sbom))
        case [kind, name] if name and (report := _report_kind(kind, namespaced=False)):
            return Report(name=f"{report}//{name}")
        case [kind, namespace, name] if name and (report := _report_kind(kind, namespaced=True)):
            return Report(name=f"{report}/{namespace}/{name}")
        case [kind, namespace, name] if namespace and name and _is_kind(kind):
            return Named(kind=kind_of(kind), namespace=namespace, name=name)
        case _:
            return Image(text=text)


def _sbom_meant(kind: str, name: str) -> str:
    """Return the ClusterSbomReport that is meant, by itself or by the report about it."""
    return name if kind.partition(".")[0].removesuffix("s") == "clustersbomreport" else ""


def _report_kind(text: str, *, namespaced: bool) -> str:
    """Return the kind of a report from any of its names, its group's after a dot; empty: none."""
    return _REPORTS.get((text.lower().partition(".")[0], namespaced), "")


def _is_kind(text: str) -> bool:
    """Tell a kind from a registry's host or a repository's first part."""
    if kind_of(text) in _KINDS.values():
        return True
    return text.isalnum() and text[:1].isupper()  # Rollout, CloneSet, …


def kind_of(text: str) -> str:
    """Return the kind as Kubernetes spells it, from any case, plural or short name."""
    plain = text.lower()
    short = _SHORT.get(plain)
    return short or _KINDS.get(plain) or _KINDS.get(plain.removesuffix("s")) or text


def keys_meant(wish: Wish, known: Known) -> list[WorkKey]:
    """Return the keys that are meant; empty: nothing of that name is known."""
    match wish:
        case Exactly(key=key):
            return [key]
        case Named():
            return _workloads(wish, known.rows)
        case Report(name=name):
            return [key for key, row in known.settled.all() if name in row.reports]
        case Image(text=text):
            return _images(text, known.rows, known.images)


def _workloads(wish: Named, rows: Rows) -> list[WorkKey]:
    if wish.kind in WORKLOAD_KINDS:
        return [WorkloadKey(kind=wish.kind, namespace=wish.namespace, name=wish.name)]
    near = (key for key in rows.keys() if key.namespace == wish.namespace)  # noqa: SIM118 # no mapping
    owned = [row for row in _rows(near, rows) if _top(row) == (wish.kind, wish.name)]
    current = [row.key for row in owned if row.current]
    return list(current or [row.key for row in owned])


def _rows(keys: Iterable[WorkloadKey], rows: Rows) -> Iterator[WorkloadRow]:
    for key in keys:
        found = rows.get(key)
        if found is not None:
            yield found[0]


def _top(row: WorkloadRow) -> tuple[str, str]:
    return row.top_kind, row.top_name


def _images(text: str, rows: Rows, images: Images) -> list[WorkKey]:
    """Return the images of that digest or reference, and the workloads that name it in vain.

    A reference that no registry resolves leads to no image: what failed is told of the workload.
    Who names no registry may have read the name in `kubectl get vulns`, which shows repository and
    tag alone: where Docker Hub's image is not known, that name of any registry is meant.
    """
    digest = text.rpartition("@")[2]
    if digest.startswith("sha256:"):
        found: list[WorkKey] = [key for key in images.keys() if key.digest.startswith(digest)]  # noqa: SIM118 # no mapping
        if found or "@" not in text:
            return found
        wanted = _canonical(text)
        return [*_naming(lambda said: _canonical(said) == wanted, rows, ())]
    wanted, shown = _canonical(text), _shown(text)
    return _named(lambda said: _canonical(said) == wanted, rows, images) or _named(
        lambda said: _canonical(said).partition("/")[2] in shown, rows, images
    )


def _shown(text: str) -> Collection[str]:
    """Return what `text` can mean without its registry; empty: it names one."""
    registry, _, rest = _canonical(text).partition("/")
    if registry != DEFAULT_REGISTRY or text.startswith((f"{DEFAULT_REGISTRY}/", "docker.io/")):
        return ()
    return {rest, rest.removeprefix("library/")}


def _named(is_meant: Callable[[str], bool], rows: Rows, images: Images) -> list[WorkKey]:
    users: set[str] = set()
    named: list[WorkKey] = []
    for key in images.keys():  # noqa: SIM118 # no mapping
        uses = [use.workload for use in images.uses(key) if is_meant(use.reference)]
        named += [key] if uses else []
        users.update(uses)
    return [*named, *_naming(is_meant, rows, users)]


def _naming(is_meant: Callable[[str], bool], rows: Rows, users: Collection[str]) -> list[WorkKey]:
    """Return the workloads that name the reference and use no image for it."""
    found = [
        row.key
        for row in rows.all()
        if row.current
        and not row.skip
        and str(row.key) not in users
        and any(is_meant(container.image) for container in row.containers)
    ]
    return sorted(set(found))


@functools.cache
def _canonical(text: str) -> str:
    """Return a reference in its one spelling; what is none as it is."""
    try:
        return parse_reference(text).canonical
    except BadReferenceError:
        return text
