"""Whole worker processes on a real server: drained, killed, stopped. Tortured: test_torture.py.

The oracle is files outside Redis (tests/queue_worker.py): which version of a key was wanted, which
was seen, and whether two runs of one key ever met.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from common.model.errors import SluiceError
from common.model.key import WorkloadKey
from common.queue.contract import Add, Lane
from common.queue.workqueue import WorkQueue
from common.state.ledger import Ledger
from common.state.names import Names
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack
from sandbox.valkey import Valkey
from tests.queue_values import workloads
from tests.queue_worker import Diary, Order

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CLUSTER = "procs"


@dataclass
class Ground:
    """A server of its own, workers, and the diary."""

    server: Valkey
    place: Place
    client: Redis
    diary: Diary
    workers: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = WorkQueue(self.client, Names(CLUSTER))
        self.ledger = Ledger(self.client, Names(CLUSTER))

    def start(self, **changes: object) -> Process:
        """Start a worker process."""
        order = Order(url=self.server.socket_url, cluster=CLUSTER, folder=str(self.diary.folder))
        order = msgspec.structs.replace(order, **changes)
        name = f"worker-{len(self.workers)}"
        worker = Process(
            Command(
                name=name,
                argv=(
                    sys.executable,
                    "-m",
                    "tests.queue_worker",
                    msgspec.json.encode(order).decode(),
                ),
                log=self.place.log(name),
                folder=ROOT,
            )
        ).start()
        self.workers.append(worker)
        return worker

    def change(self, key: WorkloadKey, lane: Lane = Lane.FRESH) -> None:
        """Change a key and add it, as a watcher does: again until it is acknowledged."""
        self.diary.want(key.name, self.diary.wanted(key.name) + 1)
        self.added(lambda: self.queue.add([Add(key=key, lane=lane)]))

    @staticmethod
    def added(add: Callable[[], object]) -> None:
        while True:
            try:
                add()
            except SluiceError:
                time.sleep(0.02)
            else:
                return

    def behind(self, keys: list[WorkloadKey]) -> list[str]:
        """Return the keys whose last change no run has seen."""
        return [
            key.name for key in keys if self.diary.seen(key.name) != self.diary.wanted(key.name)
        ]

    def settle(self, keys: list[WorkloadKey], *, within_s: float = 15.0) -> None:
        """Wait until no key is in the queue any more."""
        until(lambda: not any(self.queue.members(keys)), within_s=within_s)


def until(condition: Callable[[], bool], *, within_s: float = 15.0) -> None:
    """Wait for a condition; fail when it does not come."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def ground(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Ground]:
    """Give the ground; the parameter is Redis' `appendfsync`."""
    with Place() as place, Stack() as stack:
        server = Valkey(place, stack, fsync=getattr(request, "param", "everysec")).start()
        with Redis.from_url(server.socket_url, socket_timeout=10) as client:
            ground = Ground(server, place, client, Diary(tmp_path))
            yield ground
            for worker in ground.workers:
                worker.kill()


def test_sigterm_drains(ground: Ground) -> None:
    """Kubernetes ends a pod: the running key is finished, the others are free at once."""
    keys = workloads(6)
    for key in keys:
        ground.change(key)
    worker = ground.start(run_s=0.6, lease_s=30.0)
    until(lambda: any((ground.diary.folder / "lock").iterdir()))
    worker.stop()
    assert worker.exit_status == 0
    runs = ground.diary.runs()
    assert 0 < len(runs) < 6
    assert not any((ground.diary.folder / "lock").iterdir())  # nothing was cut in the middle
    claims = ground.queue.claim("reconcile", "next", limit=9, lease_s=9)
    while more := ground.queue.claim("reconcile", "next", limit=9, lease_s=9):
        claims += more
    assert [claim.key.name for claim in claims if isinstance(claim.key, WorkloadKey)] == [
        key.name for key in keys if key.name not in runs
    ]
    assert ground.client.zrange("sluice:procs:leases", 0, -1) == [b"next"]
    assert ground.ledger.counts()["released"] <= 5


def test_a_grace_period_ends(ground: Ground) -> None:
    """A run that hangs must not keep the pod: it exits with a status, and the lease ends."""
    (key,) = workloads(1)
    ground.change(key)
    worker = ground.start(run_s=3600.0, grace_s=0.3)
    until(lambda: any((ground.diary.folder / "lock").iterdir()))
    worker.stop()
    assert worker.exit_status == 1
    assert ground.queue.members([key]) == [True]


def test_a_killed_workers_keys_run_elsewhere_after_its_lease(ground: Ground) -> None:
    """SIGKILL, OOM, a node that is gone: the work goes on within a lease."""
    keys = workloads(4)
    for key in keys:
        ground.change(key)
    first = ground.start(run_s=3600.0)
    until(lambda: any((ground.diary.folder / "lock").iterdir()))
    first.kill()
    ground.start()
    ground.settle(keys)
    assert ground.behind(keys) == []
    assert ground.diary.violations() == []


def test_a_worker_that_was_stopped_past_its_lease_changes_nothing(ground: Ground) -> None:
    """Trap 8. worker SIGSTOPped past its lease, then continues: its completion is fenced."""
    keys = workloads(3)
    for key in keys:
        ground.change(key)
    first = ground.start(run_s=0.0001)
    ground.settle(keys)
    slow = workloads(1, "slow")[0]
    first.stop()
    ground.workers.remove(first)

    ground.change(slow)
    zombie = ground.start(run_s=1.5)
    until(lambda: any((ground.diary.folder / "lock").iterdir()))
    held = ground.queue.ls("running")[0].worker
    os.kill(zombie.pid, signal.SIGSTOP)
    ground.change(slow)  # while it stands still, its key changes
    ground.start()
    ground.settle([slow])
    assert ground.behind([slow]) == []
    os.kill(zombie.pid, signal.SIGCONT)
    until(lambda: ground.ledger.counts()["refused"] > 0)
    assert ground.ledger.tail(50)
    refused = [fact for _, fact in ground.ledger.tail(50) if fact.kind == "refused"]
    assert refused[-1].data["worker"] == held
    assert ground.queue.members([slow]) == [False]


@pytest.mark.parametrize("ground", ["always"], indirect=True)  # so that the claim is in the log
def test_an_end_that_the_log_lost_does_not_hold_its_key_for_ever(ground: Ground) -> None:
    """Redis comes back with a claim that ended long ago, of a worker that lives.

    Its lease never ends, and an add or a sweep would believe that the key runs.
    """
    key, later = workloads(2)
    ground.change(key)
    ground.start(run_s=0.5)
    until(lambda: any((ground.diary.folder / "lock").iterdir()))
    claimed_bytes = ground.server.log_bytes()
    ground.settle([key])
    ground.change(later)  # who works on it has heard that the first end was taken
    ground.settle([later])
    ground.server.kill(keep_bytes=claimed_bytes)
    ground.server.restart()
    assert ground.queue.members([key]) == [True]
    ground.settle([key])
    # Two as a rule; a worker that starves loses its lease, and then it is one more.
    assert ground.diary.runs().count(str(key.name)) >= 2
    assert ground.diary.violations() == []
