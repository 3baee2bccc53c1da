"""What a report's own labels name, and whether that is what it is about. Pure, total.

The labels by which people, dashboards and scripts find reports are ours like the body, but no
generation tells that somebody changed them: they are compared with what they must be when they
are read, and one truth value is kept.
"""

from __future__ import annotations

import sys
from collections.abc import Collection

from common.kube.wire import ObjectMeta
from common.reports import labels as names
from common.reports.naming import collision_name, container_report_name, is_label_value
from watcher.fold.facts import Controller


def named_by_labels(meta: ObjectMeta) -> Controller | None:
    """Return the owner that the labels name; None: they name none, or only by its hash."""
    labels, annotations = meta.labels or {}, meta.annotations or {}
    kind = labels.get(names.RESOURCE_KIND)
    name = labels.get(names.RESOURCE_NAME) or annotations.get(names.RESOURCE_NAME)
    if not kind or not name:
        return None
    return Controller(kind=sys.intern(kind), name=name, uid="")


def is_labelled(meta: ObjectMeta, owner: Controller, *, replaced: Collection[str]) -> bool:
    """Whether the labels name this owner, the namespace and the container of the report's name.

    `replaced` are label keys that the settings fill; they never replace those of the owner. Only
    what a worker puts right is asked for: a label too many is left.
    """
    labels, annotations = meta.labels or {}, meta.annotations or {}
    expected = names.naming_labels(owner.kind, meta.namespace, owner.name)
    if names.MANAGED_BY not in replaced:
        expected[names.MANAGED_BY] = names.MANAGER
    if any(labels.get(key) != value for key, value in expected.items()):
        return False
    written_out = None if is_label_value(owner.name) else owner.name
    if annotations.get(names.RESOURCE_NAME) != written_out:
        return False
    container = labels.get(names.CONTAINER_NAME, "")
    return names.CONTAINER_NAME in replaced or _fits(meta.name, owner, container)


def _fits(report: str, owner: Controller, container: str) -> bool:
    """Whether a report of that name can be about the container: the plain name, else our own."""
    return report == container_report_name(owner.kind, owner.name, container) or (
        report == collision_name(owner.kind, owner.uid, container)
    )
