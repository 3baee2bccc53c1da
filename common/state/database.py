"""The vulnerability database in use: which version, since when, served from where."""

from __future__ import annotations

import contextlib

import msgspec
from redis import Redis

from common.state.names import Names
from common.state.readable import UNREADABLE
from common.state.scripts import Scripts


class DatabaseRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the matcher publishes."""

    version: str  # UpdatedAt of the vulnerability database
    server_url: str  # the match server
    trivy_version: str = ""
    checked_at: float = 0.0  # Unix seconds of the last look for a newer one
    alive_at: float = 0.0  # Unix seconds of the matcher's last sign of life, by Redis' clock


class FailedLook(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last look for a newer database found none."""

    reason: str
    message: str  # fit to be shown
    at: float  # Unix seconds, by Redis' clock


_decoder = msgspec.json.Decoder(DatabaseRow)
_failed_decoder = msgspec.json.Decoder(FailedLook)


def decode_database(data: bytes | None) -> DatabaseRow | None:
    """Return the row as it is stored; None for none, and for what no matcher wrote."""
    with contextlib.suppress(*UNREADABLE):
        return None if data is None else _decoder.decode(data)
    return None


class DatabaseTable:
    """Publishes and reads the database row."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._scripts = Scripts(redis, names)
        self._name = names.own("database")

    def current(self) -> DatabaseRow | None:
        """Return the published row; None: no matcher has published yet."""
        with self._scripts.reading() as redis:
            data = redis.hget(self._name, "row")
        return decode_database(data)

    def failed_look(self) -> FailedLook | None:
        """Return why the last look failed; None: it did not, or nobody looked yet."""
        with self._scripts.reading() as redis:
            data = redis.hget(self._name, "failed")
        with contextlib.suppress(*UNREADABLE):
            return None if data is None else _failed_decoder.decode(data)
        return None

    def note_look(self, failed: FailedLook | None) -> None:
        """Keep what became of a look; None: it succeeded."""
        with self._scripts.reading() as redis:
            if failed is None:
                redis.hdel(self._name, "failed")
            else:
                redis.hset(self._name, "failed", msgspec.json.encode(failed))

    def publish(self, row: DatabaseRow) -> int:
        """Store the row; a changed version queues every image in use (bulk). Return how many."""
        payload = {
            "key": self._name,
            "version": row.version,
            "row": msgspec.json.encode(row).decode(),
        }
        return max(0, int(self._scripts.run("database", payload, repeatable=True)))
