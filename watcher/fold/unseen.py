"""All objects of a resource: how many there are, and which of them a reading has not seen. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from common.model.key import WORKLOAD_KINDS
from watcher.fold.tables import Tables
from watcher.stream.catalog import BY_RESOURCE
from watcher.stream.change import Change, Op


def unseen(tables: Tables, reading: Change) -> Iterator[Change]:
    """Yield a deletion for everything known of the resource that the reading's end lacks.

    Its namespace is the reading's: what another one reads is left alone.
    """
    seen = reading.seen
    if seen is None:
        return
    known = (_key(namespace, name) for namespace, name in _names(tables, reading))
    missing = {key for key in (*known, *_unreadable(tables, reading)) if key not in seen}
    for key in sorted(missing):
        yield Change(resource=reading.resource, op=Op.DELETE, key=key)


def count(tables: Tables, resource: str) -> int:
    """Return how many objects of a resource are known; safe while another thread folds."""
    kind = BY_RESOURCE[resource].kind
    match kind:
        case "Node":
            return len(tables.nodes)
        case "Pod":
            return len(tables.pods)
        case _ if kind == "Deployment" or kind in WORKLOAD_KINDS:
            return tables.workloads.count(kind)
        case _:
            return tables.reports.count(kind)


def _names(tables: Tables, reading: Change) -> Iterator[tuple[str, str]]:
    kind, namespace = BY_RESOURCE[reading.resource].kind, reading.key
    match kind:
        case "Node":
            return (("", name) for name in tables.nodes.names())
        case "Pod":
            return tables.pods.keys(namespace)
        case _ if kind == "Deployment" or kind in WORKLOAD_KINDS:
            return tables.workloads.names(kind, namespace)
        case _:
            return tables.reports.names(kind, namespace)


def _unreadable(tables: Tables, reading: Change) -> set[str]:
    prefix = f"{reading.key}/" if reading.key else ""
    return {
        key
        for resource, key in tables.unreadable
        if resource == reading.resource and key.startswith(prefix)
    }


def _key(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name
