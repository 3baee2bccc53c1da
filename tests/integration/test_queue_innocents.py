"""What stands in the way of one key must not stop the others, nor be forgotten for ever.

Tables of single keys that somebody wrote over, ids in another spelling, a clock that was wrong, an
error half-way.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from redis import Redis

from common.model.errors import SluiceError
from common.model.image import Failure
from common.model.key import WorkKey
from common.queue.contract import Add, ImageUpdate, Lane, Settled
from common.queue.standing import Standings
from common.queue.workqueue import WorkQueue
from common.state.database import DatabaseRow, DatabaseTable
from common.state.images import ImageTable
from common.state.names import RQ, Names
from common.state.readable import STOCK_WORKER
from tests.queue_values import (
    LEASE_S,
    converged,
    image,
    landed,
    parked,
    use,
    workload,
    workloads,
)

pytestmark = pytest.mark.integration

WEB = workload("web")
GONE = Settled(fingerprint="", epoch=1, outcome="Gone")
# A look through all registries, with some to spare.
PASSES = 40
YEARS_S = 400 * 86_400.0


def ended(queue: WorkQueue, key: WorkKey, outcome: Settled) -> bool:
    """Run the key, which must be the only one of its pool."""
    pool = "reconcile" if key == WEB else "scan"
    queue.add([Add(key=key)])
    (claim,) = queue.claim(pool, "w1", limit=1, lease_s=LEASE_S)
    return queue.complete("w1", [(claim, outcome)]) == [True]


def claimed(queue: WorkQueue, pool: str = "reconcile") -> list[WorkKey]:
    return [claim.key for claim in queue.claim(pool, "w1", limit=16, lease_s=LEASE_S)]


# --- tables of single keys


def test_one_table_of_another_type_does_not_make_a_whole_batch_run_for_ever(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """The ends of a batch are one call: an error in it gives all of them back, again and again."""
    keys = workloads(5)
    redis_client.set(names.own(f"waiters:{keys[2]}"), "x")
    queue.add([Add(key=key) for key in keys])
    ran: Counter[WorkKey] = Counter()
    for _ in range(3):
        claims = queue.claim("reconcile", "w1", limit=5, lease_s=LEASE_S)
        ran.update(claim.key for claim in claims)
        queue.complete("w1", [(claim, converged()) for claim in claims])
    assert ran == Counter(keys)


@pytest.mark.parametrize("table", ["waiters", "users", "uses", "image"])
def test_a_table_of_another_type_counts_as_absent(
    queue: WorkQueue, redis_client: Redis, names: Names, table: str
) -> None:
    """No error could name it: its name is one of thousands, and the next sweep fills it again."""
    images = ImageTable(redis_client, names)

    def overwrite() -> None:
        for key in (WEB, image()):
            redis_client.set(names.own(f"{table}:{key}"), "x")

    for act in (
        lambda: images.lookup(use(WEB), [image()]),
        lambda: images.await_settled(WEB, workload("other")),
        lambda: images.release(WEB),
        lambda: ended(queue, image(), landed("CVE-1")),
        lambda: ended(queue, WEB, GONE),
        lambda: ended(queue, WEB, converged()),
    ):
        overwrite()
        act()
        redis_client.delete(names.job(image()), *redis_client.scan_iter(f"{RQ}:queue:*scan*"))


def test_a_look_at_the_cluster_deletes_nothing(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """`sluice status` only reads, and passes over what it cannot read."""
    redis_client.set(names.own(f"waiters:{WEB}"), "x")
    assert queue.scripts.run("waiters", {"keys": [str(WEB)]}) == []
    assert redis_client.exists(names.own(f"waiters:{WEB}"))


def test_an_id_in_another_spelling_does_not_run_for_ever(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Its run would be ended under the right id, and refused; the claim would come back."""
    strange = f"{names.job_prefix}workload_2fPod_2fshop_2fweb"
    origin = names.queue("reconcile", Lane.FRESH)
    redis_client.hset(f"{RQ}:job:{strange}", mapping={"status": "queued", "origin": origin})
    redis_client.rpush(f"{RQ}:queue:{origin}", strange)
    assert claimed(queue) == []
    assert not redis_client.exists(f"{RQ}:job:{strange}")
    queue.recover("w1", ())
    assert claimed(queue) == []


@pytest.mark.parametrize("field", ["inv", "match", "fail"])
@pytest.mark.parametrize(
    "body", [b"x", b"\xff", zlib.compress(b"{}")[:-1], zlib.compress(b'{"scanner_version":5}')]
)
def test_a_part_of_an_image_that_cannot_be_read_is_made_anew(
    queue: WorkQueue, redis_client: Redis, names: Names, field: str, body: bytes
) -> None:
    """After a rollback all users of the image would fail with it, and so would its own next run."""
    table = ImageTable(redis_client, names)
    assert ended(queue, image(), landed("CVE-1"))
    whole = table.get(image())
    redis_client.hset(names.own(f"image:{image()}"), field, body)
    (seen,) = table.lookup(use(WEB), [image()])
    assert seen == table.get(image())
    assert not (seen.inventory and seen.match) or field == "fail"
    assert claimed(queue, "scan") == ([] if field == "fail" else [image()])
    if field != "fail":
        queue.recover("w1", ())
        (claim,) = queue.claim("scan", "w1", limit=1, lease_s=LEASE_S)
        queue.complete("w1", [(claim, landed("CVE-1"))])
        assert claimed(queue) == [WEB], "it waited for that"
    (again,) = table.lookup(use(WEB), [image()])
    assert msgspec.structs.replace(again, verified_at=whole.verified_at) == whole


def failing_image(queue: WorkQueue, client: Any, names: Names, *, used: bool) -> None:
    """Let an image fail for good, for a workload whose run is over."""
    if used:
        client.hset(names.own(f"users:{image()}"), str(WEB), "{}")
    client.zadd(names.own("images"), {str(image()): 1})
    queue.add([Add(key=image())])
    (claim,) = queue.claim("scan", "w1", limit=1, lease_s=LEASE_S)
    failure = Failure(reason="ImageNotFound", message="no", at=0.0)
    queue.complete("w1", [(claim, replace(parked(), image=ImageUpdate(failure=failure)))])


@pytest.mark.parametrize("lost", ["job", "registries"])
def test_a_failing_image_that_somebody_deleted_is_tried_again(
    queue: WorkQueue,
    redis_client: Redis,
    names: Names,
    later: Callable[[float], None],
    lost: str,
) -> None:
    """Its users settled what they could: no sweep asks for them, or for it, ever again."""
    failing_image(queue, redis_client, names, used=True)
    if lost == "job":
        redis_client.delete(names.job(image()))
    else:
        redis_client.delete(names.rq("failed", "scan", 0), names.own("probe:scan"))
    reap(queue)
    assert queue.members([image()]) == [True]
    later(601.0)
    assert claimed(queue, "scan") == [image()]


@pytest.mark.parametrize("why", ["parked", "unused", "well"])
def test_an_image_that_lacks_nothing_is_left_alone(
    queue: WorkQueue, redis_client: Redis, names: Names, why: str
) -> None:
    """The look goes on for ever, so what it asks for must be needed."""
    failing_image(queue, redis_client, names, used=why != "unused")
    if why != "parked":
        redis_client.delete(names.job(image()))
    if why == "well":
        redis_client.hdel(names.own(f"image:{image()}"), "fail")
    (before,) = redis_client.zrange(names.own("probe:scan"), 0, -1, withscores=True)
    reap(queue)
    assert queue.members([image()]) == [why == "parked"]
    if why == "parked":
        assert redis_client.zrange(names.own("probe:scan"), 0, -1, withscores=True) == [before]


# --- who looks


@pytest.mark.parametrize("foreign", [True, False], ids=["somebody's", "ours"])
@pytest.mark.parametrize("kind", ["queue", "wip", "scheduled", "failed"])
def test_a_job_of_another_type_hides_no_others(
    queue: WorkQueue, redis_client: Redis, names: Names, kind: str, *, foreign: bool
) -> None:
    """Who looks does so because something is wrong: one bad entry must not be all to see."""
    queue.add([Add(key=WEB)])
    job = f"of-{names.cluster}" if foreign else names.job_id(workload("other"))
    place = names.rq(kind, "reconcile", Lane.FRESH)
    if kind == "queue":
        redis_client.lpush(place, job)
    else:
        redis_client.zadd(place, {job: time.time() + LEASE_S})
    redis_client.set(f"{RQ}:job:{job}", "x")
    state = {"wip": "running", "scheduled": "delayed", "failed": "parked"}.get(kind, "queued")
    assert [entry.key for entry in queue.ls(state)] == ([WEB] if kind == "queue" else [])
    assert queue.dead_by_reason() == ({STOCK_WORKER: 1} if kind == "failed" else {})
    assert queue.census().depths["reconcile", Lane.FRESH].queued >= 1
    assert Standings(redis_client, names).all()[WEB].state == "queued"


def test_a_registry_of_another_type_is_still_named(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """It holds all keys of its state, so nobody may take it for empty."""
    place = names.rq("scheduled", "reconcile", Lane.FRESH)
    queue.add([Add(key=WEB)])
    redis_client.set(place, "x")
    for state in ("queued", "delayed"):
        with pytest.raises(SluiceError, match=place):
            queue.ls(state)


# --- a database that is announced


def used_images(redis: Any, names: Names, number: int) -> list[str]:
    images = [str(image(one)) for one in range(1, number + 1)]
    redis.hset(names.own("database"), "version", "db0")
    redis.zadd(names.own("images"), dict.fromkeys(images, 1))
    for one in images:
        redis.hset(names.own(f"users:{one}"), "w", "{}")
    return images


def test_an_announcement_that_failed_half_way_wakes_the_images_the_next_time(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """No sweep looks for images of an old database: they would stay as they are until the next."""
    used_images(redis_client, names, 3)
    table, lane = DatabaseTable(redis_client, names), names.rq("queue", "scan", Lane.BULK)
    row = DatabaseRow(version="db1", server_url="http://m:1")
    redis_client.set(lane, "somebody's")
    with pytest.raises(SluiceError, match=lane):
        table.publish(row)
    redis_client.delete(lane)
    assert table.publish(row) == 3
    assert len(claimed(queue, "scan")) == 3
    assert table.publish(row) == 0


def test_a_cause_that_is_no_plain_text_loses_no_key(
    queue: WorkQueue, redis_client: Redis, names: Names
) -> None:
    """Who is woken by a later call stands in a list of lines until then."""
    images = used_images(redis_client, names, 1001)
    DatabaseTable(redis_client, names).publish(DatabaseRow(version="dé\n1", server_url="m"))
    queue.beat("w1", lease_s=LEASE_S)
    assert queue.depth()["scan", Lane.BULK].queued == len(images)


# --- a clock that was wrong


def far(client: Any, key: str, member: str) -> None:
    """Let the member of a set be due as a clock had it that was years ahead."""
    client.zadd(key, {member: time.time() + YEARS_S})


def reap(queue: WorkQueue) -> None:
    for _ in range(PASSES):
        queue.reap(3)


def test_a_lease_taken_by_a_wrong_clock_ends(
    queue: WorkQueue, redis_client: Redis, names: Names, later: Callable[[float], None]
) -> None:
    """Whoever lives renews it; a dead worker's claims would stay its own for years."""
    queue.add([Add(key=WEB)])
    queue.claim("reconcile", "dead", limit=1, lease_s=LEASE_S)
    far(redis_client, names.own("leases"), "dead")
    reap(queue)
    assert claimed(queue) == [], "it may live: it has the time to renew"
    later(3601.0)
    reap(queue)
    assert claimed(queue) == [WEB]


@pytest.mark.parametrize("state", ["delayed", "parked"])
def test_what_a_wrong_clock_put_off_for_years_comes_back(
    queue: WorkQueue, redis_client: Redis, names: Names, state: str
) -> None:
    """A sweep takes it for waiting, and so would nobody ever run it."""
    if state == "delayed":
        queue.add([Add(key=WEB, delay_s=5.0)])
        far(redis_client, names.rq("scheduled", "reconcile", 0), names.job_id(WEB))
    else:
        queue.add([Add(key=WEB)])
        (claim,) = queue.claim("reconcile", "w1", limit=1, lease_s=LEASE_S)
        queue.complete("w1", [(claim, parked())])
        far(redis_client, names.own("probe:reconcile"), names.job_id(WEB))
    assert queue.add([Add(key=WEB, lane=Lane.BULK)]).duplicate == 1
    reap(queue)
    assert claimed(queue) == [WEB]
