"""A mapping by every key that has a row: workloads as `ByKey` keeps them, the others beside. Pure.

The cluster's own subjects are as many as its images have names, so they need no such thrift.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TypeVar, overload

from common.model.key import ClusterKey, RowKey, WorkloadKey
from watcher.fold.bykey import ByKey

V = TypeVar("V")
D = TypeVar("D")


class ByRowKey(MutableMapping[RowKey, V]):
    """Values by work key; the workloads' come first."""

    __slots__ = ("_subjects", "workloads")

    def __init__(self) -> None:
        self.workloads: ByKey[V] = ByKey()
        self._subjects: dict[ClusterKey, V] = {}

    def __getitem__(self, key: RowKey) -> V:
        return self.workloads[key] if isinstance(key, WorkloadKey) else self._subjects[key]

    @overload
    def get(self, key: RowKey, /) -> V | None: ...
    @overload
    def get(self, key: RowKey, /, default: V) -> V: ...
    @overload
    def get(self, key: RowKey, /, default: D) -> V | D: ...
    def get(self, key: RowKey, /, default: V | D | None = None) -> V | D | None:
        """Return the value; `default` where there is none."""
        if isinstance(key, WorkloadKey):
            return self.workloads.get(key, default)
        return self._subjects.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self.workloads or key in self._subjects

    def __setitem__(self, key: RowKey, value: V) -> None:
        if isinstance(key, WorkloadKey):
            self.workloads[key] = value
        else:
            self._subjects[key] = value

    def __delitem__(self, key: RowKey) -> None:
        if isinstance(key, WorkloadKey):
            del self.workloads[key]
        else:
            del self._subjects[key]

    def walk(self) -> Iterator[RowKey]:
        """Yield every key while others come and go; those that come meanwhile may be missed."""
        yield from self.workloads.walk()
        yield from list(self._subjects)

    def __iter__(self) -> Iterator[RowKey]:
        yield from self.workloads
        yield from self._subjects

    def __len__(self) -> int:
        return len(self.workloads) + len(self._subjects)
