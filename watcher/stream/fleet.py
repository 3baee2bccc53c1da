"""All informers of a watcher, started and stopped together."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Sequence

from watcher.stream.ask import Scope
from watcher.stream.catalog import Row
from watcher.stream.change import Change
from watcher.stream.informer import Informer, Outlet
from watcher.stream.meter import Meter
from watcher.stream.source import Source

# First readings at once. With two, one reading's burst delays the other streams by 3 ms; with ten
# by 50 ms, and the buffers of all of them stand in memory together.
_TURNS = 2


class Fleet:
    """One informer per resource and scope. Changes of all come through one queue."""

    def __init__(self, source: Source, changes: queue.Queue[Change], meter: Meter) -> None:
        self._source = source
        self._outlet = Outlet(changes=changes, turns=threading.Semaphore(_TURNS), meter=meter)
        self._informers: list[Informer] = []

    @property
    def informers(self) -> Sequence[Informer]:
        """Those that were started."""
        return self._informers

    @property
    def synced(self) -> bool:
        """Whether every resource was read at least once."""
        return all(informer.synced for informer in self._informers)

    @property
    def alive(self) -> bool:
        """Whether every thread runs; False between `start` and `stop` means a defect."""
        return all(informer.alive for informer in self._informers)

    def age_s(self, resource: str, *, now_s: float) -> float:
        """Return how long the most silent stream of a resource has been so; 0: there is none."""
        return max((now_s - one.heard_at_s for one in self._of(resource)), default=0.0)

    def is_synced(self, resource: str) -> bool:
        """Return whether everything of a resource was read, or it is not followed at all."""
        return all(one.synced for one in self._of(resource))

    def _of(self, resource: str) -> list[Informer]:
        return [one for one in self._informers if one.resource == resource]

    def start(self, wanted: Iterable[tuple[Row, Scope]]) -> None:
        """Start an informer for each; first readings take turns, in this order."""
        for row, scope in wanted:
            informer = Informer(row, scope, source=self._source, outlet=self._outlet)
            self._informers.append(informer)
            informer.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End all threads; True if they ended in time."""
        for informer in self._informers:
            informer.signal_stop()
        deadline = time.monotonic() + timeout_s
        ended = [
            informer.stop(max(0.0, deadline - time.monotonic())) for informer in self._informers
        ]
        return all(ended)
