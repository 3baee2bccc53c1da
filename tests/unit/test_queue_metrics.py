"""The queue's metrics: a value a series, every known series from the start, none that stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from common.model.counts import DETAILS, details_counted, facts_counted
from common.model.errors import SourceUnavailableError
from common.model.facts import FACT_KINDS
from common.model.policies import CLASS_NAMES
from common.queue.census import Census
from common.queue.contract import Depth, Lane, Totals
from common.state.circuits import Trouble
from common.state.database import DatabaseRow
from tests.waiting import PATIENCE_S
from watcher.metrics import FeedMetrics, StreamMetrics, WatchMetrics
from watcher.queue_families import FAMILIES
from watcher.queue_metrics import QueueMetrics

NOW_S = 1_795_590_000.0  # 2026-11-25T07:00:00Z
NOTHING = Depth(queued=0, oldest_age_s=0.0)
NONE = Totals(running=0, delayed=0, dead=0)


def census(**changes: Any) -> Census:
    """Return the numbers of an empty cluster, but for the changes."""
    counts = changes.pop("counts", {})
    given: dict[str, Any] = {
        "depths": {(pool, lane): NOTHING for pool in ("reconcile", "scan") for lane in Lane},
        "totals": {"reconcile": NONE, "scan": NONE},
        "paused": False,
        "facts": facts_counted(counts),
        "details": details_counted(counts),
        "troubles": [],
        "database": None,
        "workers": 0,
        "now_s": NOW_S,
    }
    return Census(**{**given, **changes})


def trouble(source: str, state: str = "open", **changes: Any) -> Trouble:
    """Return a source in trouble."""
    given: dict[str, Any] = {
        "source": source,
        "state": state,
        "failures": 3,
        "since": NOW_S - 60,
        "next_s": 5.0,
        "reason": "RegistryUnavailable",
        "message": "refused",
        "unasked_s": 0.0,
        "idle": False,
    }
    return Trouble(**{**given, **changes})


def scraped(read: Callable[[], Census]) -> dict[str, float]:
    """Return what Prometheus reads, by series as it is written."""
    registry = CollectorRegistry()
    registry.register(QueueMetrics(read, limit_s=PATIENCE_S))
    return series(registry)


def series(registry: CollectorRegistry) -> dict[str, float]:
    """Return the samples of a registry, by name and labels."""
    return {
        sample.name
        + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def shown(**changes: Any) -> dict[str, float]:
    """Return the series of a cluster."""
    return scraped(lambda: census(**changes))


SCAN = {"totals": {"scan": Totals(running=1, delayed=2, dead=3)}}
BULK = {"depths": {("scan", Lane.BULK): Depth(queued=12, oldest_age_s=61.5)}}
MADE = DatabaseRow(version="2026-11-25T06:00:00Z", server_url="u")
CHECKED = DatabaseRow(version="v", server_url="u", checked_at=NOW_S - 90)
VALUES: list[tuple[dict[str, Any], str, float]] = [
    (BULK, "sluice_queue_depth lane=bulk pool=scan", 12),
    (BULK, "sluice_queue_oldest_seconds lane=bulk pool=scan", 61.5),
    (SCAN, "sluice_queue_running pool=scan", 1),
    (SCAN, "sluice_queue_delayed pool=scan", 2),
    (SCAN, "sluice_queue_dead pool=scan", 3),
    ({"paused": True}, "sluice_queue_paused", 1),
    ({"workers": 4}, "sluice_workers_alive", 4),
    ({"counts": {"adds.dirty": 5}}, "sluice_queue_adds_total how=dirty", 5),
    ({"counts": {"deduplicated": 6}}, "sluice_queue_deduplicated_total", 6),
    ({"counts": {"claimed": 7}}, "sluice_queue_claims_total", 7),
    ({"counts": {"retried.Gone": 8, "retried": 9}}, "sluice_queue_retries_total class=Gone", 8),
    ({"counts": {"parked.Crashed": 2}}, "sluice_queue_parks_total class=Crashed", 2),
    ({"counts": {"held.registry": 3}}, "sluice_queue_holds_total source_kind=registry", 3),
    ({"counts": {"released.dropped": 4}}, "sluice_queue_released_total why=dropped", 4),
    ({"counts": {"leases.expired": 5}}, "sluice_queue_leases_expired_total", 5),
    ({"counts": {"refused.table": 6}}, "sluice_queue_refused_total what=table", 6),
    ({"counts": {"repairs.add": 7}}, "sluice_queue_repairs_total found_by=add", 7),
    ({"counts": {"circuit.open": 8}}, "sluice_circuit_changes_total state=open", 8),
    ({"counts": {"written": 9}}, "sluice_facts_total kind=written", 9),
    ({"database": MADE}, "sluice_database_age_seconds", 3600),
    ({"database": CHECKED}, "sluice_database_checked_age_seconds", 90),
    ({"troubles": [trouble("registry/a")]}, "sluice_circuit_state source=registry/a", 2),
    ({"troubles": [trouble("b", "probing")]}, "sluice_circuit_state source=b", 1),
    ({"troubles": [trouble("c", "failing")]}, "sluice_circuit_state source=c", 0),
    ({"server": {"used_memory": 11}}, "sluice_redis_memory_used_bytes", 11),
    ({"server": {"maxmemory": 12}}, "sluice_redis_memory_max_bytes", 12),
    ({"server": {"evicted_keys": 13}}, "sluice_redis_evicted_keys_total", 13),
    ({"server": {"total_commands_processed": 14}}, "sluice_redis_commands_total", 14),
    ({"server": {}}, "sluice_redis_persistence_ok", 1),
    ({"server": {"aof_last_write_status": "err"}}, "sluice_redis_persistence_ok", 0),
]


@pytest.mark.parametrize(
    ("changes", "name", "value"), VALUES, ids=[f"{row[1]} {row[2]}" for row in VALUES]
)
def test_a_number_of_redis_is_the_value_of_its_series(
    changes: dict[str, Any], name: str, value: float
) -> None:
    """Each with a value that no other series has by accident."""
    assert shown(**changes)[name] == value


def test_every_known_series_stands_at_zero_from_the_start() -> None:
    """`rate()` misses the first increment of a series that did not exist before it."""
    found = shown()
    for kind in FACT_KINDS:
        assert found[f"sluice_facts_total kind={kind}"] == 0
    for how in DETAILS["adds"]:
        assert found[f"sluice_queue_adds_total how={how}"] == 0
    for name in CLASS_NAMES:
        assert found[f"sluice_queue_retries_total class={name}"] == 0
        assert found[f"sluice_queue_parks_total class={name}"] == 0
    assert found["sluice_redis_up"] == 1


def test_a_class_of_a_newer_version_is_counted_too() -> None:
    """Workers roll before the watcher does."""
    found = shown(counts={"parked.ClassOfTomorrow": 1, "word.of-tomorrow": 1})
    assert found["sluice_queue_parks_total class=ClassOfTomorrow"] == 1
    assert not any("of-tomorrow" in name for name in found)


def test_the_series_of_a_source_goes_with_its_trouble() -> None:
    """Otherwise every registry and worker that ever failed stays a series."""
    troubles = [trouble("registry/a"), trouble("registry/b"), trouble("scanner/w1", idle=True)]
    registry = CollectorRegistry()
    registry.register(QueueMetrics(lambda: census(troubles=troubles), limit_s=PATIENCE_S))
    states = [name for name in series(registry) if name.startswith("sluice_circuit_state")]
    assert states == [
        "sluice_circuit_state source=registry/a",
        "sluice_circuit_state source=registry/b",
    ]
    troubles.clear()
    assert not any(name.startswith("sluice_circuit_state") for name in series(registry))


def test_without_a_database_there_is_no_age() -> None:
    """An age of 0 would look like the newest database of all."""
    assert not any(name.startswith("sluice_database") for name in shown())
    odd = DatabaseRow(version="local", server_url="u")
    assert not any(name.startswith("sluice_database") for name in shown(database=odd))


def test_without_redis_only_that_is_told() -> None:
    """Old numbers, or zeros, would be believed."""

    def away() -> Census:
        raise SourceUnavailableError("Redis does not answer")

    assert scraped(away) == {"sluice_redis_up": 0}


def test_no_name_stands_twice_on_the_watchers_page() -> None:
    """Prometheus refuses a page in which a series comes twice."""
    registry = CollectorRegistry()
    StreamMetrics(registry)
    FeedMetrics(registry)
    WatchMetrics(registry)
    registry.register(QueueMetrics(census))
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(QueueMetrics(census))


def test_registering_asks_redis_nothing() -> None:
    """A watcher starts before Redis does."""

    def never() -> Census:
        raise AssertionError("asked")

    CollectorRegistry().register(QueueMetrics(never))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_are_as_prometheus_wants_them(family: Any) -> None:
    """Units at the end, counters end with `_total`, help is a sentence."""
    assert family.name.startswith("sluice_")
    assert family.text.endswith(".")
    assert "|" not in family.text  # it stands in a table of the docs
    assert not family.name.endswith(("_s", "_ms", "_count"))
