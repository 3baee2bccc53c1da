"""rq's own tools on our queue: they see everything, and nothing they do loses or doubles a key.

rq 3.0 is pinned because of these tests: the scripts know its key layout.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from common.model.key import WorkKey
from common.queue.contract import Add, AddResult, Claim, Lane, Retry
from common.queue.registration import Registration, worker_name
from common.queue.workqueue import WorkQueue
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.queue_values import LEASE_S, converged, image, parked, workload, workloads

pytestmark = pytest.mark.integration

WEB = workload("web")
RQ = str(Path(sys.executable).with_name("rq"))


@pytest.fixture
def rq(valkey: Valkey) -> Callable[..., str]:
    """Give the command line of rq against the shared server."""

    def run(command: str, *args: str) -> str:
        done = subprocess.run(
            [RQ, command, "-u", valkey.socket_url, *args],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def add(queue: WorkQueue, *keys: WorkKey, lane: Lane = Lane.FRESH) -> AddResult:
    return queue.add([Add(key=key, lane=lane) for key in keys])


def claim(queue: WorkQueue, limit: int = 16, worker: str = "w1") -> list[Claim]:
    return queue.claim("reconcile", worker, limit=limit, lease_s=LEASE_S)


def drained(queue: WorkQueue) -> list[WorkKey]:
    found = []
    while claims := claim(queue):
        found += [one.key for one in claims]
        queue.complete("w1", [(one, converged()) for one in claims])
    return found


def rq_queue(queue: WorkQueue, redis: Redis, lane: Lane = Lane.FRESH) -> Queue:
    """Return rq's own view of a lane."""
    name = queue.names.queue("reconcile", lane)
    return Queue(name, connection=redis, serializer=JSONSerializer)


def fetch(queue: WorkQueue, redis: Redis, key: WorkKey) -> Job:
    return Job.fetch(queue.names.job_id(key), connection=redis, serializer=JSONSerializer)


def test_rq_reads_our_jobs(queue: WorkQueue, redis_client: Redis) -> None:
    """Genuine jobs: function, argument, queue, dates and status are where rq looks for them."""
    add(queue, WEB, image())
    job = fetch(queue, redis_client, WEB)
    assert job.func_name == "worker.loop.run_key"
    assert job.args == []
    assert job.id == queue.names.job_id(WEB)  # that is what says the key
    assert job.origin == queue.names.queue("reconcile", Lane.FRESH)
    assert job.get_status().value == "queued"
    assert job.created_at is not None
    assert rq_queue(queue, redis_client).get_job_ids() == [queue.names.job_id(WEB)]
    assert rq_queue(queue, redis_client).get_job_position(job.id) == 0
    names = {one.name for one in Queue.all(connection=redis_client)}
    assert {queue.names.queue("reconcile", 0), queue.names.queue("scan", 0)} <= names


def test_rq_sees_running_delayed_and_parked_jobs(queue: WorkQueue, redis_client: Redis) -> None:
    """Its registries hold them, with the worker's name and the reason."""
    running, delayed, dead = workloads(3)
    add(queue, delayed, dead)
    first, second = claim(queue)
    queue.complete("w1", [(first, Retry(delay_s=900, reason="R", message="m"))])
    queue.complete("w1", [(second, parked("Unauthorized"))])
    add(queue, running)
    claim(queue)
    own = rq_queue(queue, redis_client)
    jobs = queue.names.job_id
    assert own.started_job_registry.get_job_ids() == [jobs(running)]
    assert own.scheduled_job_registry.get_job_ids() == [jobs(delayed)]
    assert own.failed_job_registry.get_job_ids() == [jobs(dead)]
    assert fetch(queue, redis_client, running).worker_name == "w1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # rq-dashboard reads it there
        assert fetch(queue, redis_client, dead).exc_info == "Unauthorized: manifest unknown"


def test_a_loop_that_was_killed_is_forgotten_with_its_lease(
    queue: WorkQueue, redis_client: Redis, names: Names, later: Callable[[float], None]
) -> None:
    """Law 10: rq forgets dead workers in its maintenance, which never runs here."""
    registration = Registration(redis_client, names, worker="w1", pools=("reconcile",))
    queue.beat("w1", lease_s=LEASE_S)
    registration.birth()
    assert any(b"w1" in member for member in redis_client.smembers("rq:workers"))
    later(LEASE_S + 1)
    queue.reap(3)
    places = ["rq:workers", *(f"rq:workers:{names.queue('reconcile', lane)}" for lane in Lane)]
    assert [redis_client.sismember(place, "rq:worker:w1") for place in places] == [0, 0, 0]
    leased, registered = queue.beat("w1", lease_s=LEASE_S)  # it was only slow, and comes back
    assert (leased, registered) == (False, False)  # so it registers anew


def test_rq_info_lists_queues_and_workers(
    queue: WorkQueue, redis_client: Redis, rq: Callable[..., str]
) -> None:
    """The first command that somebody who knows rq types."""
    name = worker_name(queue.names, "reconcile", 1)
    registration = Registration(redis_client, queue.names, worker=name, pools=("reconcile",))
    registration.birth()
    registration.birth()  # again after a flush, or twice: no error
    add(queue, *workloads(3))
    (first, *_) = claim(queue, worker=name)
    queue.complete(name, [(first, parked())])
    shown = rq("info", "--raw", queue.names.queue("reconcile", 0))
    assert f"queue {queue.names.queue('reconcile', 0)} 0, 2 executing" in shown
    assert ", 1 failed" in shown
    (line,) = [one for one in shown.splitlines() if one.startswith(f"worker {name} ")]
    assert " busy " in line
    assert line.endswith("jobs: 0 finished, 1 failed")
    assert queue.beat(name, lease_s=LEASE_S) == (True, True)
    registration.death()
    assert f"worker {name} " not in rq("info", "--raw", queue.names.queue("reconcile", 0))


PRETENDER = """
import os, socket, sys
os.getpid, socket.gethostname = lambda: 1, lambda: "worker"
from common.queue.registration import worker_name
from common.state.names import Names
print(worker_name(Names(sys.argv[1]), "reconcile", 1))
"""


def test_two_starts_of_one_host_name_and_process_number_are_two_workers(
    queue: WorkQueue, later: Callable[[float], None]
) -> None:
    """Containers share names, and each has a process 1; neither may give back the other's claims.

    What a start leaves behind is freed by its lease, not by the next one.
    """
    command = [sys.executable, "-P", "-c", PRETENDER, queue.names.cluster]
    old, new = (
        subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()
        for _ in range(2)
    )
    add(queue, WEB)
    assert len(claim(queue, worker=old)) == 1
    assert queue.recover(new, ()) == queue.leave(new) == 0
    assert claim(queue, worker=new) == []
    later(LEASE_S + 1)
    assert queue.reap(3) == 1
    assert [one.key for one in claim(queue, worker=new)] == [WEB]


@pytest.mark.parametrize("end", ["leaves", "dies"])
def test_rqs_list_of_workers_does_not_grow(
    queue: WorkQueue, redis_client: Any, later: Callable[[float], None], end: str
) -> None:
    """Every start has a name of its own; one whose farewell to rq was lost is forgotten too."""
    for number in range(3):
        name = f"{queue.names.cluster}-{number}"
        queue.beat(name, lease_s=LEASE_S)
        Registration(redis_client, queue.names, worker=name, pools=("reconcile",)).birth()
        if end == "leaves":
            queue.leave(name)
    later(LEASE_S + 1)
    queue.reap(3)
    ours = [
        name for name in redis_client.smembers("rq:workers") if queue.names.cluster in str(name)
    ]
    assert ours == []
    assert redis_client.smembers(f"rq:workers:{queue.names.queue('reconcile', 0)}") == set()


def test_a_client_is_not_changed_by_registering_with_rq(valkey: Valkey, names: Names) -> None:
    """Rq raises the socket timeout of its client to seven minutes: a dead peer would hang us."""
    with Redis.from_url(valkey.socket_url, socket_timeout=5) as client:
        registration = Registration(client, names, worker="w", pools=("scan",))
        registration.birth()
        registration.death()
        assert client.connection_pool.connection_kwargs["socket_timeout"] == 5


def test_rq_suspend_and_resume_hold(queue: WorkQueue, rq: Callable[..., str]) -> None:
    """An operator who suspends rq's workers means ours too."""
    add(queue, WEB)
    try:
        rq("suspend")
        assert queue.paused()
        assert claim(queue) == []
    finally:
        rq("resume")
    assert drained(queue) == [WEB]


def test_rq_requeue_runs_a_parked_key_once(
    queue: WorkQueue, rq: Callable[..., str], later: Callable[[float], None]
) -> None:
    """Rq moves it by its own code, without our scripts: it must not run twice, nor be lost."""
    add(queue, WEB)
    (one,) = claim(queue)
    queue.complete("w1", [(one, parked(probe_after_s=600))])
    shown = rq(
        "requeue",
        "--queue",
        queue.names.queue("reconcile", 0),
        "--serializer",
        "json",
        queue.names.job_id(WEB),
    )
    assert "Unable" not in shown
    assert queue.members([WEB]) == [True]
    assert add(queue, WEB) == AddResult(duplicate=1)
    (again,) = claim(queue)
    assert again.key == WEB
    later(700)  # the probe is due meanwhile: it must not queue a running key
    assert claim(queue) == []
    assert queue.complete("w1", [(again, converged())]) == [True]
    later(700)
    assert claim(queue) == []
    assert queue.members([WEB]) == [False]


def test_rq_requeue_all_without_our_serializer_works_too(
    queue: WorkQueue, rq: Callable[..., str]
) -> None:
    """Nobody remembers `--serializer json`: the job's data must survive rq's default."""
    keys = workloads(3)
    add(queue, *keys)
    queue.complete("w1", [(one, parked()) for one in claim(queue)])
    rq("requeue", "--all", "--queue", queue.names.queue("reconcile", 0))
    assert sorted(drained(queue), key=str) == keys


def test_rq_empty_costs_time_not_keys(queue: WorkQueue, rq: Callable[..., str]) -> None:
    """It deletes what is queued: no member any more, so the sweep enqueues it again."""
    keys = workloads(3)
    add(queue, *keys)
    rq("empty", queue.names.queue("reconcile", 0))
    assert queue.members(keys) == [False] * 3
    assert add(queue, *keys, lane=Lane.BULK).new == 3
    assert len(drained(queue)) == 3


@pytest.mark.parametrize("act", ["cancel", "delete"])
def test_a_queued_job_that_rq_cancels_or_deletes_can_come_back(
    queue: WorkQueue, redis_client: Redis, act: str
) -> None:
    """It does not run now; the next change, or the next sweep, brings it back."""
    add(queue, WEB)
    getattr(fetch(queue, redis_client, WEB), act)()
    assert claim(queue) == []
    assert queue.members([WEB]) == [False]
    assert add(queue, WEB, lane=Lane.BULK).new == 1
    assert drained(queue) == [WEB]


def test_a_running_job_that_rq_cancels_ends_as_it_would(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """Rq cannot stop our run; its end must still count, and leave nothing behind."""
    add(queue, WEB)
    (one,) = claim(queue)
    fetch(queue, redis_client, WEB).cancel()
    assert add(queue, WEB) == AddResult(dirty=1)
    assert queue.complete("w1", [(one, converged())]) == [True]
    assert drained(queue) == [WEB]
    assert rq_queue(queue, redis_client).canceled_job_registry.get_job_ids() == []


@pytest.mark.parametrize("act", ["info", "maintenance"])
def test_rq_maintenance_leaves_our_claims_and_dead_letters_alone(
    queue: WorkQueue, redis_client: Redis, rq: Callable[..., str], act: str
) -> None:
    """`rq info` fails jobs whose entry expired, and forgets old failures: ours never expire."""
    running, dead = workloads(2)
    add(queue, dead)
    (one,) = claim(queue)
    queue.complete("w1", [(one, parked())])
    add(queue, running)
    (held,) = claim(queue)
    own = rq_queue(queue, redis_client)
    if act == "info":
        rq("info")
    else:
        in_a_year = int(datetime.now(UTC).timestamp()) + 365 * 86_400
        own.started_job_registry.cleanup(in_a_year)
        own.failed_job_registry.cleanup(in_a_year)
    assert queue.members([running, dead]) == [True, True]
    jobs = queue.names.job_id
    assert own.started_job_registry.get_job_ids(cleanup=False) == [jobs(running)]
    assert own.failed_job_registry.get_job_ids(cleanup=False) == [jobs(dead)]
    assert queue.complete("w1", [(held, converged())]) == [True]


def test_a_stock_worker_that_takes_a_key_does_not_lose_it(
    queue: WorkQueue, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody starts `rq worker` on our queue: it fails the key, and the sweep runs it again."""
    add(queue, WEB)
    with Redis.from_url(valkey.socket_url) as client:
        worker = SimpleWorker(
            [rq_queue(queue, client)], connection=client, serializer=JSONSerializer
        )
        monkeypatch.setattr(worker, "_install_signal_handlers", lambda: None)
        worker.work(burst=True, logging_level="CRITICAL")
        assert fetch(queue, client, WEB).is_failed
    assert queue.members([WEB]) == [False]  # parked without a probe: nothing would revive it
    assert add(queue, WEB, lane=Lane.BULK).repaired == 1
    assert drained(queue) == [WEB]


def test_a_promoted_key_whose_entry_rq_still_shows_runs_once(
    queue: WorkQueue, redis_client: Any
) -> None:
    """Compacting is rq's way to drop dead entries; ours are dropped when their turn comes."""
    add(queue, WEB, lane=Lane.BULK)
    add(queue, WEB)
    bulk = rq_queue(queue, redis_client, Lane.BULK)
    assert bulk.count == 1
    bulk.compact()  # type: ignore[no-untyped-call] # rq leaves it untyped
    assert drained(queue) == [WEB]
    assert Worker.count(connection=redis_client) >= 0
