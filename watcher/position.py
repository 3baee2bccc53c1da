"""How far the fold has read each stream, and whether that is as far as the leader before had.

Versions are compared within one stream only, where they grow (KEP-5504). One that is no number
counts as not known, and is never waited for. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from common.model.key import RowKey
from common.queue.contract import Add, AddResult
from watcher.stream.change import Change, Op


class Position:
    """Belongs to the watcher's thread."""

    def __init__(self, streams: Iterable[tuple[str, str]]) -> None:
        """`streams` are resource and namespace (empty: all) of every stream."""
        self._names = {
            (resource, namespace): f"{resource}/{namespace}" if namespace else resource
            for resource, namespace in streams
        }
        self._read_to: dict[str, int] = {}
        self._newest: dict[str, int] = {}
        self._news: set[str] = set()

    @property
    def newest(self) -> Mapping[str, int]:
        """The version of the newest object by stream, where there is one; for reading only.

        That is what another can be asked to reach. A reading of everything is of the whole server's
        version, which a stream where nothing happens never shows.
        """
        return self._newest

    def note(self, changes: Sequence[Change]) -> None:
        """Take in that these changes were folded."""
        for change in changes:
            ends_reading = change.op in {Op.SYNCED, Op.RELISTED}
            namespace = change.key if ends_reading else change.namespace
            name = self._names.get((change.resource, namespace))
            if name is None:
                name = self._names.get((change.resource, ""))
            if name is None or not change.version:
                continue
            if ends_reading:
                self._end_reading(name, change.version)
            elif change.version > self._newest.get(name, 0):
                self._newest[name] = change.version
                self._news.add(name)

    def lacking(self, wanted: Mapping[str, int]) -> list[str]:
        """Return the streams of ours that are not read as far as `wanted` says."""
        ours = self._names.values()
        return [
            name
            for name, version in wanted.items()
            if name in ours and version > max(self._read_to.get(name, 0), self._newest.get(name, 0))
        ]

    def take_news(self) -> dict[str, int]:
        """Return what moved since this was asked last."""
        news = {name: self._newest[name] for name in self._news}
        self._news.clear()
        return news

    def _end_reading(self, name: str, version: int) -> None:
        self._read_to[name] = version
        if self._newest.get(name, 0) > version:  # etcd was restored, and counts from before
            del self._newest[name]
            self._news.discard(name)


class Queue(Protocol):
    """The work queue's side for the feed; raises TransientError, StaleFenceError."""

    def add(self, adds: Sequence[Add], *, fence: int | None = None) -> AddResult:
        """Queue keys and store the rows that come with them."""

    def forget(self, keys: Sequence[RowKey], *, fence: int) -> None:
        """Delete rows; queue the keys, so that a worker cleans up."""


class Seen(Protocol):
    """How far the leader has read; raises TransientError, StaleFenceError."""

    def record(self, versions: Mapping[str, int], *, whole: bool = False, fence: int) -> None:
        """Remember versions; `whole`: they are all, and others are forgotten."""


class Announced:
    """The queue, as the feed sees it: before a row is written, how far the fold has read is.

    In this order: a leader that ends in between leaves its follower one thing to look at, where the
    other order would leave it a row that it knows nothing of.
    """

    def __init__(self, queue: Queue, seen: Seen, position: Position, *, fence: int) -> None:
        """Tell everything that was read up to now. Raises TransientError, StaleFenceError."""
        self._queue = queue
        self._seen = seen
        self._position = position
        self._fence = fence
        seen.record(position.newest, whole=True, fence=fence)
        position.take_news()
        self._untold: dict[str, int] = {}

    def add(self, adds: Sequence[Add], *, fence: int | None = None) -> AddResult:
        """Queue keys and store the rows that come with them."""
        self._announce()
        return self._queue.add(adds, fence=fence)

    def forget(self, keys: Sequence[RowKey], *, fence: int) -> None:
        """Delete rows; queue the keys."""
        self._announce()
        self._queue.forget(keys, fence=fence)

    def _announce(self) -> None:
        self._untold |= self._position.take_news()
        if self._untold:
            self._seen.record(self._untold, fence=self._fence)
            self._untold = {}
