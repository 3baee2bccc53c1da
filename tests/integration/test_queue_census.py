"""The numbers behind metrics and status, against what a test counts by itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import ConnectionPool, Redis
from redis.connection import UnixDomainSocketConnection

from common.model.circuit import Fail
from common.queue.contract import Add, After, Claim, Lane, Outcome, Waiting
from common.queue.needed import MARGIN_S
from common.queue.workqueue import WorkQueue
from common.state.circuits import IDLE_S, CircuitTable
from common.state.database import DatabaseRow, DatabaseTable
from common.state.ledger import Ledger
from common.state.names import Names
from tests.queue_values import LEASE_S, charged, held, used_up, workload, workloads

pytestmark = pytest.mark.integration


def claimed(queue: WorkQueue, limit: int = 64) -> list[Claim]:
    """Claim keys of pool reconcile."""
    return queue.claim("reconcile", "w1", limit=limit, lease_s=LEASE_S)


# --- the census


def test_a_census_agrees_with_a_count_by_hand(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Every number from the keys themselves, by commands that the product does not use for it."""
    queue.add([Add(key=key) for key in workloads(7)])
    queue.add([Add(key=key, lane=Lane.BULK) for key in workloads(4, "bulk")])
    queue.add([Add(key=workload("later"), delay_s=60.0)])
    first, second, third, *_ = claimed(queue, limit=5)
    queue.complete("w1", [(first, charged("Conflict")), (second, used_up("TooLarge"))])
    queue.complete("w1", [(third, held("registry/quay.io", 60.0))])
    queue.pause()
    DatabaseTable(redis_client, names).publish(DatabaseRow(version="v1", server_url="u"))
    found = queue.census()
    jobs = _bytes(redis_client.keys(f"{names.job('')}*"))
    states = Counter(_state(redis_client, job) for job in jobs)
    depth = sum(each.queued for each in found.depths.values())
    reconcile = found.totals["reconcile"]
    assert depth == states["queued"]
    assert (reconcile.running, reconcile.dead) == (states["running"], states["failed"])
    assert reconcile.delayed == states["scheduled"] == 3  # one of them is due already
    assert found.depths["reconcile", Lane.BULK].queued == 4
    assert found.paused
    assert found.workers == 1
    assert found.database is not None
    assert found.database.version == "v1"
    assert found.facts == Ledger(redis_client, names).counts()
    assert found.details == Ledger(redis_client, names).details()
    waiting = {place: each.queued for place, each in found.depths.items()}
    assert waiting == {place: each.queued for place, each in queue.depth().items()}
    assert found.totals == queue.totals()


def _bytes(found: object) -> list[bytes]:
    """Return a reply that redis-py types as many things."""
    assert isinstance(found, list)
    return found


def _state(redis: Redis, job: bytes) -> str:
    status = redis.hget(job, "status")
    assert isinstance(status, bytes)
    return "running" if redis.hexists(job, "s_token") else status.decode()


def test_the_oldest_is_the_oldest_that_still_waits(queue: WorkQueue, redis_client: Redis) -> None:
    """A promoted key leaves its entry behind, and what is given back stands before older ones."""
    old, promoted, young = workloads(3)
    queue.add([Add(key=promoted, lane=Lane.BULK)])
    queue.add([Add(key=young, lane=Lane.BULK)])
    queue.add([Add(key=old, lane=Lane.BULK)])
    queue.add([Add(key=promoted)])
    for key, age_s in ((old, 300), (promoted, 900), (young, 30)):
        _age(redis_client, queue.names.job(key), age_s)
    assert 300 <= queue.depth()["reconcile", Lane.BULK].oldest_age_s < 900
    assert queue.census().depths["reconcile", Lane.FRESH].oldest_age_s >= 900
    assert queue.census().depths["scan", Lane.FRESH].oldest_age_s == 0


def _age(redis: Redis, job: str, age_s: float) -> None:
    """Let a key wait for that long already."""
    clock = redis.time()
    assert isinstance(clock, tuple)
    since = clock[0] - age_s
    for field in ("created_at", "enqueued_at"):
        if redis.hexists(job, field):
            redis.hset(job, field, _iso(since))


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Counted(UnixDomainSocketConnection):
    """Counts what is sent at once."""

    sent = 0

    def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        type(self).sent += 1
        super().send_packed_command(*args, **kwargs)  # type: ignore[no-untyped-call] # redis-py


@pytest.fixture
def watched(redis_client: Redis, names: Names) -> Iterator[WorkQueue]:
    """Give a queue on a connection that counts."""
    path = redis_client.connection_pool.connection_kwargs["path"]
    with Redis(connection_pool=ConnectionPool(connection_class=Counted, path=path)) as client:
        client.ping()
        yield WorkQueue(client, names)


@pytest.mark.parametrize(
    "look",
    [WorkQueue.census, WorkQueue.depth, WorkQueue.ls, WorkQueue.dead_by_reason],
    ids=lambda look: look.__name__,
)
def test_every_look_is_two_round_trips(
    watched: WorkQueue, look: Callable[[WorkQueue], object]
) -> None:
    """A scrape, or a hundred keys, of a Redis behind a slow network must not add up."""
    watched.add([Add(key=key) for key in workloads(100)])
    for claim in claimed(watched, limit=20):
        watched.complete("w1", [(claim, used_up("TooLarge"))])
    Counted.sent = 0
    look(watched)
    assert Counted.sent == 2


# --- circuits


def test_a_source_that_nobody_asks_any_more_is_idle(redis_client: Redis, names: Names) -> None:
    """The scanner of a worker that is gone must not raise an alarm for a day."""
    circuits = CircuitTable(redis_client, names)
    for key in "abc":
        circuits.failed(
            "scanner/w1",
            Fail(key=key, failed_before=False, reason="ScannerUnavailable", message="gone"),
        )
    (trouble,) = circuits.troubles()
    assert (trouble.state, trouble.failures, trouble.idle) == ("open", 3, False)
    text = redis_client.hget(names.own("circuits"), "scanner/w1")
    assert isinstance(text, bytes)
    older = re.sub(r"\d{9,}(\.\d+)?", lambda at: str(float(at[0]) - IDLE_S - 60), text.decode())
    redis_client.hset(names.own("circuits"), "scanner/w1", older)
    (trouble,) = circuits.troubles()
    assert (trouble.state, trouble.idle) == ("open", True)


def test_a_source_is_past_once_no_key_waits_for_it(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Every user of a registry is deleted: a fault that nobody can mend must not stay for long."""
    circuits = CircuitTable(redis_client, names)
    for key in "abc":
        circuits.failed(
            "registry/quay.io",
            Fail(key=key, failed_before=False, reason="RegistryUnavailable", message="gone"),
        )
    web = workload("web")
    queue.add([Add(key=web)])
    (claim,) = claimed(queue)
    queue.complete("w1", [(claim, held("registry/quay.io", 600.0))])
    text = redis_client.hget(names.own("circuits"), "registry/quay.io")
    assert isinstance(text, bytes)
    older = re.sub(r"\d{9,}(\.\d+)?", lambda at: str(float(at[0]) - MARGIN_S - 60), text.decode())
    redis_client.hset(names.own("circuits"), "registry/quay.io", older)
    assert [each.idle for each in queue.census().troubles] == [False], "it holds a key"
    queue.drop(web)
    assert [each.idle for each in queue.census().troubles] == [True]


# --- single keys


def test_a_delayed_key_tells_what_it_waits_for(queue: WorkQueue) -> None:
    """Held, backing off, waiting, or asked for later: four reasons for one state."""
    keys = workloads(3)
    queue.add([Add(key=key) for key in keys])
    queue.add([Add(key=workload("asked"), delay_s=50.0)])
    first, second, third = claimed(queue)
    queue.complete("w1", [(first, held("registry/quay.io", 20.0))])
    queue.complete("w1", [(second, charged("Unknown", delay_s=30.0))])
    queue.complete("w1", [(third, Waiting(on="x"))])
    found = {entry.key: entry for entry in queue.ls("delayed")}
    waits, retried, asked = found[first.key], found[second.key], found[workload("asked")]
    assert (waits.source, waits.error_class, waits.failed) == ("registry/quay.io", "", True)
    assert (waits.reason, waits.message, waits.failures) == ("Away", "no route", {})
    assert (retried.source, retried.error_class, retried.failures) == (
        "",
        "Unknown",
        {"Unknown": 1},
    )
    assert (asked.source, asked.error_class, asked.reason, asked.failed) == ("", "", "", False)
    assert [entry.due_s for entry in found.values()] == sorted(e.due_s for e in found.values())


def test_what_it_waits_for_is_the_last_end_and_not_an_earlier_one(
    queue: WorkQueue, later: Callable[[float], None]
) -> None:
    """A key that was held by a registry and now backs off by itself must not blame the registry."""
    queue.add([Add(key=workload("web"))])
    ends: list[tuple[Outcome, tuple[str, str, str]]] = [
        (held("registry/quay.io", 5.0), ("registry/quay.io", "", "Away")),
        (After(delay_s=5.0, reason="WaitingForKubelet"), ("", "", "WaitingForKubelet")),
        (
            charged("Conflict", "R", 5.0),
            ("", "Conflict", "R"),
        ),
        (held("api-server", 5.0), ("api-server", "", "Away")),
    ]
    for outcome, expected in ends:
        (claim,) = claimed(queue)
        queue.complete("w1", [(claim, outcome)])
        (entry,) = queue.ls("delayed")
        assert (entry.source, entry.error_class, entry.reason) == expected
        later(6.0)
    (claim,) = claimed(queue)
    (runs,) = queue.ls("running")
    assert (runs.source, runs.error_class, runs.failures) == ("", "", {"Conflict": 1})
    queue.complete("w1", [(claim, used_up("TooLarge", "ReportTooLarge"))])
    (dead,) = queue.dead()
    assert (dead.source, dead.error_class, dead.reason) == ("", "TooLarge", "ReportTooLarge")
    assert dead.failures == {"Conflict": 1, "TooLarge": 1}
    queue.add([Add(key=workload("web"), delay_s=60.0)])  # revived: nothing of that counts any more
    (asked,) = queue.ls("delayed")
    assert (asked.source, asked.error_class, asked.reason, asked.failures) == ("", "", "", {})


def test_parked_keys_are_counted_by_reason(queue: WorkQueue) -> None:
    """Forty dead letters are forty faults, or one registry."""
    queue.add([Add(key=key) for key in workloads(5)])
    reasons = ["A", "B", "B", "B", "A"]
    for claim, reason in zip(claimed(queue), reasons, strict=True):
        queue.complete("w1", [(claim, used_up("Terminal", reason))])
    assert queue.dead_by_reason() == {"B": 3, "A": 2}
    assert list(queue.dead_by_reason()) == ["B", "A"]
