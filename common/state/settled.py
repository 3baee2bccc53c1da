"""What converged runs committed. Written only by the completion script, with a valid token."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from redis import Redis

from common.model.key import WorkKey
from common.state.names import Names
from common.state.readable import UNREADABLE, Foreign, key_of
from common.state.scripts import Scripts

_PAGE = 512

K = TypeVar("K", bound=WorkKey)


class SettledRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the last converged run of a key settled."""

    fingerprint: str
    epoch: int
    outcome: str  # Converged | Partial:<Reason> | Rest:<Why>
    at: float = 0.0  # Unix seconds, Redis time
    reports: Mapping[str, str] = {}  # Kind/namespace/name -> content hash


_decoder = msgspec.json.Decoder(SettledRow)


def decode_settled(data: bytes) -> SettledRow:
    """Return the row that the completion script wrote: its time, a space, JSON.

    Raises one of UNREADABLE for anything else.
    """
    at, _, body = data.partition(b" ")
    return msgspec.structs.replace(_decoder.decode(body), at=float(at))


def settled_or_none(data: bytes | None) -> SettledRow | None:
    """Return the row; None for none, and for what no script of this version wrote."""
    with contextlib.suppress(*UNREADABLE):
        return None if data is None else decode_settled(data)
    return None


class SettledTable:
    """Reads the settled rows; nobody but the completion script writes them."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("settled")
        self._foreign = Foreign()

    def get(self, key: WorkKey) -> SettledRow | None:
        """Return the key's row; None: no run of it has converged yet."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[K]) -> dict[K, SettledRow]:
        """Return the rows of those keys that have one."""
        if not keys:
            return {}
        with self._scripts.reading() as redis:
            found = redis.hmget(self._name, [str(key) for key in keys])
        return {
            key: row
            for key, data in zip(keys, found, strict=True)
            if (row := settled_or_none(data)) is not None
        }

    def all(self) -> Iterator[tuple[WorkKey, SettledRow]]:
        """Yield every row that can be read, a page at a time.

        A row written meanwhile may come twice or not.
        """
        cursor = 0
        while True:
            with self._scripts.reading() as redis:
                cursor, page = redis.hscan(self._name, cursor, count=_PAGE)
            for text, data in page.items():
                key, row = key_of(text), settled_or_none(data)
                if key is None or row is None:
                    self._foreign.tell("settled", text)
                else:
                    yield key, row
            if cursor == 0:
                return
