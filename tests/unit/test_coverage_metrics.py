"""The coverage as metrics: every state a series, one look for many scrapes, its age told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from common.model.errors import SourceUnavailableError
from common.model.key import WorkloadKey
from common.overview.coverage import Coverage
from common.overview.lacking import Lack
from tests.waiting import PATIENCE_S
from watcher.coverage_metrics import WORKLOADS, CoverageMetrics


def found(true: int, *lacks: Lack) -> Coverage:
    """Return what a look finds."""
    lacking = {
        WorkloadKey(kind="Pod", namespace="n", name=f"p{number}"): lack
        for number, lack in enumerate(lacks)
    }
    return Coverage(workloads=true + len(lacks), true=true, lacking=lacking)


class Clock:
    """Seconds that only the test lets pass."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def scrape(
    read: Callable[[], Coverage | None], clock: Clock, *, known: int = WORKLOADS
) -> Callable[[], dict[str, float]]:
    """Return what scrapes: the samples by state, the age by its name."""
    registry = CollectorRegistry()
    shown = CoverageMetrics(read, known=lambda: known, limit_s=PATIENCE_S, monotonic_s=clock)
    registry.register(shown)

    def scraped() -> dict[str, float]:
        page = generate_latest(registry).decode()
        return {
            sample.labels.get("state", sample.name): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }

    return scraped


def test_every_state_is_a_series_and_their_sum_is_all_workloads(clock: Clock) -> None:
    """An alert divides one by the sum of all: a state that is missing would hide workloads."""
    lacks = (Lack(why="parked", reason="ImageNotFound"), Lack(why="queued"), Lack(why="queued"))
    shown = scrape(lambda: found(7, *lacks), clock)()
    assert shown.pop("sluice_workloads_age_seconds") == 0
    assert (shown["true"], shown["parked"], shown["queued"], shown["held"]) == (7, 1, 2, 0)
    assert sum(shown.values()) == 10


def test_one_look_serves_for_a_while_and_longer_when_it_costs_more(clock: Clock) -> None:
    """A cluster of 50,000 workloads must not be read with every scrape."""
    looks: list[float] = []

    def read() -> Coverage:
        looks.append(clock.now_s)
        clock.now_s += 2.0  # what the look costs
        return found(len(looks))

    scraped = scrape(read, clock)
    assert scraped()["true"] == 1
    clock.now_s += 99.0
    shown = scraped()
    assert (shown["true"], shown["sluice_workloads_age_seconds"]) == (1, 99.0)
    clock.now_s += 1.0
    assert scraped()["true"] == 2


def test_without_redis_the_last_look_stays_and_grows_old(clock: Clock) -> None:
    """And before the first look there is no series: 0 of 0 would be believed."""
    away = threading.Event()
    away.set()

    def read() -> Coverage:
        if away.is_set():
            raise SourceUnavailableError("Redis does not answer")
        return found(3)

    scraped = scrape(read, clock)
    assert scraped() == {}
    away.clear()
    assert scraped()["true"] == 3
    away.set()
    clock.now_s += 60.0
    shown = scraped()
    assert (shown["true"], shown["sluice_workloads_age_seconds"]) == (3, 60.0)


def test_a_cluster_that_has_too_many_workloads_has_no_series_and_is_not_counted_each_time(
    clock: Clock,
) -> None:
    """A share of a part of them would be none; `sluice status` counts any number."""
    looks: list[None] = []
    scraped = scrape(lambda: looks.append(None), clock)
    assert scraped() == {"sluice_workloads_age_seconds": 0}
    assert scraped() == {"sluice_workloads_age_seconds": 0}
    assert len(looks) == 1


def test_too_many_that_the_watcher_knows_are_not_read(clock: Clock) -> None:
    """Reading 50,000 to find out that they are too many would be the memory already."""
    read: list[None] = []
    scraped = scrape(lambda: read.append(None), clock, known=WORKLOADS + 1)
    assert scraped() == {"sluice_workloads_age_seconds": 0}
    assert not read
