"""The watcher's rows, as workers read them. Written only by fenced calls of the work queue."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from redis import Redis

from common.model.key import WorkloadKey
from common.model.workload import Fingerprint, WorkloadRow, decode_row
from common.state.names import Names
from common.state.readable import UNREADABLE, Foreign, key_of, text_of
from common.state.scripts import Scripts

_PAGE = 512


class RowTable:
    """Row and fingerprint of every workload that the watcher knows."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._rows = names.own("rows")
        self._want = names.own("want")
        self._foreign = Foreign()

    def get(self, key: WorkloadKey) -> tuple[WorkloadRow, Fingerprint] | None:
        """Return the row with its fingerprint, read at one instant; None: the watcher has none."""
        text = str(key)
        with self._scripts.pipeline() as pipe:
            pipe.hget(self._rows, text)
            pipe.hget(self._want, text)
            row, want = pipe.execute()
        if row is None or want is None:
            return None
        try:
            return decode_row(row), Fingerprint(text_of(want))
        except UNREADABLE:  # a newer version's, or by hand: the sweep writes it anew
            return None

    def fingerprints(self, keys: Sequence[WorkloadKey]) -> dict[WorkloadKey, Fingerprint]:
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
        """Yield every row that can be read, a page at a time; one may come twice."""
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
                    if isinstance(key, WorkloadKey):
                        yield key
                    elif key is None:
                        self._foreign.tell("rows", text)
            if cursor == 0:
                return
