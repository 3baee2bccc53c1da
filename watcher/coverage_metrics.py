"""How many workloads have true reports, and why the others lack them, as metrics.

A look at all tables costs 70 ms of CPU for 5,000 workloads, so one serves for a while: a scrape
shows the last one and how old it is. It never waits longer than `LIMIT_S`. For 50,000 it would also
take 60 MB of a process that has 195, so of more than `WORKLOADS` nothing is counted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.ops.in_time import InTime
from common.overview.coverage import Coverage
from common.overview.lacking import Why

LIMIT_S = 1.0
WORKLOADS = 20_000
_LEAST_S = 15.0
# Looking takes at most a fiftieth of the time, so that a big cluster's scrapes cost little.
_REST_FACTOR = 50.0
_STATES = ("true", *get_args(Why))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one look found."""

    coverage: Coverage | None  # None: of too many
    at_s: float
    took_s: float

    def is_due(self, now_s: float) -> bool:
        """Say whether it is time for another."""
        return now_s - self.at_s >= max(_LEAST_S, _REST_FACTOR * self.took_s)


class CoverageMetrics(Collector):
    """Serves the last look; none before the first one was ended. Thread-safe."""

    def __init__(
        self,
        read: Callable[[], Coverage | None],
        *,
        known: Callable[[], int],
        limit_s: float = LIMIT_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what looks, and how many workloads this watcher knows: of too many none are read."""
        self._read = read
        self._known = known
        self._monotonic_s = monotonic_s
        self._looking = InTime(self._look, limit_s=limit_s, name="coverage-metrics")
        self._lock = threading.Lock()
        self._last: _Look | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield both metrics."""
        last = self._current()
        workloads, age = self.describe()
        if last is not None:
            for state, number in _counted(last.coverage):
                workloads.add_metric([state], number)
            age.add_metric([], self._monotonic_s() - last.at_s)
        yield from (workloads, age)

    def describe(self) -> list[GaugeMetricFamily]:
        """Return both metrics without samples: a name that stands twice is refused at the start."""
        return [
            GaugeMetricFamily(
                "sluice_workloads",
                "Workloads that need reports: those whose reports are all `true`, and why the "
                f"others lack them. Nothing in clusters of more than {WORKLOADS:,}.",
                labels=["state"],
            ),
            GaugeMetricFamily(
                "sluice_workloads_age_seconds",
                "Since the workloads were counted: that costs, so not every scrape does.",
            ),
        ]

    def _current(self) -> _Look | None:
        with self._lock:
            last = self._last
        if last is not None and not last.is_due(self._monotonic_s()):
            return last
        # While Redis is away, or a look takes long: the one before, whose age tells.
        return self._looking.get() or last

    def _look(self) -> _Look:
        began_s = self._monotonic_s()
        coverage = self._read() if self._known() <= WORKLOADS else None
        at_s = self._monotonic_s()
        found = _Look(coverage=coverage, at_s=at_s, took_s=at_s - began_s)
        with self._lock:
            self._last = found
        return found


def _counted(found: Coverage | None) -> Iterator[tuple[str, int]]:
    if found is not None:
        counts = Counter(str(lack.why) for lack in found.lacking.values())
        for state in _STATES:
            yield state, found.true if state == "true" else counts[state]
