"""Failover by Sentinel with real worker processes: killed, demoted, hanging, and lost tails.

The oracle is outside Redis (tests/queue_worker.py): which version of a key was wanted, which was
seen, whether two runs of a key ever met, and every token that a run held.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from common.model.errors import PreconditionError, SluiceError
from common.model.key import WorkloadKey
from common.queue.contract import Add, Lane
from common.queue.workqueue import WorkQueue
from common.state.connect import Client
from common.state.control import Control
from common.state.epoch import EpochTable
from common.state.fence import FenceTable
from common.state.leader import LeaderTable
from common.state.names import Names
from common.state.seen import SeenTable
from sandbox.place import Place
from sandbox.processes import Stack
from sandbox.sentinel import Sentinels
from sandbox.valkey import Valkey
from tests.deployments import PASSWORD, SERVERS, Deployment, program_of
from tests.fixtures_sandbox import lacking
from tests.queue_values import LEASE_S, converged, row, workload, workloads
from tests.queue_worker import Diary
from tests.waiting import eventually
from tests.worker_processes import Workers
from watcher.lead import Lead, LeadPorts

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
HANG_S = 3.0  # longer than an idle loop waits


@dataclass
class Field:
    """A server that will fail, the product's client of it, workers and their record."""

    client: Client
    names: Names
    workers: Workers

    def __post_init__(self) -> None:
        self.queue = WorkQueue(self.client, self.names)

    def add(self, keys: Sequence[WorkloadKey], lane: Lane = Lane.FRESH) -> None:
        """Add keys, again until it is acknowledged, as the watcher's feed does."""
        assert eventually(lambda: self._added(keys, lane), within_s=PATIENCE_S)

    def _added(self, keys: Sequence[WorkloadKey], lane: Lane) -> bool:
        try:
            self.queue.add([Add(key=key, lane=lane) for key in keys])
        except SluiceError:
            return False
        return True

    def change(self, *keys: WorkloadKey) -> None:
        """Change keys and add them."""
        self.workers.want(keys)
        self.add(keys)

    def settle(self, keys: Sequence[WorkloadKey]) -> None:
        """Wait until no key is in the queue any more."""
        assert eventually(lambda: self._empty(keys), within_s=PATIENCE_S), self.workers.said()

    def _empty(self, keys: Sequence[WorkloadKey]) -> bool:
        found = self.knows(keys)
        return bool(found) and not any(found)

    def knows(self, keys: Sequence[WorkloadKey]) -> list[bool]:
        """Say of each key whether it is in the queue; nothing while Redis is away."""
        try:
            return self.queue.members(keys)
        except SluiceError:
            return []

    def sweep(self, keys: Sequence[WorkloadKey]) -> int:
        """Add what disagrees, as the watcher's sweep does; return how much did."""
        behind = self.workers.behind(keys)
        if behind:
            self.add(behind, Lane.BULK)
            self.settle(keys)
        return len(behind)

    @contextmanager
    def changing(self, keys: Sequence[WorkloadKey]) -> Iterator[None]:
        """Change keys at random during the block."""
        dice, stop = random.Random(7), threading.Event()  # noqa: S311 # which key comes next

        def produce() -> None:
            while not stop.wait(0.002):
                self.change(dice.choice(keys))

        producer = threading.Thread(target=produce)
        producer.start()
        try:
            yield
        finally:
            stop.set()
            producer.join()


@pytest.fixture(params=SERVERS)
def program(request: pytest.FixtureRequest) -> Path:
    """Give each server's program."""
    try:
        return program_of(request.param)
    except PreconditionError as error:
        lacking(error)


@pytest.fixture
def ground() -> Iterator[tuple[Place, Stack]]:
    """Give a place and a stack of the test's own."""
    with Place() as place, Stack() as stack:
        yield place, stack


@pytest.fixture
def pair(program: Path, ground: tuple[Place, Stack]) -> Sentinels:
    """Give a primary with one replica, and a Sentinel."""
    return Sentinels(*ground, program=program, password=PASSWORD).start()


@pytest.fixture
def trio(program: Path, ground: tuple[Place, Stack]) -> Sentinels:
    """Give what docs/operations.md recommends: two replicas, and no writes without one."""
    return Sentinels(
        *ground, program=program, password=PASSWORD, replicas=2, watchers=3, name="trio"
    ).start()


@pytest.fixture
def field(pair: Sentinels, ground: tuple[Place, Stack], tmp_path: Path) -> Iterator[Field]:
    """Give the product on the pair."""
    yield from _field(_deployment(pair, tmp_path), ground, tmp_path)


@pytest.fixture
def guarded(trio: Sentinels, ground: tuple[Place, Stack], tmp_path: Path) -> Iterator[Field]:
    """Give the product on the trio."""
    yield from _field(_deployment(trio, tmp_path), ground, tmp_path)


def _deployment(servers: Sentinels, folder: Path) -> Deployment:
    file = folder / "password"
    file.write_text(PASSWORD)
    return Deployment(
        name="sentinel", url=servers.url, admin=servers.admin, password_file=str(file)
    )


def _field(deployment: Deployment, ground: tuple[Place, Stack], folder: Path) -> Iterator[Field]:
    cluster = f"t{secrets.token_hex(5)}"
    workers = Workers(deployment, cluster, *ground, Diary(folder / "diary"))
    with deployment.client() as client:
        yield Field(client, Names(cluster), workers)


# --- what happens to a primary


def kill(pair: Sentinels) -> Callable[[], None]:
    """Kill it; it does not come back."""
    pair.primary().kill()
    return lambda: None


def demote(pair: Sentinels) -> Callable[[], None]:
    """Promote the replica; for 8 s there are two primaries, then one is told that it follows."""
    former = pair.primary()
    pair.demote()
    return lambda: pair.await_follower(former)


def hang(pair: Sentinels) -> Callable[[], None]:
    """Stop it without a word; then it wakes, and believes for some seconds that it still leads."""
    former = pair.primary()
    os.kill(former.pid, signal.SIGSTOP)

    def wake() -> None:
        os.kill(former.pid, signal.SIGCONT)
        pair.await_follower(former)

    return wake


@pytest.mark.parametrize("fail", [kill, demote, hang])
def test_workers_go_on_by_themselves_after_a_failover(
    trio: Sentinels,
    guarded: Field,
    fail: Callable[[Sentinels], Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Law 2: no process is restarted, no key is lost after one sweep, no run meets another."""
    field, keys, workers = guarded, workloads(60), guarded.workers
    if fail is hang:  # it is noticed after this long, which is 15 s: too long for every test run
        monkeypatch.setattr("common.state.connect.REPLY_S", HANG_S)
    for _ in range(2):
        workers.start(loops=2, run_s=0.004, lease_s=1.0, reply_s=HANG_S if fail is hang else 0.0)
    former = trio.primary()
    with field.changing(keys):
        assert eventually(lambda: len(workers.diary.runs()) > 100), workers.said()
        began_s = time.monotonic()
        wake = fail(trio)
        trio.await_failover(former)
        led_s = time.monotonic() - began_s
        first = workload("first")
        field.change(first)
        assert eventually(lambda: workers.diary.seen(first.name), within_s=PATIENCE_S)
        took_s = time.monotonic() - began_s
        wake()
        runs = len(workers.diary.runs())
        assert eventually(lambda: len(workers.diary.runs()) > runs + 100), workers.said()
    print(  # noqa: T201 # the figures of docs/operations.md
        f"{former.program.name} {fail.__name__}: new primary after {led_s:.2f} s, "
        f"first completed key after {took_s:.2f} s"
    )
    everything = [*keys, first]
    field.settle(everything)
    swept = field.sweep(everything)
    print(  # noqa: T201 # as above
        f"lost to the sweep: {swept} of {len(everything)} keys"
    )
    assert workers.behind(everything) == []
    assert workers.diary.violations() == []
    tokens = workers.diary.tokens()
    assert len(tokens) == len(set(tokens))
    assert all(process.alive for process in workers.processes), workers.said()


def test_who_waits_in_a_primary_that_is_demoted_waits_in_its_successor(
    pair: Sentinels, field: Field
) -> None:
    """A quiet cluster: every loop stands in BLPOP, and the next change must find one."""
    worker = field.workers.start(loops=3)
    with pair.admin() as admin:
        assert eventually(lambda: blocked(admin) == 3), worker.tail()
    former = pair.primary()
    pair.demote()
    pair.await_failover(former)
    with pair.admin() as admin:
        assert eventually(lambda: blocked(admin) == 3, within_s=PATIENCE_S), worker.tail()
    field.change(workload("next"))
    assert eventually(lambda: field.workers.diary.seen("next")), worker.tail()
    assert worker.alive
    assert "Traceback" not in worker.tail()


def blocked(admin: Any) -> int:
    """Return how many clients wait in a server."""
    return int(admin.info("clients")["blocked_clients"])


# --- lost tails


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """A field whose Redis will forget what it is told after `cut`, once `lose` is called."""

    field: Field
    cut: Callable[[], None]
    lose: Callable[[], None]


@pytest.fixture(params=["replica lags", "power fails"])
def doomed(
    request: pytest.FixtureRequest, program: Path, ground: tuple[Place, Stack], tmp_path: Path
) -> Iterator[Doomed]:
    """Give a field on a pair whose replication stops, or on a server whose log loses its tail."""
    if request.param == "replica lags":
        pair: Sentinels = request.getfixturevalue("pair")
        field: Field = request.getfixturevalue("field")
        yield Doomed(field=field, cut=pair.cut_off, lose=lambda: _fail_over(pair))
        return
    server = Valkey(*ground, name="alone", program=program).start()
    url, kept = server.socket_url, list[int]()
    deployment = Deployment(name="alone", url=url, admin=lambda: Redis.from_url(url))

    def lose() -> None:
        server.kill(keep_bytes=kept[-1])
        server.restart()

    for found in _field(deployment, ground, tmp_path):
        # A few bytes more: the machine died in the middle of writing a command.
        yield Doomed(field=found, cut=lambda: kept.append(server.log_bytes() + 9), lose=lose)


def _fail_over(pair: Sentinels) -> None:
    former = pair.primary()
    former.kill()
    pair.await_failover(former)


def test_what_was_lost_comes_back_by_one_sweep_and_no_token_is_given_twice(doomed: Doomed) -> None:
    """Law 6. Acknowledged adds and claims vanish: the sweep brings keys back, tokens only grow."""
    field, keys = doomed.field, workloads(30)
    queue, workers = field.queue, field.workers
    queue.add([Add(key=key) for key in keys[:10]])
    before = queue.claim("reconcile", "kept", limit=5, lease_s=LEASE_S)
    assert queue.complete("kept", [(before[0], converged())]) == [True]
    doomed.cut()
    workers.want(keys)
    queue.add([Add(key=key) for key in keys])
    lost = queue.claim("reconcile", "lost", limit=5, lease_s=LEASE_S)
    doomed.lose()
    assert eventually(lambda: field.knows(keys[10:]) == [False] * 20)
    assert queue.complete("lost", [(claim, converged()) for claim in lost]) == [False] * 5
    assert queue.complete("kept", [(claim, converged()) for claim in before[1:]]) == [True] * 4
    workers.start(loops=2)
    field.settle(keys)
    assert field.sweep(keys) >= 20
    assert workers.behind(keys) == []
    assert min(workers.diary.tokens()) > max(claim.token for claim in lost)


def test_the_watcher_notices_another_life_of_redis_and_leads_on(doomed: Doomed) -> None:
    """Run id, epoch and fence: a sweep is demanded once, and the watcher's writes still count."""
    client, names = doomed.field.client, doomed.field.names
    fences, epochs = FenceTable(client, names), EpochTable(client, names)
    ports = LeadPorts(
        fences=fences,
        epochs=epochs,
        lives=Control(client, names),
        seen=SeenTable(client, names),
        signs=LeaderTable(client, names),
    )
    doomed.field.queue.add([Add(key=workload("before"))])
    doomed.cut()
    lead = Lead(ports, digest=lambda: "d", highest_stamp=lambda: 0)  # fence and epoch will be lost
    doomed.lose()
    found = list[str]()
    assert eventually(lambda: _checked(lead, found))
    assert found == ["DataLost"]
    assert lead.check() == ""
    assert epochs.current() == lead.epoch
    doomed.field.queue.store_rows([row(workload("web"))], fence=lead.fence)
    assert fences.take() > lead.fence


def _checked(lead: Lead, found: list[str]) -> bool:
    """Check as a tick of the watcher does; Redis may be away."""
    try:
        found.append(lead.check())
    except SluiceError:
        return False
    return True
