"""What pages read from Redis when somebody asks for it: one workload, one image, the queue.

On the threads of those who ask, four at a time; the watcher's own threads never wait for any of
it. Looking through findings is for one at a time, and rests as long as it works.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from common.model.errors import SourceUnavailableError
from common.model.key import ImageKey, WorkloadKey
from common.overview.catalogue import Catalogue, catalogue, catalogue_of
from common.overview.documents import Document
from common.overview.entries import queued
from common.overview.image_file import image_file
from common.overview.tables import Tables
from common.overview.vulnerable import Pace, look_through, packages
from common.overview.workload_file import told, workload_file
from common.queue.contract import Lane
from watcher.status.answer import Query
from watcher.status.queue import read

_READERS = 4
_PATIENCE_S = 2.0
# Of all images at once: as often as this, and at most a tenth of the time.
_CATALOGUE_S = 10.0
_REST_FACTOR = 9.0
_WORKLOADS = 100  # told of one image with a vulnerability


class BusyError(SourceUnavailableError):
    """As many are reading as may: ask again in a moment."""

    reason = "Busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    catalogue: Catalogue
    at_s: float
    took_s: float

    def is_fresh(self, now_s: float) -> bool:
        """Whether it is too early to read it again."""
        return now_s - self.at_s < max(_CATALOGUE_S, _REST_FACTOR * self.took_s)


class Shelf:
    """Reads documents. Any thread; every call may raise SluiceError."""

    def __init__(self, tables: Tables, pace: Pace, *, findings: bool) -> None:
        """Take tables; `findings`: whether vulnerabilities may be told by name."""
        self._tables = tables
        self._pace = pace
        self._findings = findings
        self._readers = threading.BoundedSemaphore(_READERS)
        self._searching = threading.Lock()
        self._reading = threading.Lock()
        self._read: _Read | None = None  # None: nobody looks

    @property
    def cluster(self) -> str:
        """Whose tables they are."""
        return self._tables.names.cluster

    def now_s(self) -> float:
        """Return the time by Redis' clock."""
        return self._tables.clock.now_s()

    def forget(self) -> None:
        """Keep nothing: nobody looks any more."""
        self._read = None

    def workload(self, key: WorkloadKey) -> dict[str, Any]:
        """Return what is known of a workload."""
        with self._turn():
            return workload_file(self._tables, key)

    def image(self, key: ImageKey, asked: Query) -> Document:
        """Return what is known of an image."""
        with self._turn():
            return image_file(self._tables, key, start=asked.start, limit=asked.limit,
                              with_findings=self._findings)  # fmt: skip

    def images(self) -> Catalogue:
        """Return all images, as they were some seconds ago at most, or a tenth of the time."""
        known = self._read
        if known is not None and known.is_fresh(self._pace.monotonic()):
            return known.catalogue
        if known is not None and self._reading.locked():  # somebody reads it anew
            return known.catalogue
        with _within(self._reading):
            known = self._read
            if known is None or not known.is_fresh(self._pace.monotonic()):
                known = self._read = self._catalogue()
            return known.catalogue

    def _catalogue(self) -> _Read:
        began_s = self._pace.monotonic()
        with self._turn():
            found = catalogue(self._tables.images, self._tables.briefs)
        now_s = self._pace.monotonic()
        return _Read(catalogue=found, at_s=now_s, took_s=now_s - began_s)

    def queue(self, asked: Query) -> Document:
        """Return a page of the queue's keys."""
        chosen = read(asked)
        lanes = {lane.label: lane for lane in Lane}
        with self._turn():
            entries, total = self._tables.queue.part(
                chosen["state"],
                pool=chosen["pool"],
                lane=lanes.get(chosen["lane"]),
                start=asked.start,
                limit=asked.limit,
            )
            now_s = self.now_s()
        keys = [queued(entry, now_s=now_s) for entry in entries]
        return {**chosen, "keys": keys, "total": total, "start": asked.start}

    def history(self, asked: Query) -> Document:
        """Return a page of the ledger, newest first; `before`: where the next one begins."""
        with self._turn():
            found, before = self._tables.ledger.part(asked.limit, asked.get("before"))
        return {"facts": [told(fact) for _, fact in reversed(found)], "before": before}

    def vulnerability(self, name: str, asked: Query) -> Document:
        """Return which images have a vulnerability."""
        empty = {"id": name, "images": [], "looked": 0, "unread": 0, "left": 0, "after": ""}
        if not self._findings:
            return {**empty, "enabled": False}
        with _within(self._searching), self._turn():
            images, briefs = self._tables.images, self._tables.briefs
            look = look_through(
                briefs, images.keys(), name, after=asked.get("after"), pace=self._pace
            )
            having = [key for key, _ in look.found]
            known = {one.key: one for one in catalogue_of(images, briefs, having)}
            now_s = self.now_s()
            listed = [
                {
                    **known[key].document(now_s=now_s),
                    "packages": packages(findings),
                    "workloads": self._workloads(key),
                }
                for key, findings in look.found
            ]
        return {
            "id": name,
            "images": listed,
            "looked": look.looked,
            "unread": look.unread,
            "left": look.left,
            "after": look.after,
            "enabled": True,
        }

    def _workloads(self, key: ImageKey) -> list[str]:
        return [use.workload for use in self._tables.images.uses(key)[:_WORKLOADS]]

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Read, as one of four at a time."""
        with _within(self._readers):
            yield


@contextlib.contextmanager
def _within(lock: threading.Lock | threading.Semaphore) -> Iterator[None]:
    """Hold a lock that is free within two seconds. Raises BusyError."""
    if not lock.acquire(timeout=_PATIENCE_S):
        raise BusyError("others are reading: ask again in a moment")
    try:
        yield
    finally:
        lock.release()
