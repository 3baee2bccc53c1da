"""A mapping by work key that stores no keys. Pure.

Two levels of dicts whose inner one is keyed by the name, a string that the value holds anyway: a
dict of `WorkloadKey`s would take 80 bytes more for each entry, and there are several such tables.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TypeVar, overload

from common.model.key import WorkloadKey

V = TypeVar("V")
D = TypeVar("D")


class ByKey(MutableMapping[WorkloadKey, V]):
    """Values by kind, namespace and name. Iteration is in order of kinds and namespaces seen."""

    __slots__ = ("_size", "_tables")

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], dict[str, V]] = {}  # kind and namespace
        self._size = 0

    def __getitem__(self, key: WorkloadKey) -> V:
        return self._tables[(key.kind, key.namespace)][key.name]

    @overload
    def get(self, key: WorkloadKey, /) -> V | None: ...
    @overload
    def get(self, key: WorkloadKey, /, default: V) -> V: ...
    @overload
    def get(self, key: WorkloadKey, /, default: D) -> V | D: ...
    def get(self, key: WorkloadKey, /, default: V | D | None = None) -> V | D | None:
        """Return the value; `default` where there is none."""
        table = self._tables.get((key.kind, key.namespace))
        return default if table is None else table.get(key.name, default)

    def find(self, kind: str, namespace: str, name: str) -> V | None:
        """Return the value, or None, without a key at hand."""
        return self._tables.get((kind, namespace), {}).get(name)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, WorkloadKey) and key.name in self._tables.get(
            (key.kind, key.namespace), ()
        )

    def __setitem__(self, key: WorkloadKey, value: V) -> None:
        self.put(key.kind, key.namespace, key.name, value)

    def put(self, kind: str, namespace: str, name: str, value: V) -> None:
        """Store a value; `name` should be the very string that the value holds."""
        table = self._tables.setdefault((kind, namespace), {})
        before = len(table)
        table[name] = value
        self._size += len(table) - before

    def __delitem__(self, key: WorkloadKey) -> None:
        place = (key.kind, key.namespace)
        table = self._tables[place]
        del table[key.name]
        self._size -= 1
        if not table:
            del self._tables[place]

    def names(self, kind: str, namespace: str = "") -> Iterator[tuple[str, str]]:
        """Yield namespace and name of everything of a kind, in one namespace or (empty) in all."""
        for (listed, inside), table in self._tables.items():
            if listed == kind and namespace in ("", inside):
                yield from ((inside, name) for name in table)

    def count(self, kind: str) -> int:
        """Return how many there are of a kind; safe while another thread changes the mapping."""
        return sum(len(table) for place, table in list(self._tables.items()) if place[0] == kind)

    def walk(self) -> Iterator[WorkloadKey]:
        """Yield every key while others come and go; those that come meanwhile may be missed."""
        for (kind, namespace), table in list(self._tables.items()):
            for name in list(table):
                yield WorkloadKey(kind=kind, namespace=namespace, name=name)

    def __iter__(self) -> Iterator[WorkloadKey]:
        for (kind, namespace), table in self._tables.items():
            for name in table:
                yield WorkloadKey(kind=kind, namespace=namespace, name=name)

    def __len__(self) -> int:
        return self._size
