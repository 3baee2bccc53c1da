"""What rq's tools and people's hands leave in Redis: borne, shown, and cleared away.

Each of these was found by the random tests in test_queue_foreign.py, or by thinking of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from common.model.errors import SluiceError
from common.model.key import WorkKey, match_key
from common.queue.contract import Add, Claim, Lane, Retry
from common.queue.workqueue import WorkQueue
from common.state.names import POOLS, RQ, Names
from common.state.readable import STOCK_WORKER
from tests.queue_values import LEASE_S, converged, image, parked, workload, workloads
from tests.rq_tools import RqTools

pytestmark = pytest.mark.integration

WEB = workload("web")
# A look through all registries: four of each lane, a probe of each pool, an intermediate list of
# each lane, `running`, images.
LANES = 2 * len(POOLS)
FULL_PASS = LANES * 4 + len(POOLS) + LANES + 1 + 1


def add(queue: WorkQueue, *keys: WorkKey, lane: Lane = Lane.FRESH) -> None:
    queue.add([Add(key=key, lane=lane) for key in keys])


def claim(queue: WorkQueue, limit: int = 16, worker: str = "w1") -> list[Claim]:
    return queue.claim("reconcile", worker, limit=limit, lease_s=LEASE_S)


def one(queue: WorkQueue, worker: str = "w1") -> Claim:
    (found,) = claim(queue, 1, worker)
    return found


def drained(queue: WorkQueue) -> set[WorkKey]:
    found: set[WorkKey] = set()
    while claims := claim(queue):
        found |= {one.key for one in claims}
        queue.complete("w1", [(one, converged()) for one in claims])
    return found


def tidied(queue: WorkQueue, passes: int = 1) -> None:
    for _ in range(passes * FULL_PASS):
        queue.reap(3)


@pytest.fixture
def rq(redis_client: Redis, names: Names) -> RqTools:
    """Give rq's tools in process."""
    return RqTools(redis_client, names)


# --- jobs that are not ours


def test_a_job_of_somebody_else_in_our_queue_stops_nobody(
    queue: WorkQueue, redis_client: Redis, rq: RqTools
) -> None:
    """`rq enqueue` with the wrong queue: no loop dies of it, and the job is left as it is."""
    rq.enqueue_other("", queue.names.queue("reconcile", Lane.FRESH))
    add(queue, WEB)
    assert [entry.key for entry in queue.ls()] == [WEB]
    assert [found.key for found in claim(queue)] == [WEB]
    assert redis_client.hget(f"{RQ}:job:other-{queue.names.cluster}", "status") == b"queued"


def test_an_id_of_ours_that_names_no_key_is_ended_at_once(
    queue: WorkQueue, redis_client: Redis
) -> None:
    """Nobody could run it: without an end it would be claimed, reaped and claimed for ever."""
    add(queue, WEB)
    strange = queue.names.job_prefix + "workload__Nonsense"
    origin = queue.names.queue("reconcile", Lane.FRESH)
    redis_client.hset(f"{RQ}:job:{strange}", mapping={"status": "queued", "origin": origin})
    redis_client.lpush(f"{RQ}:queue:{origin}", strange)
    assert [found.key for found in claim(queue)] == [WEB]
    assert not redis_client.exists(f"{RQ}:job:{strange}")
    assert queue.totals()["reconcile"].running == 1


def test_a_key_is_never_handed_to_the_other_pool(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """A worker of images could do nothing with a workload, again and again."""
    add(queue, WEB)
    redis_client.hset(names.job(WEB), "origin", names.queue("scan", Lane.FRESH))
    redis_client.rename(names.rq("queue", "reconcile", 0), names.rq("queue", "scan", 0))
    assert queue.claim("scan", "s1", limit=1, lease_s=LEASE_S) == []
    assert queue.members([WEB]) == [False]
    add(queue, WEB)
    assert one(queue).key == WEB


# --- what a stock worker leaves


def test_a_key_that_a_stock_worker_failed_can_be_looked_at(
    queue: WorkQueue, names: Names, rq: RqTools
) -> None:
    """Rq keeps its tracebacks compressed; `sluice queue dead` must not break on one."""
    add(queue, WEB)
    rq.work("", names.queue("reconcile", Lane.FRESH))
    (entry,) = queue.dead()
    assert (entry.key, entry.reason) == (WEB, STOCK_WORKER)
    assert queue.dead_by_reason() == {STOCK_WORKER: 1}
    rq.requeue(names.job_id(WEB), names.queue("reconcile", Lane.FRESH))
    (waits,) = queue.ls()  # rq has written a traceback of no length, compressed
    assert (waits.key, waits.reason, waits.message) == (WEB, "", "")


def test_a_run_that_rests_takes_a_stock_workers_result_with_it(
    queue: WorkQueue, redis_client: Redis, rq: RqTools
) -> None:
    """Law 10: rq would keep the stream for ever, for it expires with nothing."""
    add(queue, WEB)
    rq.work("", queue.names.queue("reconcile", Lane.FRESH))
    result = f"{RQ}:results:{queue.names.job_id(WEB)}"
    assert redis_client.exists(result)
    add(queue, WEB)
    queue.complete("w1", [(one(queue), converged())])
    assert not redis_client.exists(result)


def test_ids_that_a_killed_stock_worker_took_are_forgotten_when_they_rest(
    queue: WorkQueue, redis_client: Redis, rq: RqTools
) -> None:
    """Rq moves an id to its intermediate list before it begins; nobody of ours looks there."""
    add(queue, WEB)
    name = queue.names.queue("reconcile", Lane.FRESH)
    rq.die_early("", name)
    assert queue.members([WEB]) == [False]
    tidied(queue)
    assert redis_client.llen(f"{RQ}:queue:{name}:intermediate") == 1  # its job still lives
    add(queue, WEB)
    queue.complete("w1", [(one(queue), converged())])
    tidied(queue)
    assert redis_client.llen(f"{RQ}:queue:{name}:intermediate") == 0


def test_a_wish_of_rqs_does_not_lower_the_lane_of_a_change(queue: WorkQueue, rq: RqTools) -> None:
    """Somebody enqueues a running key in bulk; the change that came before is still fresh."""
    add(queue, WEB)
    running = one(queue)
    add(queue, WEB)
    rq.enqueue(queue.names.job_id(WEB), queue.names.queue("reconcile", Lane.BULK))
    assert claim(queue, worker="w2") == []
    queue.complete("w1", [(running, converged())])
    assert one(queue).lane is Lane.FRESH


# --- records without their job


def test_a_claim_whose_job_was_deleted_leaves_no_record(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Its worker lives on, so nobody would reap what stands under its name."""
    add(queue, WEB)
    running = one(queue)
    redis_client.delete(names.job(WEB))
    assert queue.complete("w1", [(running, converged())]) == [False]
    assert not redis_client.exists(names.own("claims:w1"))
    assert queue.totals()["reconcile"].running == 0


def test_claims_whose_lease_somebody_deleted_expire(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Law 10: the reaper walks along the leases, so it would never meet them."""
    add(queue, WEB)
    one(queue)
    assert 86_000 < redis_client.ttl(names.own("claims:w1")) <= 86_400
    redis_client.persist(names.own("claims:w1"))
    queue.beat("w1", lease_s=LEASE_S)
    assert 86_000 < redis_client.ttl(names.own("claims:w1")) <= 86_400


@pytest.mark.parametrize("state", ["running", "delayed", "parked", "canceled"])
def test_members_that_outlive_their_job_are_cleared_away(
    queue: WorkQueue, redis_client: Any, names: Names, rq: RqTools, state: str
) -> None:
    """A manual DEL of a hash: `sluice status` would show a dead key for ever."""
    add(queue, WEB)
    if state == "canceled":
        rq.cancel(names.job_id(WEB), "")
    else:
        running = one(queue)
        delayed = Retry(delay_s=900, reason="R", message="m", budget="Unknown")
        if state != "running":
            queue.complete("w1", [(running, delayed if state == "delayed" else parked())])
    redis_client.delete(names.job(WEB))
    tidied(queue)
    totals = queue.totals()["reconcile"]
    assert (totals.running, totals.delayed, totals.dead) == (0, 0, 0)
    left = {key.decode() for key in redis_client.scan_iter(f"*{names.cluster}*")}
    assert not {name for name in left if name.startswith((f"{RQ}:canceled:", names.own("probe:")))}


def test_members_whose_job_lives_are_left_alone(queue: WorkQueue) -> None:
    """Whatever the page: more members than a page holds, several times through all of them."""
    keys = workloads(120)
    add(queue, *keys)
    claims = claim(queue, 80)
    delayed = Retry(delay_s=900, reason="R", message="m", budget="Unknown")
    queue.complete("w1", [(found, delayed) for found in claims[:40]])
    queue.complete("w1", [(found, parked()) for found in claims[40:80]])
    claim(queue, 40)
    tidied(queue, passes=3)
    totals = queue.totals()["reconcile"]
    assert (totals.running, totals.delayed, totals.dead) == (40, 40, 40)
    assert queue.members(keys) == [True] * 120


def test_every_page_of_a_registry_is_looked_at(queue: WorkQueue, redis_client: Redis) -> None:
    """What stands behind the first page is cleared away as well, and the next registries too."""
    keys = workloads(100)
    add(queue, *keys, image(), match_key(image()))
    queue.complete("w1", [(found, parked()) for found in claim(queue, 100)])
    for pool in ("scan", "rematch"):
        (claimed,) = queue.claim(pool, "s1", limit=1, lease_s=LEASE_S)
        queue.complete("s1", [(claimed, parked())])
    deleted: list[WorkKey] = [*keys[1::2], image(), match_key(image())]
    redis_client.delete(*map(queue.names.job, deleted))
    tidied(queue, passes=2)
    assert [queue.totals()[pool].dead for pool in POOLS] == [50, 0, 0]
    probed = redis_client.zcard(queue.names.own("probe:rematch"))
    assert probed == 0


def test_a_mark_without_a_lease_is_cleared_away(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Law 10: one field per worker that ever ran would stay where its lease was deleted."""
    add(queue, *workloads(2))
    one(queue, "w1")
    one(queue, "w2")
    redis_client.zrem(names.own("leases"), "w1")
    tidied(queue)
    assert redis_client.hkeys(names.own("running")) == [b"w2"]


def test_an_operator_can_drop_a_key_whose_claim_is_void(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """It does not run, so it is no reason to refuse."""
    add(queue, WEB)
    one(queue)
    assert not queue.drop(WEB)
    redis_client.delete(names.own("leases"))
    assert queue.drop(WEB)


def test_claims_of_a_dead_worker_that_somebody_overwrote_hold_no_key(
    queue: WorkQueue, redis_client: Any
) -> None:
    """Nobody would be told which key to delete: the worker's name stands in no list any more."""
    add(queue, WEB)
    claim(queue)
    redis_client.delete(queue.names.own("leases"))
    redis_client.set(queue.names.own("claims:w1"), "x")
    assert queue.members([WEB]) == [False]
    assert queue.add([Add(key=WEB)]).repaired == 1
    assert [one.key for one in claim(queue, worker="w2")] == [WEB]


# --- nonsense


@pytest.mark.parametrize(
    "value", ["x", "", "-1", "0.5", "1e300", "nan", "inf", "Unknown 1 1.2.3", b"\xff"]
)
@pytest.mark.parametrize(
    "field",
    [
        "s_pos",
        "s_attempts",
        "s_tallies",
        "s_faults",
        "s_since",
        "s_held",
        "s_crashes",
        "s_dirty",
        "s_token",
        "created_at",
    ],
)
def test_a_field_that_somebody_wrote_stops_nobody(
    queue: WorkQueue,
    redis_client: Redis,
    later: Callable[[float], None],
    field: str,
    value: str | bytes,
) -> None:
    """One malformed job must not end loops, sweeps or the reaping of everybody else's claims."""
    other = workload("other")
    add(queue, WEB, other)
    redis_client.hset(queue.names.job(WEB), field, value)
    queue.ls()
    queue.members([WEB, other])
    add(queue, WEB, lane=Lane.BULK)
    assert {found.key for found in claim(queue)} == {WEB, other}
    redis_client.hset(queue.names.job(WEB), field, value)
    queue.ls("running")
    later(LEASE_S + 1)
    queue.reap(3)
    add(queue, WEB, other)  # the sweep: a claim with another token is void
    while claims := claim(queue):
        retried = Retry(delay_s=0, reason="R", message="m", budget="Unknown")
        queue.complete("w1", [(found, retried) for found in claims if not found.attempts])
        queue.complete("w1", [(found, converged()) for found in claims if found.attempts])
    assert queue.members([WEB, other]) == [False, False]


@pytest.mark.parametrize("value", ["x", "", "-1", "0.5", "1e300", "nan", "inf"])
@pytest.mark.parametrize("place", ["heads", "counts", "running", "claims:w1", "token", "fence"])
def test_a_value_that_somebody_wrote_stops_nobody(
    queue: WorkQueue, redis_client: Any, later: Callable[[float], None], place: str, value: str
) -> None:
    """The same for what the scripts keep beside the jobs."""
    keys = workloads(3)
    add(queue, *keys)
    claim(queue, 1)
    name = queue.names.own(place)
    if place in ("token", "fence"):
        redis_client.set(name, value)
    else:
        for field in redis_client.hkeys(name):
            redis_client.hset(name, field, value)
    later(LEASE_S + 1)
    queue.forget([WEB], fence=5)
    queue.recover("w1", [])
    queue.reap(3)
    queue.census()
    add(queue, *keys)
    assert drained(queue) == {*keys, WEB}


def test_a_token_that_somebody_wrote_is_not_handed_out_again_and_again(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Beyond 2 ** 53 a double skips numbers: every claim would carry the same token."""
    keys = workloads(4)
    add(queue, *keys)
    redis_client.set(names.own("token"), "1e300")
    tokens = [found.token for found in claim(queue)]
    assert len(set(tokens)) == 4
    assert max(tokens) < 2**53


def test_a_parked_key_of_another_queue_does_not_stop_the_probes(
    queue: WorkQueue, redis_client: Redis, names: Names, later: Callable[[float], None]
) -> None:
    """The script indexed nothing and ended, with all keys behind it."""
    strange, other = workloads(2)
    add(queue, strange, other)
    queue.complete("w1", [(found, parked()) for found in claim(queue)])
    redis_client.hset(names.job(strange), "origin", "somebody-elses")
    later(700)
    assert one(queue).key == other


# --- keys of another type


def test_a_job_that_is_no_hash_is_an_absent_key(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Nothing of ours is in it; a sweep that ended there would never reach the other keys."""
    keys = workloads(3)
    add(queue, *keys)
    redis_client.delete(names.job(keys[1]))
    redis_client.set(names.job(keys[1]), "x")
    assert queue.members(keys) == [True, False, True]
    redis_client.set(names.job(keys[1]), "x")
    assert [found.key for found in claim(queue)] == [keys[0], keys[2]]
    redis_client.set(names.job(keys[1]), "x")
    add(queue, keys[1])
    assert one(queue).key == keys[1]


@pytest.mark.parametrize(
    "place",
    ["rq:queue", "rq:wip", "rq:scheduled", "rq:failed", "probe", "heads", "claims", "ledger"],
)
def test_a_key_of_another_type_is_named_with_its_remedy(
    queue: WorkQueue, redis_client: Redis, names: Names, later: Callable[[float], None], place: str
) -> None:
    """Redis says only WRONGTYPE; whoever reads the log needs the name, and what to do."""
    add(queue, WEB)
    one(queue)
    if place.startswith("rq:"):
        name = names.rq(place.partition(":")[2], "reconcile", 0)
    else:
        name = names.own({"probe": "probe:reconcile", "claims": "claims:w1"}.get(place, place))
    later(LEASE_S + 1)
    redis_client.delete(name)
    redis_client.set(name, "x")

    def work() -> None:
        add(queue, *workloads(2))
        queue.complete("w1", [(found, parked()) for found in claim(queue, 2)])
        queue.reap(3)
        queue.totals()

    with pytest.raises(SluiceError) as caught:
        work()
    assert f"Redis: {name} holds what another program wrote there" in str(caught.value)
    assert f"(DEL {name})" in str(caught.value)
    assert caught.value.reason == "RedisFault"
    redis_client.delete(name)
    add(queue, WEB, *workloads(2))
    later(LEASE_S + 1)
    queue.reap(3)
    add(queue, WEB, *workloads(2))
    assert drained(queue) == {WEB, *workloads(2)}


def test_a_wait_on_a_key_of_another_type_names_it_too(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Plain commands fail by the same hands as scripts."""
    redis_client.set(names.own("wake:reconcile"), "x")
    with pytest.raises(SluiceError, match=f"DEL {names.own('wake:reconcile')}"):
        queue.wait("reconcile", 0.001)
