"""A scrape over HTTP: the numbers of a real queue, and an answer while Redis gives none."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from common.model.circuit import Fail
from common.ops.gathering import families, gathered_registry
from common.ops.probes import ProbeServer, metrics_route
from common.queue.contract import Add, Hold, Lane, Outcome, Park, Retry
from common.queue.workqueue import WorkQueue
from common.state.circuits import CircuitTable
from common.state.names import Names
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.valkey import Valkey
from tests.queue_values import LEASE_S, converged, workload, workloads
from tests.waiting import PATIENCE_S, eventually
from watcher.queue_metrics import QueueMetrics

pytestmark = pytest.mark.integration

Scrape = Callable[[], dict[str, float]]


@contextlib.contextmanager
def serving(queue: WorkQueue) -> Iterator[str]:
    """Serve a queue's metrics as the watcher does; give the page's URL."""
    registry = CollectorRegistry()
    registry.register(QueueMetrics(queue.census))
    with ProbeServer("127.0.0.1", 0, {"/metrics": metrics_route(registry)}) as server:
        yield f"http://127.0.0.1:{server.port}/metrics"


def scraped(url: str) -> dict[str, float]:
    """Return a page's samples, by name and labels."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 # loopback HTTP
        text = answer.read().decode()
    return {
        sample.name
        + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_shows_what_the_queue_holds(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """From an add to a dead letter, each number counted by the test as well."""
    queue.add([Add(key=key) for key in workloads(6)])
    again = queue.add([Add(key=key) for key in workloads(2)])
    queue.add([Add(key=workload("bulk"), lane=Lane.BULK)])
    claims = queue.claim("reconcile", "w1", limit=5, lease_s=LEASE_S)
    for key in "abc":
        failure = Fail(key=key, failed_before=False, reason="Away", message="no")
        CircuitTable(redis_client, names).failed("registry/quay.io", failure)
    ends: list[Outcome] = [
        converged(),
        Retry(delay_s=60.0, reason="R", message="m", budget="Conflict"),
        Hold(delay_s=60.0, source="registry/quay.io", reason="Away", message="m"),
        Park(reason="P", message="m", budget="TooLarge", probe_after_s=60.0),
    ]
    queue.complete("w1", list(zip(claims, ends, strict=False)))
    with serving(queue) as url:
        found = scraped(url)
    expected = {
        "sluice_redis_up": 1,
        "sluice_queue_depth lane=fresh pool=reconcile": 1,
        "sluice_queue_depth lane=bulk pool=reconcile": 1,
        "sluice_queue_running pool=reconcile": 1,
        "sluice_queue_delayed pool=reconcile": 2,
        "sluice_queue_dead pool=reconcile": 1,
        "sluice_queue_adds_total how=new": 7,
        "sluice_queue_adds_total how=duplicate": again.duplicate,
        "sluice_queue_deduplicated_total": 2,
        "sluice_queue_claims_total": 5,
        "sluice_queue_retries_total class=Conflict": 1,
        "sluice_queue_holds_total source_kind=registry": 1,
        "sluice_queue_parks_total class=TooLarge": 1,
        "sluice_facts_total kind=converged": 1,
        "sluice_circuit_state source=registry/quay.io": 2,
        "sluice_circuit_changes_total state=open": 1,
        "sluice_workers_alive": 1,
    }
    assert {name: found[name] for name in expected} == expected
    assert found["sluice_queue_oldest_seconds lane=fresh pool=reconcile"] > 0


def test_a_flush_of_redis_is_a_counter_that_starts_again(queue: WorkQueue) -> None:
    """Prometheus takes a smaller value as a restart; a negative one it would take as truth."""
    with serving(queue) as url:
        queue.add([Add(key=key) for key in workloads(3)])
        assert scraped(url)["sluice_queue_adds_total how=new"] == 3
        queue.scripts.redis.delete(queue.names.own("counts"))
        assert scraped(url)["sluice_queue_adds_total how=new"] == 0
        queue.add([Add(key=key) for key in workloads(2, "other")])
        assert scraped(url)["sluice_queue_adds_total how=new"] == 2


def test_the_supervisor_of_sluice_run_passes_them_on(queue: WorkQueue) -> None:
    """On one machine everybody's metrics are one page."""
    queue.add([Add(key=workload("web"))])
    with serving(queue) as url:
        found = {
            (sample.name, sample.labels.get("how"), sample.labels["process"]): sample.value
            for family in gathered_registry({"watcher": url}).collect()
            for sample in family.samples
        }
    assert found["sluice_queue_adds_total", "new", "watcher"] == 1
    assert families("no page") == []


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """Give a server that only this test stops."""
    with Place() as place, Stack() as stack:
        yield Valkey(place, stack, name="stopped").start()


@contextlib.contextmanager
def stopped(valkey: Valkey) -> Iterator[None]:
    """Let the server answer nobody: connections stay open, and nothing comes back."""
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(valkey.pid, signal.SIGCONT)


def test_a_scrape_is_answered_while_redis_is_stopped(own_valkey: Valkey) -> None:
    """The client here would wait for ever; the page does not, however many ask for it."""
    with Redis.from_url(own_valkey.socket_url, socket_timeout=None) as client:
        queue = WorkQueue(client, Names("stopped"))
        queue.add([Add(key=workload("web"))])
        with serving(queue) as url:
            assert scraped(url)["sluice_queue_depth lane=fresh pool=reconcile"] == 1
            before = threading.active_count()
            with stopped(own_valkey):
                with ThreadPoolExecutor(4) as pool:
                    found = list(pool.map(scraped, [url] * 4))
                assert found == [{"sluice_redis_up": 0.0}] * 4
                readers = [each for each in threading.enumerate() if each.name == "queue-metrics"]
                assert len(readers) == 1
            assert eventually(lambda: scraped(url)["sluice_redis_up"] == 1)
            assert scraped(url)["sluice_queue_depth lane=fresh pool=reconcile"] == 1
            assert eventually(lambda: threading.active_count() <= before)


def test_a_scrape_is_answered_while_redis_is_gone(own_valkey: Valkey) -> None:
    """And shows numbers again when it is back, on the data that it kept."""
    with Redis.from_url(own_valkey.socket_url) as client:
        queue = WorkQueue(client, Names("gone"))
        queue.add([Add(key=workload("web"))])
        with serving(queue) as url:
            own_valkey.stop()
            assert scraped(url) == {"sluice_redis_up": 0.0}
            own_valkey.restart()
            assert scraped(url)["sluice_queue_adds_total how=new"] == 1


def test_a_user_who_may_not_ask_for_info_loses_only_those_numbers(own_valkey: Valkey) -> None:
    """Whoever keeps Redis may keep its INFO to himself."""
    with Redis.from_url(own_valkey.socket_url) as admin:
        admin.acl_setuser(
            "plain", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=["-info"]
        )
    with Redis.from_url(own_valkey.socket_url, username="plain") as client:
        queue = WorkQueue(client, Names("plain"))
        queue.add([Add(key=workload("web"))])
        with serving(queue) as url:
            found = scraped(url)
    assert found["sluice_queue_adds_total how=new"] == 1
    assert not any(name.startswith("sluice_redis_memory") for name in found)
    assert "sluice_redis_persistence_ok" not in found
