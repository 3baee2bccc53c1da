"""Rows, settled runs, fences, epochs, control and the ledger on the real Redis."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from redis import Redis

from common.model.bounded import TAKEN_UP_EPOCH_LIMIT
from common.model.errors import SluiceError, SourceUnavailableError, StaleFenceError
from common.model.facts import FACT_KINDS, Fact
from common.model.key import ClusterKey, WorkKey
from common.model.workload import fingerprint
from common.ops.version import VERSION
from common.queue.contract import Add, Claim, Lane, Retry, Settled, Waiting
from common.queue.registration import Registration
from common.queue.workqueue import WorkQueue
from common.settings.parse import parse
from common.state.clock import RedisClock
from common.state.control import Control
from common.state.epoch import EpochTable, Generation, Published, digest_at, generation_digest
from common.state.fence import FenceTable
from common.state.hidden import HiddenTable
from common.state.ledger import Ledger
from common.state.names import Names
from common.state.rows import RowTable
from common.state.seen import SeenTable
from common.state.settled import SettledTable
from common.state.workers import Loop, WorkerTable
from tests.queue_values import LEASE_S, converged, parked, row, workload, workloads

pytestmark = pytest.mark.integration

WEB = workload("web")


@pytest.fixture
def fence(redis_client: Redis, names: Names) -> int:
    """Take the fence, as a watcher does when it wins the Lease."""
    return FenceTable(redis_client, names).take()


@pytest.fixture
def rows(redis_client: Redis, names: Names) -> RowTable:
    return RowTable(redis_client, names)


@pytest.fixture
def settled(redis_client: Redis, names: Names) -> SettledTable:
    return SettledTable(redis_client, names)


@pytest.fixture
def ledger(redis_client: Redis, names: Names) -> Ledger:
    return Ledger(redis_client, names)


def claim(queue: WorkQueue, limit: int = 16) -> list[Claim]:
    return queue.claim("reconcile", "w1", limit=limit, lease_s=LEASE_S)


# --- rows


def test_a_row_comes_with_its_fingerprint_and_its_key(
    queue: WorkQueue, rows: RowTable, fence: int
) -> None:
    """One call stores what is wanted and queues the key: neither can be there without the other."""
    made = row(WEB)
    assert queue.add([Add(key=WEB, row=made)], fence=fence).new == 1
    assert rows.get(WEB) == (made, fingerprint(made))
    assert rows.fingerprints([WEB, workload("x")]) == {WEB: fingerprint(made)}
    assert [one.key for one in claim(queue)] == [WEB]


def test_rows_can_be_stored_without_work(queue: WorkQueue, rows: RowTable, fence: int) -> None:
    """At start the watcher stores what it sees; what is true already must not run."""
    keys = workloads(1200)
    queue.store_rows([row(key) for key in keys], fence=fence)
    assert set(rows.keys()) == set(keys)
    assert claim(queue) == []


@pytest.mark.parametrize("lane", Lane)
def test_a_workload_that_is_gone_loses_its_row_and_is_cleaned_up(
    queue: WorkQueue, rows: RowTable, fence: int, lane: Lane
) -> None:
    """No finalizers: a worker finds the row gone and removes what the workload had."""
    queue.store_rows([row(WEB)], fence=fence)
    queue.forget([WEB], fence=fence, lane=lane)
    assert rows.get(WEB) is None
    assert list(rows.keys()) == []
    (found,) = claim(queue)
    assert (found.key, found.lane) == (WEB, lane)


def test_a_workload_that_is_gone_is_cleaned_up_at_once_where_nothing_else_is_said(
    queue: WorkQueue, fence: int
) -> None:
    """Somebody deleted it just now, and looks whether its reports go."""
    queue.forget([WEB], fence=fence)
    assert [found.lane for found in claim(queue)] == [Lane.FRESH]


def test_every_row_is_read_and_one_that_cannot_be_hides_no_other(
    queue: WorkQueue, rows: RowTable, redis_client: Redis, names: Names, fence: int
) -> None:
    """A newer watcher's row, or somebody's hand: the others are still asked for."""
    stored = [row(each) for each in workloads(3)]
    queue.store_rows(stored, fence=fence)
    redis_client.hset(names.own("rows"), "workload/Pod/shop/odd", b"\xff{")
    assert sorted(rows.all(), key=lambda each: each.key) == stored


def test_a_row_needs_a_fence(queue: WorkQueue, rows: RowTable) -> None:
    """A caller that forgot it would bypass the election."""
    with pytest.raises(ValueError, match="fence"):
        queue.add([Add(key=WEB, row=row(WEB))])
    assert rows.get(WEB) is None


# --- fences


def test_a_deposed_watcher_writes_nothing(
    queue: WorkQueue, rows: RowTable, ledger: Ledger, redis_client: Redis, names: Names
) -> None:
    """Trap 24. two watchers alive for 30 s: fenced by a token taken with the Lease."""
    fences = FenceTable(redis_client, names)
    old = fences.take()
    new = fences.take()
    assert new > old
    queue.store_rows([row(WEB, "app:2")], fence=new)
    for write in (
        lambda: queue.add([Add(key=WEB, row=row(WEB, "app:1"))], fence=old),
        lambda: queue.store_rows([row(WEB, "app:1")], fence=old),
        lambda: queue.forget([WEB], fence=old),
    ):
        with pytest.raises(StaleFenceError, match="another watcher"):
            write()
    assert rows.get(WEB) == (row(WEB, "app:2"), fingerprint(row(WEB, "app:2")))
    assert claim(queue) == []
    assert ledger.counts()["refused"] == 3


def test_a_fence_grows_across_a_flush(redis_client: Redis, names: Names) -> None:
    """A watcher deposed before the flush must not outrank the one that leads after it."""
    fences = FenceTable(redis_client, names)
    before = fences.take()
    redis_client.delete(names.own("fence"))  # what a flush leaves
    assert fences.take() > before


def test_a_flush_does_not_depose_the_leader(
    queue: WorkQueue, rows: RowTable, redis_client: Redis, names: Names
) -> None:
    """Losing Redis costs time: the watcher that leads goes on with the fence it has."""
    fence = FenceTable(redis_client, names).take()
    redis_client.delete(names.own("fence"))
    queue.store_rows([row(WEB)], fence=fence)
    assert rows.get(WEB) is not None
    with pytest.raises(StaleFenceError):
        queue.store_rows([row(WEB)], fence=fence - 1)


# --- settled


def test_only_a_completion_settles(
    queue: WorkQueue, settled: SettledTable, rows: RowTable, fence: int
) -> None:
    """Trap 1. watcher writes its fingerprint, dies before the enqueue: only completion settles."""
    made = row(WEB)
    queue.store_rows([made], fence=fence)
    assert settled.get(WEB) is None  # wanted, not settled, no member: the sweep re-derives it
    assert queue.members([WEB]) == [False]
    queue.add([Add(key=WEB)])
    (one,) = claim(queue)
    assert settled.get(WEB) is None
    queue.complete("w1", [(one, converged(fingerprint(made), **{"SbomReport/shop/web": "h1"}))])
    found = settled.get(WEB)
    assert found is not None
    assert found.fingerprint == fingerprint(made)
    assert (found.epoch, found.outcome, found.reports) == (
        1,
        "Converged",
        {"SbomReport/shop/web": "h1"},
    )


@pytest.mark.parametrize(
    "outcome",
    [Waiting(on="image/x"), Retry(delay_s=9, reason="R", message="m"), parked()],
    ids=["waiting", "retry", "park"],
)
def test_a_run_that_did_not_converge_does_not_settle(
    queue: WorkQueue, settled: SettledTable, outcome: Any
) -> None:
    """Law 7: only the completion of the work itself may suppress it."""
    queue.add([Add(key=WEB)])
    (one,) = claim(queue)
    queue.complete("w1", [(one, outcome)])
    assert settled.get(WEB) is None


def test_a_completion_that_is_refused_does_not_settle(
    queue: WorkQueue, settled: SettledTable, ledger: Ledger
) -> None:
    """Trap 1 and 9: it speaks of a state that another run has replaced."""
    queue.add([Add(key=WEB)])
    (one,) = claim(queue)
    queue.complete("w1", [(one, Waiting(on="x"))])
    assert queue.complete("w1", [(one, converged())]) == [False]
    assert settled.get(WEB) is None
    assert ledger.counts()["refused"] == 1


def test_a_changed_key_settles_and_runs_again(queue: WorkQueue, settled: SettledTable) -> None:
    """What converged is true for its fingerprint; the change has another one and runs."""
    queue.add([Add(key=WEB)])
    (one,) = claim(queue)
    queue.add([Add(key=WEB)])
    queue.complete("w1", [(one, converged("f1"))])
    found = settled.get(WEB)
    assert found is not None
    assert found.fingerprint == "f1"
    assert queue.members([WEB]) == [True]


def test_every_settled_row_is_read(queue: WorkQueue, settled: SettledTable) -> None:
    """The sweep joins all of them; keys of the cluster settle like workloads."""
    cluster = ClusterKey(what="compliance")
    keys: list[WorkKey] = [*workloads(700), cluster]
    queue.add([Add(key=key) for key in keys])
    while claims := claim(queue, 64):
        queue.complete("w1", [(one, converged()) for one in claims])
    found = dict(settled.all())
    assert set(found) == set(keys)
    assert set(settled.get_many(keys)) == set(keys)
    assert settled.get_many([]) == {}


# --- epoch


def test_an_epoch_grows_with_every_other_digest(
    redis_client: Redis, names: Names, fence: int
) -> None:
    """Trap 25. workers of versions N and N+1: a rollback publishes a higher number again."""
    table = EpochTable(redis_client, names)
    assert table.current() == 0
    assert [table.publish(digest, fence=fence) for digest in "aaba"] == [1, 1, 2, 3]
    assert table.current() == 3


def test_after_a_flush_the_epoch_is_taken_up_from_the_stamps(
    redis_client: Redis, names: Names, fence: int
) -> None:
    """Trap 32. Redis flushed while everything is true: the same number, so 0 writes."""
    table = EpochTable(redis_client, names)
    assert table.publish("a", at_least=7, fence=fence) == 7
    assert table.publish("a", at_least=7, fence=fence) == 7
    assert table.publish("a", at_least=9, fence=fence) == 9
    assert table.publish("b", at_least=4, fence=fence) == 10


@pytest.mark.parametrize(
    "number",
    [b"x", b"\xff", b"-3", b"0", b"1e400", b"9" * 400, b"9007199254740991", b"1.5", b"nan"],
)
def test_an_epoch_that_a_hand_wrote_counts_as_absent(
    redis_client: Redis, names: Names, fence: int, number: bytes
) -> None:
    """It ended every watcher and worker; and one at the end of exact numbers could not grow."""
    table = EpochTable(redis_client, names)
    table.publish("a", fence=fence)
    redis_client.hset(names.own("epoch"), "number", number)
    assert table.current() == 0
    assert table.publish("a", at_least=7, fence=fence) == 7
    redis_client.hset(names.own("epoch"), "number", number)
    assert [table.publish(digest, fence=fence) for digest in "aab"] == [1, 1, 2]


def test_the_highest_epoch_that_a_stamp_can_give_still_grows(
    redis_client: Redis, names: Names, fence: int
) -> None:
    """One foreign stamp must not use up the numbers."""
    table = EpochTable(redis_client, names)
    assert table.publish("a", at_least=TAKEN_UP_EPOCH_LIMIT, fence=fence) == 2**40
    assert table.publish("b", at_least=TAKEN_UP_EPOCH_LIMIT, fence=fence) == 2**40 + 1
    assert table.current() == 2**40 + 1


def test_a_deposed_watcher_publishes_no_epoch(redis_client: Redis, names: Names) -> None:
    """Trap 24. Stopped between its fence and its epoch, it would bring an older digest back."""
    table, fences = EpochTable(redis_client, names), FenceTable(redis_client, names)
    old, new = fences.take(), fences.take()
    table.publish("new", fence=new)
    with pytest.raises(StaleFenceError, match="another watcher"):
        table.publish("old", fence=old)
    assert table.current() == 1
    assert table.publish("new", fence=new) == 1


def test_a_worker_stands_back_while_another_generation_is_published(
    redis_client: Redis, names: Names, fence: int
) -> None:
    """Trap 25. The older waits, and never stamps its reports with the newer one's number."""
    table = EpochTable(redis_client, names)
    old, new = (Generation(table.published, partial(str, text)) for text in ("old", "new"))
    assert (old.stands(), old.number()) == (True, 0)  # none is published: nothing to compare with
    table.publish("old", at_least=4, fence=fence)
    assert (old.stands(), old.number()) == (True, 4)
    assert (new.stands(), new.number()) == (False, 0)
    table.publish("new", fence=fence)
    assert (old.stands(), old.number()) == (False, 4)
    assert (new.stands(), new.number()) == (True, 5)
    table.publish("old", fence=fence)  # a rollback
    assert (old.stands(), old.number()) == (True, 6)


def test_a_rule_that_ends_is_another_generation_by_redis_clock(
    redis_client: Redis, names: Names
) -> None:
    """Watcher and workers must agree on the moment, whatever their own clocks say."""

    def digest(rules: str) -> str:
        return digest_at(parse({"SLUICE_IGNORE_RULES": rules}), RedisClock(redis_client, names))()

    ended, held = digest("CVE-1 exp:2020-01-01"), digest("CVE-1 exp:2199-01-01")
    fixed = [
        generation_digest(parse({"SLUICE_IGNORE_RULES": rules}).projection_digest(), VERSION)
        for rules in ("CVE-1 exp:2020-01-01", "CVE-1 exp:2199-01-01")
    ]
    assert ended != fixed[0]
    assert held == fixed[1]


def test_without_an_answer_nobody_stands_back() -> None:
    """A claim would fail all the same, and the loop waits for Redis in its own way."""

    def gone() -> Published:
        raise SourceUnavailableError("Redis: gone")

    assert Generation(gone, lambda: "a").stands()


def test_a_generation_is_published_with_its_version_and_workers_tell_theirs(
    redis_client: Redis, names: Names, fence: int, queue: WorkQueue
) -> None:
    """Workers of two generations mixed unseen: who stood back showed in a log line alone."""
    table, workers = EpochTable(redis_client, names), WorkerTable(redis_client, names)
    table.publish("new", fence=fence)
    assert table.published() == Published(1, "new", VERSION)
    new, old = (f"{names.cluster}-{name}" for name in ("w1", "w2"))
    for name, digest in ((new, "new"), (old, "old")):
        queue.beat(name, lease_s=60)
        registration = Registration(
            redis_client, names, worker=name, pools=("scan",), digest=partial(str, digest)
        )
        registration.birth()
        registration.birth()  # again after a flush, or twice
    queue.beat("a-silent-one", lease_s=60)
    redis_client.hset(names.own("epoch"), "version", b"\xff")  # somebody's hand: no reason to fail
    assert table.published().number == 1
    assert workers.loops() == (
        Loop("a-silent-one", "", ""),
        Loop(new, "new", VERSION),
        Loop(old, "old", VERSION),
    )
    assert redis_client.ttl(f"rq:worker:{new}") > 0
    registration.death()
    Registration(redis_client, names, worker=new, pools=("scan",)).death()


# --- seen


def test_how_far_a_leader_has_read_is_known_to_the_next(
    redis_client: Redis, names: Names, fence: int
) -> None:
    """Numbers of etcd's size; a stream that nobody follows any more is forgotten."""
    table = SeenTable(redis_client, names)
    assert table.read() == {}
    table.record({"pods": 2**60 + 1, "jobs/shop": 7}, fence=fence)
    table.record({"jobs/shop": 8}, fence=fence)
    assert table.read() == {"pods": 2**60 + 1, "jobs/shop": 8}
    table.record({"pods": 5}, whole=True, fence=fence)
    assert table.read() == {"pods": 5}


def test_a_deposed_watcher_does_not_tell_how_far_it_has_read(
    redis_client: Redis, names: Names
) -> None:
    """Trap 24. It may have read more than the one that leads, and written none of it."""
    table, fences = SeenTable(redis_client, names), FenceTable(redis_client, names)
    old, new = fences.take(), fences.take()
    table.record({"pods": 5}, fence=new)
    with pytest.raises(StaleFenceError):
        table.record({"pods": 9}, fence=old)
    assert table.read() == {"pods": 5}


# --- control


def test_a_sweep_is_asked_for_and_reported(redis_client: Redis, names: Names, fence: int) -> None:
    """`sluice rescan --all` and the demo wait for the sweep that began after their request."""
    control = Control(redis_client, names)
    assert (control.sweep_requested(), control.swept()) == (0, 0)
    assert control.request_sweep() == 1
    assert control.request_sweep() == 2
    control.sweep_done(control.sweep_requested(), fence=fence)
    assert control.swept() == 2
    assert len(control.run_id()) == 40


def test_a_deposed_watchers_sweep_is_void(redis_client: Redis, names: Names) -> None:
    """Trap 24. Whoever waits for a request's number would see it go back, and wait again."""
    control, fences = Control(redis_client, names), FenceTable(redis_client, names)
    old, new = fences.take(), fences.take()
    control.sweep_done(5, fence=new)
    with pytest.raises(StaleFenceError):
        control.sweep_done(4, fence=old)
    assert control.swept() == 5


# --- ledger


def test_counts_are_the_fold_of_the_facts(queue: WorkQueue, ledger: Ledger) -> None:
    """Status and counters are folds of facts: both are written by the script that acts."""
    keys = workloads(20)
    queue.add([Add(key=key) for key in keys])
    queue.add([Add(key=key) for key in keys[:5]])
    claims = claim(queue)
    queue.complete(
        "w1",
        [(claims[0], converged()), (claims[1], parked()), (claims[2], Waiting(on="x"))],
        [Fact(kind="written", key=str(keys[0]), data={"how": "created"})],
    )
    queue.release("w1", claims[3:])
    seen = dict.fromkeys(FACT_KINDS, 0)
    for _, fact in ledger.tail(1000):
        seen[fact.kind] += 1
    counts = ledger.counts()
    assert counts.pop("deduplicated") == 5  # a duplicate changes nothing: counted, no entry
    seen.pop("deduplicated")
    assert counts == seen
    assert (counts["enqueued"], counts["claimed"], counts["written"]) == (20, 16, 1)
    assert (counts["converged"], counts["parked"], counts["waiting"]) == (1, 1, 1)


def test_history_tells_a_key_in_order(queue: WorkQueue, ledger: Ledger) -> None:
    """`sluice history` is this, in sentences: why was it scanned, retried, or not."""
    queue.add([Add(key=key, cause="created") for key in (workload("a"), WEB, workload("b"))])
    claims = {one.key: one for one in claim(queue)}
    queue.add([Add(key=WEB, cause="image changed")])
    message = "registry: " + "x" * 400
    queue.complete("w1", [(claims[WEB], Retry(delay_s=1.5, reason="R", message=message))])
    told = ledger.history(str(WEB), 10)
    assert [fact.kind for fact in told] == ["enqueued", "claimed", "enqueued", "retried"]
    assert told[0].data == {"lane": "fresh", "how": "new", "cause": "created"}
    assert told[1].data == {"worker": "w1", "attempt": 1}
    assert told[2].data == {"lane": "fresh", "how": "dirty", "cause": "image changed"}
    assert told[3].data["attempt"] == 1
    assert len(str(told[3].data["message"])) == 256
    assert told == sorted(told, key=lambda fact: fact.at)
    assert told[0].at > 1_700_000_000
    assert [fact.kind for fact in ledger.history(str(WEB), 2)] == ["enqueued", "retried"]


def test_history_finds_old_facts_behind_many_others(queue: WorkQueue, ledger: Ledger) -> None:
    """It pages: a busy cluster writes thousands of facts between two of one key."""
    queue.add([Add(key=WEB)])
    ledger.append([Fact(kind="swept", data={"n": number}) for number in range(2500)])
    queue.add([Add(key=workload("z"))])
    assert [fact.kind for fact in ledger.history(str(WEB), 5)] == ["enqueued"]
    assert ledger.history("workload/Pod/no/such", 5) == []


def test_the_tail_pages_backwards(ledger: Ledger) -> None:
    """`status` shows the newest facts; a reader goes back page by page without gaps."""
    ledger.append([Fact(kind="swept", data={"n": number}) for number in range(7)])
    first = ledger.tail(3)
    second = ledger.tail(3, before=first[0][0])
    assert [fact.data["n"] for _, fact in [*second, *first]] == [1, 2, 3, 4, 5, 6]


def test_a_fact_of_a_newer_version_hides_no_others(
    ledger: Ledger, redis_client: Redis, names: Names
) -> None:
    """During a rollout old and new processes share one ledger."""
    newer: Any = {"kind": "teleported", "key": "workload/Pod/a/b", "data": "{}"}
    redis_client.xadd(names.own("ledger"), newer)
    ledger.append([Fact(kind="started", key="workload/Pod/a/b")])
    assert [fact.kind for _, fact in ledger.tail(10)] == ["started"]
    assert [fact.kind for fact in ledger.history("workload/Pod/a/b", 10)] == ["started"]


def test_a_cause_may_hold_anything(queue: WorkQueue, ledger: Ledger) -> None:
    """Causes and messages quote object names and errors; the entry must stay JSON."""
    cause = 'a "quoted" \\ back\nslash é'
    queue.add([Add(key=WEB, cause=cause)])
    (fact,) = ledger.history(str(WEB), 1)
    assert fact.data["cause"] == cause


def test_a_corrupt_table_is_an_error_of_ours(queue: WorkQueue, redis_client: Redis) -> None:
    """No type of redis-py passes the port, and it does not look like an outage."""
    redis_client.set(queue.names.own("settled"), "not a hash")
    queue.add([Add(key=WEB)])
    (one,) = claim(queue)
    with pytest.raises(SluiceError) as caught:
        queue.complete("w1", [(one, converged())])
    assert caught.value.reason == "RedisFault"


def test_settled_rows_of_a_newer_writer_are_read(
    queue: WorkQueue, settled: SettledTable, redis_client: Redis
) -> None:
    """During a rollout two versions share the table: unknown fields are passed over."""
    body = b'5.5 {"fingerprint":"f","epoch":2,"outcome":"Converged","reports":{},"new":1}'
    redis_client.hset(queue.names.own("settled"), str(WEB), body)
    found = settled.get(WEB)
    assert found is not None
    assert (found.at, found.epoch) == (5.5, 2)


def test_a_settled_run_may_be_forgotten_by_being_gone(
    queue: WorkQueue, settled: SettledTable
) -> None:
    """Law 10: the table holds what exists, not what ever existed."""
    queue.add([Add(key=WEB)])
    queue.complete("w1", [(claim(queue)[0], converged())])
    queue.add([Add(key=WEB)])
    gone = Settled(fingerprint="", epoch=1, outcome="Gone")
    queue.complete("w1", [(claim(queue)[0], gone)])
    assert settled.get(WEB) is None
    assert queue.members([WEB]) == [False]


def test_what_a_policy_hid_is_kept_and_a_strangers_text_is_nothing(
    redis_client: Redis, names: Names
) -> None:
    """A key that somebody wrote to must cost one run of the policy, and no worker."""
    table = HiddenTable(redis_client, names)
    assert table.get("a") is None
    table.put("a", frozenset({2, 0}))
    assert table.get("a") == frozenset({0, 2})
    assert 0 < redis_client.ttl(names.own("hidden:a")) <= 7 * 86_400
    redis_client.set(names.own("hidden:a"), b"\xff[")
    assert table.get("a") is None


def test_a_loop_whose_generation_became_another_tells_it_again(
    redis_client: Redis, names: Names, queue: WorkQueue
) -> None:
    """Else the status page would say for ever that it stands back."""
    digest = ["old"]
    name = f"{names.cluster}-w9"
    queue.beat(name, lease_s=60)
    registration = Registration(
        redis_client, names, worker=name, pools=("scan",), digest=lambda: digest[0]
    )
    told = WorkerTable(redis_client, names)
    registration.tell()
    assert name not in {loop.name for loop in told.loops() if loop.digest}, "it is not born yet"
    registration.birth()
    digest[0] = "new"
    registration.tell()
    assert {loop.digest for loop in told.loops() if loop.name == name} == {"new"}


def test_what_is_parked_is_tried_once_more_under_other_settings(
    redis_client: Redis, names: Names
) -> None:
    """A broken policy was mended, and 38 of 50 workloads kept old reports for an hour."""
    queue, probes = WorkQueue(redis_client, names), names.own("probe:reconcile")
    EpochTable(redis_client, names, ways="w1").publish("one", fence=1)

    def park() -> None:
        (one,) = queue.claim("reconcile", "w1", limit=1, lease_s=60)
        queue.complete("w1", [(one, parked())])

    def probe_in_s() -> float:
        due_s = redis_client.zscore(probes, names.job_id(WEB)) or 0.0
        return due_s - RedisClock(redis_client, names).now_s()

    queue.add([Add(key=WEB, lane=Lane.FRESH)])
    park()
    again = EpochTable(redis_client, names, ways="w1")
    again.publish("one", fence=1)  # a restart
    assert queue.claim("reconcile", "w1", limit=1, lease_s=60) == []
    again.publish("two", fence=1)
    park()
    assert queue.claim("reconcile", "w1", limit=1, lease_s=60) == []  # once
    EpochTable(redis_client, names).publish("two", fence=1)  # who does not know changes nothing
    assert probe_in_s() > 500
    EpochTable(redis_client, names, ways="w2").publish("two", fence=1)
    assert 60 < probe_in_s() < 180


def test_who_is_of_another_generation_takes_nothing(redis_client: Redis, names: Names) -> None:
    """Workers learn of a change within a second, and ran all that it had queued as before."""
    table, plain = EpochTable(redis_client, names), WorkQueue(redis_client, names)
    old = WorkQueue(redis_client, names, generation=lambda: "old")
    new = WorkQueue(redis_client, names, generation=lambda: "new")

    def taken(queue: WorkQueue) -> list[Claim]:
        return queue.claim("reconcile", "w1", limit=16, lease_s=60)

    plain.add([Add(key=key, lane=Lane.FRESH) for key in workloads(3)])
    (first,) = old.claim("reconcile", "w1", limit=1, lease_s=60)  # none is published
    table.publish("new", fence=1)
    both = old.complete_and_claim(
        "w1", [(first, converged())], pool="reconcile", limit=16, lease_s=60
    )
    assert both == ([True], [])
    assert taken(old) == []
    assert len(taken(new)) == 2
