"""For every alert: series on which it must fire, and near ones on which it must not.

Values are promtool's: `1x60` is 1 for an hour of minutes, `0+2x60` grows by 2 a minute. `@` stands
for the labels of the release's targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Series = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What an alert is tested with."""

    fires: Series
    calm: Series
    at: str = "20m"  # it fires by then
    early: str = "1m"  # and not yet by then


def _one(metric: str, *, fires: str, calm: str, at: str = "20m", early: str = "1m") -> Case:
    return Case(fires={metric: fires}, calm={metric: calm}, at=at, early=early)


CASES: Mapping[str, Case] = {
    "KubeSluiceAbsent": Case(
        fires={'sluice_build_info{component="worker",@}': "1x200"},
        calm={'sluice_build_info{component="watcher",@}': "1x200"},
    ),
    "KubeSluiceRedisDown": _one("sluice_redis_up{@}", fires="0x200", calm="1x200"),
    "KubeSluiceRedisCannotSave": _one(
        "sluice_redis_persistence_ok{@}", fires="0x200", calm="1x200"
    ),
    "KubeSluiceRedisMemory": Case(
        fires={
            "sluice_redis_memory_used_bytes{@}": "86x200",
            "sluice_redis_memory_max_bytes{@}": "100x200",
        },
        calm={
            "sluice_redis_memory_used_bytes{@}": "86x200",
            "sluice_redis_memory_max_bytes{@}": "0x200",  # no limit
        },
    ),
    "KubeSluiceRedisEvicts": _one(
        "sluice_redis_evicted_keys_total{@}", fires="0x10 1x200", calm="7x200", early="9m"
    ),
    "KubeSluiceLeader": Case(
        fires={
            'sluice_watcher_leader{pod="a",@}': "0x200",
            'sluice_watcher_leader{pod="b",@}': "0x200",
        },
        # Without Redis nobody may lead: one alert is enough.
        calm={
            'sluice_watcher_leader{pod="a",@}': "1x10 0x190",
            'sluice_watcher_leader{pod="b",@}': "0x200",
            'sluice_redis_up{pod="a",@}': "1x10 0x190",
        },
    ),
    "KubeSluiceWatchSilent": _one(
        'sluice_watcher_last_event_age_seconds{resource="pods",@}', fires="301x200", calm="300x200"
    ),
    "KubeSluiceNoWorkers": _one("sluice_workers_alive{@}", fires="0x200", calm="1x200"),
    "KubeSluicePaused": _one(
        "sluice_queue_paused{@}", fires="1x200", calm="0x200", at="61m", early="59m"
    ),
    "KubeSluiceQueueOld": Case(
        fires={'sluice_queue_oldest_seconds{pool="scan",lane="fresh",@}': "601x200"},
        calm={
            'sluice_queue_oldest_seconds{pool="scan",lane="fresh",@}': "600x200",
            'sluice_queue_oldest_seconds{pool="scan",lane="bulk",@}': "9999x200",
        },
    ),
    "KubeSluiceCoverage": Case(
        fires={
            'sluice_workloads{state="true",@}': "89x200",
            'sluice_workloads{state="queued",@}': "11x200",
        },
        calm={
            'sluice_workloads{state="true",@}': "90x200",
            'sluice_workloads{state="queued",@}': "10x200",
        },
        at="61m",
        early="59m",
    ),
    "KubeSluiceParked": Case(
        # A watcher that takes over serves the same numbers under another name: no growth.
        fires={'sluice_queue_dead{pool="scan",pod="a",@}': "5x60 16x140"},
        calm={
            'sluice_queue_dead{pool="scan",pod="a",@}': "16x60 _x140",
            'sluice_queue_dead{pool="scan",pod="b",@}': "_x60 16x140",
        },
        at="70m",
        early="63m",
    ),
    "KubeSluiceDefect": Case(
        fires={'sluice_queue_parks_total{class="Crashed",@}': "0x10 1x190"},
        calm={
            'sluice_queue_parks_total{class="Crashed",@}': "3x200",
            'sluice_queue_parks_total{class="ImageNotFound",@}': "0+5x200",
        },
        early="9m",
    ),
    "KubeSluiceCircuitOpen": Case(
        # A probe every few minutes, which fails: never a quarter of an hour at one state.
        fires={
            'sluice_circuit_state{source="registry/r",@}': "2 2 2 2 1 2 2 2 2 1 2 2 2 2 1 2x185"
        },
        calm={'sluice_circuit_state{source="registry/r",@}': "2 2 2 2 1 0x195"},
        at="16m",
        early="14m",
    ),
    "KubeSluiceDatabaseOld": _one(
        "sluice_database_age_seconds{@}",
        fires="259201x200",
        calm="259200x200",
        at="61m",
        early="59m",
    ),
    "KubeSluiceDatabaseUnchecked": _one(
        "sluice_database_checked_age_seconds{@}", fires="21601x200", calm="21600x200"
    ),
    "KubeSluiceDatabaseMissing": Case(
        fires={"sluice_redis_up{@}": "1x200"},
        calm={"sluice_redis_up{@}": "1x200", "sluice_database_age_seconds{@}": "5x200"},
        at="31m",
        early="29m",
    ),
    "KubeSluiceWorkersDie": _one(
        "sluice_queue_leases_expired_total{@}", fires="0x10 9x190", calm="0x10 2x190", early="9m"
    ),
    "KubeSluiceScannerMemory": Case(
        fires={'sluice_failures_total{reason="OutOfMemory",pod="a",@}': "0x10 9x190"},
        calm={
            'sluice_failures_total{reason="OutOfMemory",pod="a",@}': "0x10 2x190",
            'sluice_failures_total{reason="ScannerDied",pod="a",@}': "0+9x200",
        },
        early="9m",
    ),
    "KubeSluiceApiThrottled": _one(
        'sluice_failures_total{reason="ApiThrottled",@}',
        fires="0+2x200",
        calm="0+1x200",
        at="40m",
        early="20m",
    ),
    "KubeSluiceQueueTampered": _one(
        'sluice_queue_repairs_total{found_by="add",@}',
        fires="0x10 1x190",
        calm="4x200",
        early="9m",
    ),
}
