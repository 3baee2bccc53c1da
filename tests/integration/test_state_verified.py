"""Images are verified within their TTL, and none is lost, on the real Redis: sweeps over them.

What stands in no queue is looked at by nobody: matches of a database update that somebody deleted,
an image whose record and entry are gone, findings that nobody checked for a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis
from rq import Queue

from common.model.image import ImageState
from common.model.key import WorkKey, match_key
from common.queue.contract import Add, Claim, ImageUpdate, Lane, Retry, Settled
from common.queue.workqueue import WorkQueue
from common.state.clock import RedisClock
from common.state.database import DatabaseRow, DatabaseTable
from common.state.images import ImageTable
from common.state.names import RQ, Names
from tests.fakes.watch_tables import FakeTables
from tests.folding import folded
from tests.queue_values import (
    LEASE_S,
    converged,
    image,
    landed,
    match,
    parked,
    use,
    workload,
)
from watcher.decide.images import Verification
from watcher.imagesweep import Images
from watcher.sweeper import Ports, Sweep

pytestmark = pytest.mark.integration

KEY = image()
WEB = workload("web")
DAY_S = 86_400.0
RULES = Verification(ttl_s=DAY_S, window=None, sweep_interval_s=600.0, foreign_server=False)


@dataclass
class World:
    """The tables that an image sweep reads, and a queue."""

    table: ImageTable
    queue: WorkQueue
    databases: DatabaseTable
    redis: Any
    names: Names

    def claim(self, pool: str, limit: int = 64) -> list[Claim]:
        return self.queue.claim(pool, f"w-{pool}", limit=limit, lease_s=LEASE_S)

    def known(self, *seeds: int, version: str = "db1") -> None:
        """Have images that WEB uses, with inventory and match; end what they woke."""
        keys = [image(seed) for seed in seeds]
        self.table.lookup(use(WEB), keys)
        for claim in self.claim("scan"):
            self.queue.complete("w-scan", [(claim, landed(version=version))])
        self.woken()

    def woken(self) -> list[WorkKey]:
        claims = self.claim("reconcile")
        self.queue.complete("w-reconcile", [(claim, converged()) for claim in claims])
        return [claim.key for claim in claims]

    def rematched(self, version: str, *ids: str) -> int:
        """End all matches that wait; return how many there were."""
        claims = self.claim("rematch")
        update = ImageUpdate(match=match(*ids, version=version))
        end = Settled(fingerprint="", epoch=1, outcome="Converged", image=update)
        assert all(self.queue.complete("w-rematch", [(claim, end) for claim in claims]) or [True])
        return len(claims)

    def publish(self, version: str) -> None:
        self.databases.publish(DatabaseRow(version=version, server_url="http://m"))

    def age(self, seconds: float) -> None:
        """Make what is known of KEY older."""
        name = self.names.own(f"image:{KEY}")
        self.redis.hset(name, "ver", float(self.redis.hget(name, "ver")) - seconds)

    def state(self) -> ImageState:
        (found,) = self.table.states([KEY])
        return found

    def sweep(self, rules: Verification = RULES) -> dict[str, int]:
        """Sweep over everything; return how many keys were added, by cause."""
        ports = Ports(
            queue=self.queue,
            rows=FakeTables(),  # workloads are none of this file's business
            settled=FakeTables(),
            known=folded(),
            references=FakeTables(),
            images=Images(table=self.table, databases=self.databases, rules=rules),
        )
        now_s = RedisClock(self.redis, self.names).now_s()
        sweep = Sweep(ports, fence=0, epoch=0, now_s=now_s)
        while sweep.step(1_000):
            pass
        return sweep.tally.causes


@pytest.fixture
def world(redis_client: Redis, names: Names, queue: WorkQueue) -> World:
    databases = DatabaseTable(redis_client, names)
    return World(ImageTable(redis_client, names), queue, databases, redis_client, names)


# --- when an image was verified


def test_a_match_says_when_it_was_made_and_one_with_equal_findings_too(world: World) -> None:
    """`report-ttl` means verified within: what is equal is not written, but it was looked at."""
    world.known(1)
    world.publish("db1")
    world.rematched("db1")
    now_s = RedisClock(world.redis, world.names).now_s()
    first = world.table.get(KEY).verified_at
    assert first is not None
    assert 0 <= now_s - first < 60
    world.age(DAY_S)
    assert world.sweep() == {"Unverified": 1}
    assert world.rematched("db1") == 1
    again = world.table.get(KEY).verified_at
    assert again is not None
    assert again >= first
    assert world.woken() == []  # nothing changed: nobody's report is written
    (looked_up,) = world.table.lookup(use(WEB), [KEY])
    assert looked_up.verified_at == again


def test_a_record_of_an_older_version_is_verified_at_no_known_time(world: World) -> None:
    """It comes back once, and tells the time from then on; what is no time counts as none."""
    world.known(1)
    world.publish("db1")
    world.rematched("db1")
    for odd in (None, "soon", "nan"):
        name = world.names.own(f"image:{KEY}")
        world.redis.hdel(name, "ver")
        if odd:
            world.redis.hset(name, "ver", odd)
        assert world.table.get(KEY).verified_at is None
        assert world.sweep() == {"Unverified": 1}
        assert world.rematched("db1") == 1
        assert world.sweep() == {}


def test_a_failed_check_takes_nothing_away_and_is_tried_again(world: World) -> None:
    """The report stays, and its age tells the truth until the check succeeds."""
    world.known(1)
    world.publish("db1")
    world.rematched("db1")
    world.age(2 * DAY_S)
    before = world.table.get(KEY)
    assert world.sweep() == {"Unverified": 1}
    (claim,) = world.claim("rematch")
    away = Retry(delay_s=60, reason="MatchServerUnavailable", message="no route")
    world.queue.complete("w-rematch", [(claim, away)])
    assert world.table.get(KEY) == before
    assert world.sweep() == {}  # it waits for its next try


# --- what was lost


def _lists(world: World, pool: str) -> list[str]:
    return [world.names.rq("queue", pool, lane) for lane in (0, 1)]


@pytest.mark.parametrize("how", ["rq empty", "lists", "jobs", "everything of the queue"])
def test_matches_that_somebody_deletes_come_back(world: World, how: str) -> None:
    """A database's matches are asked for once. Deleted, they stayed old until the next database."""
    world.known(1, 2, 3)
    world.publish("db1")
    world.rematched("db1")
    world.publish("db2")
    if how == "rq empty":
        Queue(world.names.queue("rematch", 1), connection=world.redis).empty()  # type: ignore[no-untyped-call] # rq's
    elif how == "lists":
        world.redis.delete(*_lists(world, "rematch"))
    elif how == "jobs":
        world.redis.delete(*(f"{RQ}:job:{world.names.job_id(match_key(image(n)))}" for n in (1, 2)))
        world.redis.delete(f"{RQ}:job:{world.names.job_id(match_key(image(3)))}")
    else:
        world.redis.delete(*world.redis.keys(f"{RQ}:*"))
    assert world.sweep() == {"DatabaseOlder": 3}
    assert world.sweep() == {}
    assert world.rematched("db2") == 3
    assert world.state().database == "db2"
    assert world.sweep() == {}


def test_an_image_without_record_and_entry_comes_back(world: World) -> None:
    """Its workloads wait for it, and no run of theirs will ask again."""
    world.publish("db1")
    world.table.lookup(use(WEB), [KEY])
    world.redis.delete(*_lists(world, "scan"), f"{RQ}:job:{world.names.job_id(KEY)}")
    assert world.sweep() == {"ImageLost": 1}
    (claim,) = world.claim("scan")
    assert (claim.key, claim.lane) == (KEY, Lane.BULK)
    assert world.sweep() == {}  # it runs
    world.queue.complete("w-scan", [(claim, parked())])
    assert world.sweep() == {}  # parked, and its probe will come
    world.redis.delete(world.names.own("probe:scan"))
    assert world.sweep() == {"ImageLost": 1}


def test_what_nobody_uses_rests(world: World) -> None:
    """A record without users expires; no pull and no match is spent on it."""
    world.known(1)
    world.publish("db1")
    world.table.release(WEB)
    world.publish("db2")
    world.redis.delete(*_lists(world, "rematch"))
    assert not world.state().used
    assert world.sweep() == {}


def test_an_image_that_waits_for_its_registry_is_matched_all_the_same(world: World) -> None:
    """A refresh that is a day away in the queue must not keep the findings old for a day."""
    world.known(1)
    world.publish("db1")
    world.rematched("db1")
    world.queue.add([Add(key=KEY, lane=Lane.BULK, delay_s=DAY_S)])
    world.publish("db2")
    world.redis.delete(*_lists(world, "rematch"))
    assert world.sweep() == {"DatabaseOlder": 1}


def test_every_image_is_met_however_many_there_are(world: World) -> None:
    """A walk in parts, of which each is a call of milliseconds."""
    many = [image(seed) for seed in range(700)]
    world.table.lookup(use(WEB), many)
    assert set(world.table.walk(50)) == set(many)


def test_what_is_no_record_stops_nobody(world: World) -> None:
    """Somebody wrote a list where a record was: it counts as absent."""
    world.known(1, 2)
    world.publish("db1")
    world.rematched("db1")
    world.redis.delete(world.names.own(f"image:{KEY}"))
    world.redis.rpush(world.names.own(f"image:{KEY}"), "x")
    assert world.sweep() == {"ImageLost": 1}
