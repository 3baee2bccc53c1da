"""The watcher's rows, as workers read them. Written only by fenced calls of the work queue."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from redis import Redis

from common.model.clusterrow import ClusterRow, decode_cluster_row
from common.model.key import ClusterKey, RowKey, WorkloadKey, has_row
from common.model.workload import Fingerprint, WorkloadRow, decode_row
from common.state.names import Names
from common.state.readable import UNREADABLE, Foreign, key_of, text_of
from common.state.scripts import Scripts

_PAGE = 512

K = TypeVar("K", bound=RowKey)
R = TypeVar("R")


class RowTable:
    """Row and fingerprint of every workload, and of every subject of the cluster, that exists."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._rows = names.own("rows")
        self._want = names.own("want")
        self._foreign = Foreign()

    def get(self, key: WorkloadKey) -> tuple[WorkloadRow, Fingerprint] | None:
        """Return the row with its fingerprint, read at one instant; None: the watcher has none."""
        return self._get(key, decode_row)

    def of_cluster(self, key: ClusterKey) -> tuple[ClusterRow, Fingerprint] | None:
        """Return the row of a subject of the cluster, as `get` does for a workload."""
        return self._get(key, decode_cluster_row)

    def _get(self, key: RowKey, read: Callable[[bytes], R]) -> tuple[R, Fingerprint] | None:
        text = str(key)
        with self._scripts.pipeline() as pipe:
            pipe.hget(self._rows, text)
            pipe.hget(self._want, text)
            row, want = pipe.execute()
        if row is None or want is None:
            return None
        try:
            return read(row), Fingerprint(text_of(want))
        except UNREADABLE:  # a newer version's, or by hand: the sweep writes it anew
            return None

    def fingerprints(self, keys: Sequence[K]) -> dict[K, Fingerprint]:
        """Return what is wanted for the keys that have a row."""
        if not keys:
            return {}
        with self._scripts.reading() as redis:
            found = redis.hmget(self._want, [str(key) for key in keys])
        return {
            key: Fingerprint(text_of(want))
            for key, want in zip(keys, found, strict=True)
            if want is not None
        }

    def all(self) -> Iterator[WorkloadRow]:
        """Yield every workload's row that can be read, a page at a time; one may come twice."""
        cursor = 0
        while True:
            with self._scripts.reading() as redis:
                cursor, page = redis.hscan(self._rows, cursor, count=_PAGE)
            for data in page.values():
                with contextlib.suppress(*UNREADABLE):  # a newer version's, or by hand
                    yield decode_row(data)
            if cursor == 0:
                return

    def keys(self) -> Iterator[WorkloadKey]:
        """Yield every workload's key once; see `every`."""
        return (key for key in self.every() if isinstance(key, WorkloadKey))

    def every(self) -> Iterator[RowKey]:
        """Yield every key once, a page at a time; keys added meanwhile may be missed.

        What is no key is left alone: after a rollback it is a newer version's.
        """
        seen: set[bytes] = set()
        cursor = 0
        while True:
            with self._scripts.reading() as redis:
                cursor, page = redis.hscan(self._want, cursor, count=_PAGE)
            for text in page:
                if text not in seen:
                    seen.add(text)
                    key = key_of(text)
                    if key is None:
                        self._foreign.tell("rows", text)
                    elif has_row(key):
                        yield key
            if cursor == 0:
                return
