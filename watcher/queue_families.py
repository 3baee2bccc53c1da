"""The whole cluster's queue as metrics: names, labels, and where each number comes from. Pure.

Counters are the scripts' own (`common.model.counts`): they grow until Redis is flushed, which
Prometheus takes as a restart. Sources come and go, and their series with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from common.overview.ages import database_age_s
from common.queue.census import Census
from common.queue.contract import Totals

_STATES = {"failing": 0, "probing": 1, "open": 2}
# What a Redis that cannot write says: it refuses every change until it can.
_LAST_SAVES = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")

Samples: TypeAlias = Iterable[tuple[tuple[str, ...], float]]  # values of the labels, the number


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric; a name that ends with `_total` is a counter."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    read: Callable[[Census], Samples]

    def shown(self, census: Census | None) -> Metric:
        """Return the metric with its samples; None: without any."""
        counts = self.name.endswith("_total")
        kind = CounterMetricFamily if counts else GaugeMetricFamily
        made = kind(self.name, self.text, labels=self.labels)
        for values, number in self.read(census) if census else ():
            made.add_metric(values, number)
        return made


def _one(read: Callable[[Census], float]) -> Callable[[Census], Samples]:
    return lambda census: [((), read(census))]


def _pools(read: Callable[[Totals], int]) -> Callable[[Census], Samples]:
    return lambda census: [((pool,), read(totals)) for pool, totals in census.totals.items()]


def _fact(kind: str) -> Callable[[Census], Samples]:
    return _one(lambda census: census.facts[kind])


def _detail(word: str) -> Callable[[Census], Samples]:
    return lambda census: _by_name(census.details[word])


def _by_name(numbers: Mapping[str, int]) -> Samples:
    return (((name,), number) for name, number in numbers.items())


def _depths(census: Census) -> Samples:
    return [((pool, lane.label), each.queued) for (pool, lane), each in census.depths.items()]


def _oldest(census: Census) -> Samples:
    return [((pool, lane.label), each.oldest_age_s) for (pool, lane), each in census.depths.items()]


def _circuits(census: Census) -> Samples:
    known = (trouble for trouble in census.troubles if not trouble.idle)
    return [((trouble.source,), _STATES[trouble.state]) for trouble in known]


def _told(field: str) -> Callable[[Census], Samples]:
    """Return what reads a number of INFO; no series where our user may not ask."""

    def read(census: Census) -> Samples:
        value = (census.server or {}).get(field)
        return [((), value)] if isinstance(value, int | float) else []

    return read


def _saves(census: Census) -> Samples:
    if census.server is None:
        return []
    words = [census.server.get(name, "ok") for name in _LAST_SAVES]
    return [((), float(words == ["ok"] * len(words)))]


def _database_age(census: Census) -> Samples:
    row = census.database
    age_s = database_age_s(row.version, census.now_s) if row else None
    return [] if age_s is None else [((), age_s)]


def _checked_age(census: Census) -> Samples:
    row = census.database
    return [((), max(0.0, census.now_s - row.checked_at))] if row and row.checked_at else []


FAMILIES: tuple[Family, ...] = (
    Family(
        name="sluice_queue_depth",
        text="Entries that wait in a lane; a promoted key may have left a second one behind.",
        labels=("pool", "lane"),
        read=_depths,
    ),
    Family(
        name="sluice_queue_oldest_seconds",
        text="For how long the oldest key of a lane has waited; 0: none waits.",
        labels=("pool", "lane"),
        read=_oldest,
    ),
    Family(
        name="sluice_queue_running",
        text="Keys that are claimed.",
        labels=("pool",),
        read=_pools(lambda totals: totals.running),
    ),
    Family(
        name="sluice_queue_delayed",
        text="Keys that wait for a time: backoffs, held ones, a kubelet that has not pulled yet.",
        labels=("pool",),
        read=_pools(lambda totals: totals.delayed),
    ),
    Family(
        name="sluice_queue_dead",
        text="Parked keys; each is tried again by its slow probe.",
        labels=("pool",),
        read=_pools(lambda totals: totals.dead),
    ),
    Family(
        name="sluice_queue_paused",
        text="1 while claims are stopped by an operator.",
        read=_one(lambda census: float(census.paused)),
    ),
    Family(
        name="sluice_queue_adds_total",
        text="Adds of all processes, by what became of them.",
        labels=("how",),
        read=_detail("adds"),
    ),
    Family(
        name="sluice_queue_deduplicated_total",
        text="Adds that changed nothing: the key waited already, or was marked as changed.",
        read=_fact("deduplicated"),
    ),
    Family(name="sluice_queue_claims_total", text="Claims of all workers.", read=_fact("claimed")),
    Family(
        name="sluice_queue_retries_total",
        text="Failed runs that are tried again, by the error class that was charged.",
        labels=("class",),
        read=_detail("retried"),
    ),
    Family(
        name="sluice_queue_parks_total",
        text="Failed runs that parked their key, by error class; `Crashed`: its workers died.",
        labels=("class",),
        read=_detail("parked"),
    ),
    Family(
        name="sluice_queue_holds_total",
        text="Runs that failed by a fault of a source and were charged to no key.",
        labels=("source_kind",),
        read=_detail("held"),
    ),
    Family(
        name="sluice_queue_released_total",
        text="Claims that were given back without a result.",
        labels=("why",),
        read=_detail("released"),
    ),
    Family(
        name="sluice_queue_leases_expired_total",
        text="Loops that were gone when their lease ended.",
        read=_one(lambda census: census.details["leases"]["expired"]),
    ),
    Family(
        name="sluice_queue_refused_total",
        text="Completions whose claim was not current, and table writes of a watcher before.",
        labels=("what",),
        read=_detail("refused"),
    ),
    Family(
        name="sluice_queue_repairs_total",
        text="Entries that somebody else removed from the queue or put there twice, by who saw it.",
        labels=("found_by",),
        read=_detail("repairs"),
    ),
    Family(
        name="sluice_circuit_state",
        text="Sources in trouble: 2 open, 1 probing, 0 failing and still asked; no series: well, "
        "or no key waits for it any more.",
        labels=("source",),
        read=_circuits,
    ),
    Family(
        name="sluice_circuit_changes_total",
        text="Circuits that opened, let one key through, or closed.",
        labels=("state",),
        read=_detail("circuit"),
    ),
    Family(
        name="sluice_facts_total",
        text="Facts of every kind since Redis was flushed.",
        labels=("kind",),
        read=lambda census: _by_name(census.facts),
    ),
    Family(
        name="sluice_workers_alive",
        text="Loops of workers whose lease has not ended.",
        read=_one(lambda census: census.workers),
    ),
    Family(
        name="sluice_database_age_seconds",
        text="Age of the vulnerability database in use; no series: there is none.",
        read=_database_age,
    ),
    Family(
        name="sluice_database_checked_age_seconds",
        text="Since the matcher looked for a newer database.",
        read=_checked_age,
    ),
    Family(
        name="sluice_redis_memory_used_bytes",
        text="Memory that Redis uses.",
        read=_told("used_memory"),
    ),
    Family(
        name="sluice_redis_memory_max_bytes",
        text="Memory that Redis' data may use, beyond which it refuses adds; 0: no limit.",
        read=_told("maxmemory"),
    ),
    Family(
        name="sluice_redis_evicted_keys_total",
        text="Keys that Redis dropped for want of memory; any is lost data of ours.",
        read=_told("evicted_keys"),
    ),
    Family(
        name="sluice_redis_commands_total",
        text="Commands that Redis has processed, of all its clients.",
        read=_told("total_commands_processed"),
    ),
    Family(
        name="sluice_redis_persistence_ok",
        text="1 while Redis' last append and snapshot were written, or none was due.",
        read=_saves,
    ),
)
