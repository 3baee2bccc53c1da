"""How long ago the findings of images were verified, as metrics: what the last whole sweep found.

A scrape reads nothing: an image that was verified since then is told older than it is, by at most
the time between two sweeps.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from watcher.imagesweep import Ages

_SHARES = (0.5, 0.9, 0.99, 1.0)


class ImageAges(Collector):
    """Serves the ages; nothing before the first sweep is done. One thread writes, any may read."""

    def __init__(self, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._at_s = 0.0  # when they were seen
        self._ages_s = array("d")  # as they were then, the youngest first
        self._counts: dict[str, int] = {}  # by state

    def seen(self, ages: Ages, *, redis_ahead_s: float) -> None:
        """Note what a sweep found; `redis_ahead_s`: Redis' clock minus our monotonic one."""
        overdue = len(ages.overdue - ages.never)
        self._at_s = self._monotonic_s()
        redis_now_s = self._at_s + redis_ahead_s
        self._ages_s = array("d", sorted(redis_now_s - at for at in ages.verified_at.values()))
        self._counts = {
            "in_time": len(ages.verified_at) - overdue,
            "overdue": overdue,
            "never": len(ages.never),
        }

    def collect(self) -> Iterator[Metric]:
        """Yield both metrics."""
        images, age = self.describe()
        for state, number in self._counts.items():
            images.add_metric([state], number)
        ages_s, since_s = self._ages_s, self._monotonic_s() - self._at_s
        for share in _SHARES if ages_s else ():
            age_s = ages_s[math.ceil(share * len(ages_s)) - 1]
            age.add_metric([f"{share:g}"], max(0.0, age_s + since_s))
        yield from (images, age)

    def describe(self) -> list[GaugeMetricFamily]:
        """Return both metrics without samples: a name that stands twice is refused at the start."""
        return [
            GaugeMetricFamily(
                "sluice_images",
                "Images in use, by whether their findings were verified within the reports' TTL.",
                labels=["verified"],
            ),
            GaugeMetricFamily(
                "sluice_image_verified_age_seconds",
                "How long ago findings of images in use were verified: of that share of them, at "
                "most.",
                labels=["share"],
            ),
        ]
