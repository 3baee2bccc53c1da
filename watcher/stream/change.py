"""What an informer says about one resource: values that folds consume. Pure."""

from __future__ import annotations

import enum
from collections.abc import Container
from typing import TypeAlias

import msgspec

from common.kube.wire import CronJob, Node, PartialObject, Pod, Workload

Decoded: TypeAlias = Pod | Node | Workload | CronJob | PartialObject


class Op(enum.Enum):
    """What happened."""

    UPSERT = "upsert"  # it is there, as `object` says; it may be said again
    DELETE = "delete"  # it is gone, if it was there
    SYNCED = "synced"  # everything that exists has been said: what is not in `seen` is gone
    RELISTED = "relisted"  # the same, after events may have been missed
    UNDECODABLE = "undecodable"  # it is there, and we cannot read it


class Change(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One change of one resource, in the order in which the server told it."""

    resource: str  # plural, as in `catalog`: pods, replicasets, vulnerabilityreports, …
    op: Op
    # namespace/name, or name. SYNCED and RELISTED: the namespace that is watched, empty for all.
    # UNDECODABLE: empty if not even the name could be read.
    key: str = ""
    uid: str = ""
    version: int = 0  # the resourceVersion; higher is newer. 0: unknown, or not a number
    object: Decoded | None = None  # UPSERT only
    # SYNCED, RELISTED: the keys of everything that exists. None: a name could not be read, so
    # absence proves nothing.
    seen: Container[str] | None = None

    @property
    def namespace(self) -> str:
        """The namespace in the key; empty for cluster-scoped objects."""
        head, slash, _ = self.key.partition("/")
        return head if slash else ""

    @property
    def name(self) -> str:
        """The name in the key."""
        return self.key.rpartition("/")[2]
