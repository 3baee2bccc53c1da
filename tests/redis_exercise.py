"""Everything that the product does in Redis, done once: for tests of what it needs there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from common.model.circuit import Fail
from common.model.facts import Fact
from common.model.redis_address import parse_redis_url
from common.overview.gather import gather
from common.overview.tables import Tables, tables_on
from common.overview.trouble import Promises
from common.queue.contract import Add, After, Claim, Lane, Outcome
from common.state.circuits import CircuitTable
from common.state.connect import Client
from common.state.database import DatabaseRow
from common.state.database_check import DatabaseCheck
from common.state.examine import look
from common.state.fence import FenceTable
from common.state.resolutions import ResolutionTable
from common.state.troubles import TroubleTable
from tests.queue_values import (
    LEASE_S,
    converged,
    failed,
    image,
    judged,
    landed,
    parked,
    row,
    use,
    workload,
)
from tests.waiting import eventually
from worker.host import Crew, Host, HostSettings
from worker.ports import Ports

WEB, DB, OLD = workload("web"), workload("db"), workload("old")
Later = Callable[[float], None]


def exercise(client: Client, cluster: str, later: Later) -> None:
    """Do it all in a key space of its own; `later(seconds)` lets what waits come due."""
    tables = tables_on(client, parse_redis_url("redis://exercise"), cluster)
    look(client, tables.names)
    client.ping()
    _watch(tables)
    _scan(tables)
    _reconcile(tables, later)
    _crash(tables, later)
    _circuit(tables)
    _operate(tables)
    _host(tables)
    gather(tables, Promises(sweep_interval_s=600))


def _watch(tables: Tables) -> None:
    """Lead, feed and sweep as the watcher does."""
    control, fence = tables.control, FenceTable(tables.client, tables.names).take()
    control.run_id()
    tables.epoch.publish("digest", at_least=1, fence=fence)
    tables.queue.add([Add(key=WEB, row=row(WEB)), Add(key=DB, row=row(DB))], fence=fence)
    tables.queue.store_rows([row(OLD)], fence=fence)
    tables.queue.forget([OLD], fence=fence)
    number = control.request_sweep()
    assert control.sweep_requested() == number
    control.sweep_done(number, fence=fence)
    assert control.swept() == number
    tables.leader.alive(fence=fence)
    assert tables.leader.last() is not None
    assert list(tables.rows.keys())
    tables.rows.fingerprints([WEB])
    tables.queue.members([WEB, DB, OLD])
    tables.ledger.append([Fact(kind="started")])


def _scan(tables: Tables) -> None:
    """Look images up, scan them, publish databases, and let images go."""
    tables.images.lookup(use(WEB), [image(1), image(2)])
    tables.images.lookup(use(WEB, "app:2"), [image(1)])
    claims = tables.queue.claim("scan", "s1", limit=9, lease_s=LEASE_S)
    tables.queue.complete("s1", [(claims[0], landed("CVE-1")), (claims[1], failed())])
    tables.images.lookup(use(WEB), [image(1)])
    tables.images.await_settled(DB, WEB)
    for version in ("1", "2"):
        tables.database.publish(DatabaseRow(version=version, server_url="http://m"))
    check = DatabaseCheck(tables.client, tables.names)
    check.answer(check.request())
    assert check.requested() == check.answered()
    tables.images.get(image(1))
    tables.images.uses(image(1))
    tables.images.used_by(WEB)
    tables.images.states(list(tables.images.walk(500)))
    tables.images.release(WEB, keep=[image(1)])


def _reconcile(tables: Tables, later: Later) -> None:
    """Bring keys to each of their ends, changed and unchanged, and through their waits."""
    queue = tables.queue
    troubles = TroubleTable(tables.client, tables.names)
    resolutions = ResolutionTable(tables.client, tables.names)
    troubles.mark(WEB)
    assert troubles.clear(WEB)
    resolutions.put(WEB, "app:1", "sha256:1")
    assert resolutions.get(WEB, "app:1")
    outcomes: list[Outcome] = [
        failed(),
        After(delay_s=5, reason="R"),
        parked(probe_after_s=9),
        converged(),
    ]
    for outcome in outcomes:
        later(1000)
        claims = queue.claim("reconcile", "w1", limit=16, lease_s=LEASE_S)
        queue.add([Add(key=claim.key) for claim in claims[:1]])  # dirty
        queue.complete("w1", [(claim, outcome) for claim in claims], running=claims[0])
        queue.beat("w1", lease_s=LEASE_S)
        queue.add([Add(key=WEB, lane=Lane.BULK, delay_s=60), Add(key=DB, lane=Lane.BULK)])
    tables.rows.get(WEB)
    list(tables.settled.all())


def _crash(tables: Tables, later: Later) -> None:
    """Lose a worker and a reply, give back, and park what kills."""
    queue = tables.queue
    for crashes in range(3):
        queue.add([Add(key=WEB), Add(key=DB), Add(key=image(crashes))])
        claims = queue.claim("reconcile", "w2", limit=2, lease_s=LEASE_S)
        queue.release("w2", claims[1:])
        queue.claim("scan", "s2", limit=1, lease_s=LEASE_S)
        queue.recover("w3", [])
        later(LEASE_S + 1)
        queue.reap(2)
    queue.leave("w1")


def _circuit(tables: Tables) -> None:
    """Let a source fail and answer again."""
    circuits = CircuitTable(tables.client, tables.names, monotonic_s=iter(range(1000)).__next__)
    for failure in range(9):
        fail = Fail(key=f"k{failure}", failed_before=False, reason="R", message="m", rest_s=0.0)
        circuits.failed("registry/r", fail)
    circuits.enter("registry/r")
    assert circuits.troubles()
    circuits.succeeded("registry/r")
    assert circuits.troubles() == []


def _operate(tables: Tables) -> None:
    """Look and act as the commands do."""
    queue = tables.queue
    queue.add([Add(key=WEB)])
    queue.pause()
    assert queue.paused()
    queue.claim("reconcile", "w4", limit=1, lease_s=LEASE_S)
    queue.resume()
    for state in ("queued", "running", "delayed", "parked"):
        queue.ls(state)
    queue.requeue(DB)
    queue.add([Add(key=OLD)])
    queue.drop(DB)
    assert queue.add([Add(key=OLD)]).duplicate == 1  # found where it stands now
    tables.images.keys()
    tables.ledger.history(str(WEB), 10)


def _host(tables: Tables) -> None:
    """Work as a process does: registered in rq, woken from its wait, drained."""
    ran, stopping = list[Claim](), threading.Event()

    def reconcile(claim: Claim) -> Outcome:
        ran.append(claim)
        return converged()

    host = Host(
        tables.client,
        tables.names,
        ports=Ports(monotonic_s=time.monotonic, judge=judged),
        settings=HostSettings(lease_s=5.0),
    )
    crew = Crew(pool="reconcile", loops=1, reconcile=reconcile)
    drained = list[bool]()
    thread = threading.Thread(target=lambda: drained.append(host.run([crew], stopping)))
    thread.start()
    try:
        assert eventually(lambda: tables.queue.depth()["reconcile", Lane.FRESH].queued == 0)
        before = len(ran)
        tables.queue.add([Add(key=workload("woken"))])
        assert eventually(lambda: len(ran) > before)
    finally:
        stopping.set()
        thread.join()
    assert drained == [True]
