"""Serves the whole cluster's queue as metrics: read from Redis when they are asked for.

One process serves them, so a number stands once however many workers there are. A scrape never
waits for Redis longer than `LIMIT_S`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.ops.in_time import InTime
from common.queue.census import Census
from watcher.queue_families import FAMILIES

# Below the two seconds that the supervisor of `sluice run` gives a child, far above the millisecond
# that Redis needs.
LIMIT_S = 1.0
_UP = "sluice_redis_up"
_UP_TEXT = "Whether Redis answered this scrape in time; without it only this series is served."
_READ = "sluice_redis_read_seconds"
_READ_TEXT = "How long it took to read these numbers from Redis."


class QueueMetrics(Collector):
    """Collects what `read` returns within a second, or says that Redis does not answer."""

    def __init__(
        self,
        read: Callable[[], Census],
        *,
        limit_s: float = LIMIT_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._census = InTime(read, limit_s=limit_s, name="queue-metrics")
        self._monotonic_s = monotonic_s

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, or one that says why there are no others."""
        began_s = self._monotonic_s()
        census = self._census.get()
        took_s = self._monotonic_s() - began_s
        yield GaugeMetricFamily(_UP, _UP_TEXT, value=float(census is not None))
        if census is not None:
            yield GaugeMetricFamily(_READ, _READ_TEXT, value=took_s)
            yield from (family.shown(census) for family in FAMILIES)

    def describe(self) -> Iterator[Metric]:
        """Yield every metric without samples: a name that stands twice is refused at the start."""
        yield GaugeMetricFamily(_UP, _UP_TEXT)
        yield GaugeMetricFamily(_READ, _READ_TEXT)
        yield from (family.shown(None) for family in FAMILIES)
