"""Matches of known images on the real Redis: in a pool of their own, and never a step back.

An image's own run and its match may run at the same time, and a database may be published during
both: whatever the order of their ends, the record ends true under the newest database.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import structs
from redis import Redis

from common.model.image import ImageRecord, ImageUse
from common.model.key import ImageKey, MatchKey, WorkKey, match_key
from common.queue.contract import (
    Add,
    Claim,
    Handed,
    ImageUpdate,
    Lane,
    Outcome,
    Park,
    Retry,
    Settled,
)
from common.queue.workqueue import WorkQueue
from common.state.database import DatabaseRow, DatabaseTable
from common.state.images import ImageTable, Stock
from common.state.ledger import Ledger
from common.state.names import Names
from tests.queue_values import (
    LEASE_S,
    converged,
    failed,
    image,
    inventory,
    landed,
    match,
    use,
    workload,
    workloads,
)

pytestmark = pytest.mark.integration

KEY = image()
MATCH = match_key(KEY)
WEB = workload("web")


@dataclass
class World:
    """The tables that a database update touches."""

    table: ImageTable
    queue: WorkQueue
    databases: DatabaseTable
    redis: Any
    names: Names
    later: Callable[[float], None]

    def publish(self, version: str) -> int:
        return self.databases.publish(DatabaseRow(version=version, server_url="http://m"))

    def claim(self, pool: str, limit: int = 1) -> list[Claim]:
        return self.queue.claim(pool, f"w-{pool}", limit=limit, lease_s=LEASE_S)

    def end(self, claim: Claim, outcome: Outcome, worker: str = "w-rematch") -> None:
        assert self.queue.complete(worker, [(claim, outcome)]) == [True]

    def known(self, key: ImageKey = KEY, *ids: str, version: str = "db1") -> None:
        """Have an image that WEB uses, with inventory and match."""
        self.table.lookup(use(WEB), [key])
        (claim,) = self.claim("scan")
        self.end(claim, landed(*ids, version=version), "w-scan")
        self.woken()

    def rematch(self) -> tuple[Claim, Stock]:
        """Begin a match: claim it, and read what it is about."""
        (claim,) = self.claim("rematch")
        assert isinstance(claim.key, MatchKey)
        (stock,) = self.table.stocks([claim.key.image])
        return claim, stock

    def scan(self) -> Claim:
        """Begin an image's own run."""
        self.queue.add([Add(key=KEY)])
        (claim,) = self.claim("scan")
        return claim

    def woken(self) -> dict[WorkKey, Lane]:
        """Return the workloads that are queued, and end their runs."""
        claims = self.claim("reconcile", limit=64)
        self.queue.complete("w-reconcile", [(claim, converged()) for claim in claims])
        return {claim.key: claim.lane for claim in claims}

    def record(self) -> ImageRecord:
        """Return what is on record, but for when it was verified."""
        return structs.replace(self.table.get(KEY), verified_at=None)

    def version(self) -> str:
        found = self.record().match
        assert found is not None
        return found.db_version


@pytest.fixture
def world(
    redis_client: Redis, names: Names, queue: WorkQueue, later: Callable[[float], None]
) -> World:
    databases = DatabaseTable(redis_client, names)
    return World(ImageTable(redis_client, names), queue, databases, redis_client, names, later)


def found(stock: Stock, *ids: str, version: str) -> Settled:
    """Return the end of a match."""
    update = ImageUpdate(match=match(*ids, version=version), of=stock.inventory_hash)
    return Settled(fingerprint="", epoch=1, outcome="Converged", image=update)


# --- what a database queues


def test_a_match_never_waits_behind_a_pull(world: World) -> None:
    """A pull takes minutes, a match milliseconds: with one queue the update took hours."""
    world.known()
    for seed in range(2, 60):
        world.table.lookup(use(workload("new")), [image(seed)])
    pulling = world.claim("scan")
    assert world.publish("db2") == 59
    assert len(pulling) == 1
    (claim,) = world.claim("rematch")
    assert (claim.key, claim.lane) == (MATCH, Lane.BULK)
    assert world.claim("rematch") == []


def test_matches_come_in_batches(world: World) -> None:
    """One round trip for many: they are shorter than it."""
    for seed in range(1, 41):
        world.known(image(seed))
    world.publish("db2")
    assert len(world.claim("rematch", limit=64)) == 40


def test_whoever_waited_for_the_first_database_goes_on_at_once(world: World) -> None:
    """An inventory was taken, the match server went away, and its first announcement came later."""
    world.table.lookup(use(WEB), [KEY])
    (claim,) = world.claim("scan")
    update = ImageUpdate(inventory=inventory())
    held = Retry(delay_s=600, reason="MatchServerUnavailable", message="m", image=update)
    world.end(claim, held, "w-scan")
    assert world.publish("db1") == 1
    claim, stock = world.rematch()
    assert claim.lane is Lane.FRESH
    world.end(claim, found(stock, version="db1"))
    assert world.woken() == {WEB: Lane.FRESH}


# --- what a match needs to know


def test_a_match_reads_what_it_asks_and_not_the_record(world: World) -> None:
    """A record is a hundred times larger: a thousand of them would be most of the work."""
    world.known(KEY, "CVE-1")
    (stock, unknown) = world.table.stocks([KEY, image(2)])
    assert stock.layers == inventory().layers
    assert stock.findings_hash == match("CVE-1").findings_hash
    assert stock.used
    assert (unknown.layers, unknown.used) == (None, False)


def test_a_record_of_an_older_version_is_read_too(world: World) -> None:
    """It was stored without the part that is asked for."""
    world.known()
    world.redis.hdel(world.names.own(f"image:{KEY}"), "layers", "db")
    world.publish("db2")
    claim, stock = world.rematch()
    assert stock.layers == inventory().layers
    world.end(claim, found(stock, version="db2"))
    assert world.version() == "db2"


@pytest.mark.parametrize("garbage", ["layers", "hash", "type"])
def test_a_record_that_others_wrote_stops_no_other_match(world: World, garbage: str) -> None:
    """A batch is read in one call: one image must not cost the others their findings."""
    other = image(2)
    world.known()
    world.known(other)
    name = world.names.own(f"image:{KEY}")
    match garbage:
        case "layers":
            world.redis.hset(name, mapping={"layers": b"\xff{", "inv": b"none"})
        case "hash":
            world.redis.hset(name, mapping={"ih": b"\xff\xfe", "fh": b"\xff"})
        case _:
            world.redis.set(name, "x")
    odd, fine = world.table.stocks([KEY, other])
    assert fine.layers == inventory().layers
    assert (odd.layers is None) == (garbage != "hash")
    assert world.publish("db2") == 2


# --- ends


def test_changed_findings_reach_the_users_and_others_do_not(world: World) -> None:
    """Trap 16, and law 4: no report is written for a database that changed nothing."""
    world.known(KEY, "CVE-1")
    world.publish("db2")
    claim, stock = world.rematch()
    world.end(claim, found(stock, "CVE-1", version="db2"))
    assert world.woken() == {}
    world.publish("db3")
    claim, stock = world.rematch()
    world.end(claim, found(stock, "CVE-1", "CVE-2", version="db3"))
    assert world.woken() == {WEB: Lane.BULK}
    assert world.record() == ImageRecord(
        inventory=inventory(), match=match("CVE-1", "CVE-2", version="db3")
    )


def test_a_match_that_finds_nothing_to_do_leaves_the_record(world: World) -> None:
    """The failure of a pull is still true, and nobody is woken to read it again."""
    world.table.lookup(use(WEB), [KEY])
    (claim,) = world.claim("scan")
    world.end(claim, failed("Unauthorized", delay_s=600), "w-scan")
    world.woken()
    before = world.record()
    world.queue.add([Add(key=MATCH)])
    (claim,) = world.claim("rematch")
    world.end(claim, Settled(fingerprint="", epoch=1, outcome="Rest:NoInventory"))
    assert world.record() == before
    assert world.woken() == {}
    assert not world.queue.members([MATCH])[0]
    assert not world.redis.hexists(world.names.own("settled"), str(MATCH))


def test_a_match_whose_layers_are_lost_hands_the_image_over(world: World) -> None:
    """The match server lost its volume. Until the image is analysed again, it keeps what it has."""
    world.known(KEY, "CVE-1")
    before = world.record()
    world.publish("db2")
    claim, _ = world.rematch()
    world.end(claim, Handed(to=KEY, reason="LayerCacheMissing"))
    (image_run,) = world.claim("scan")
    assert (image_run.key, image_run.lane) == (KEY, Lane.BULK)
    assert world.record() == before


def test_a_match_that_fails_for_good_tells_the_image(world: World) -> None:
    """Its users read the reason in the record, as for a pull."""
    world.known()
    world.publish("db2")
    claim, _ = world.rematch()
    world.end(claim, Park(reason="MatchFailed", message="m", probe_after_s=600))
    failure = world.record().failure
    assert failure is not None
    assert failure.reason == "MatchFailed"
    assert [entry.key for entry in world.queue.dead()] == [MATCH]


def test_a_match_that_kills_workers_tells_the_image(world: World) -> None:
    """So does a crash."""
    world.known()
    world.publish("db2")
    for _ in range(3):
        (claim,) = world.claim("rematch")
        assert claim.key == MATCH
        world.later(LEASE_S + 1)
        world.queue.reap(3)
    failure = world.record().failure
    assert failure is not None
    assert failure.reason == "Crashed"


def test_an_image_tells_what_its_matches_did(world: World) -> None:
    """`sluice history IMAGE` is one story, whichever key did the work."""
    world.known()
    world.publish("db2")
    claim, stock = world.rematch()
    world.end(claim, found(stock, version="db2"))
    story = Ledger(world.redis, world.names).history(str(KEY), 50)
    assert [(fact.key, fact.kind) for fact in story[-3:]] == [
        (str(MATCH), kind) for kind in ("enqueued", "claimed", "converged")
    ]
    assert story[0].key == str(KEY)


# --- never a step back


def test_an_older_databases_match_never_overwrites_a_newer_one(world: World) -> None:
    """It was asked for before the swap and stored after it."""
    world.known(version="db1")
    world.publish("db1")
    slow, stock = world.rematch()
    world.publish("db2")
    image_run = world.scan()
    world.end(image_run, landed("CVE-NEW", version="db2"), "w-scan")
    world.end(slow, found(stock, "CVE-OLD", version="db1"))
    assert world.version() == "db2"


def test_a_database_that_an_operator_went_back_to_counts_as_the_newest(world: World) -> None:
    """A broken one was published and withdrawn: by their dates the old one would never win."""
    world.known(version="db1")
    world.publish("db1")
    world.publish("db2")
    claim, stock = world.rematch()
    world.end(claim, found(stock, "CVE-BROKEN", version="db2"))
    world.publish("db1")
    late = world.scan()
    claim, stock = world.rematch()
    world.end(claim, found(stock, "CVE-1", version="db1"))
    world.end(late, landed("CVE-BROKEN", version="db2"), "w-scan")
    assert world.version() == "db1"


def test_a_match_before_its_databases_publication_is_the_newest(world: World) -> None:
    """The server is up before the matcher says so; what it says then is true already."""
    world.known(version="db1")
    world.publish("db1")
    world.queue.drop(MATCH)
    world.end(world.scan(), landed("CVE-NEW", version="db2"), "w-scan")
    world.end(world.scan(), landed("CVE-OLD", version="db1"), "w-scan")
    assert world.version() == "db2"
    assert world.claim("rematch") == []  # the publication brings it


def test_a_version_that_was_never_published_does_not_stand_for_ever(world: World) -> None:
    """Another match server's, or one that nobody remembers: whatever is published is newer."""
    world.known(KEY, "CVE-1", version="somewhere-else")
    world.publish("db1")
    claim, stock = world.rematch()
    world.end(claim, found(stock, "CVE-2", version="db1"))
    assert world.version() == "db1"


def test_only_so_many_versions_are_remembered(world: World) -> None:
    """A record that was not matched for weeks is older than all of them."""
    world.known(version="db0")
    for number in range(20):
        world.publish(f"db{number}")
    past = world.redis.hget(world.names.own("database"), "past").decode().split()
    assert past == [f"db{number}" for number in range(11, 19)]
    claim, stock = world.rematch()
    world.end(claim, found(stock, "CVE-2", version="db19"))
    assert world.version() == "db19"


def test_going_back_and_forth_forgets_no_other_version(world: World) -> None:
    """A version stands once among the past ones, at its last place; the one in use is none."""
    for version in ("db1", "db2", "db3", "db1", "db3", "db1"):
        world.publish(version)
    assert world.redis.hget(world.names.own("database"), "past") == b"db2 db3"


def test_a_new_inventory_with_an_older_databases_match_is_matched_again(world: World) -> None:
    """The pull took longer than the database lived: nobody else would bring the image back."""
    world.table.lookup(use(WEB), [KEY])
    world.publish("db1")
    (pull,) = world.claim("scan")
    world.publish("db2")
    assert world.queue.drop(MATCH) is False  # only the pull's key was asked for
    world.end(pull, landed("CVE-1", version="db1"), "w-scan")
    claim, stock = world.rematch()
    world.end(claim, found(stock, "CVE-1", "CVE-2", version="db2"))
    assert world.version() == "db2"


def test_a_match_of_another_inventory_is_not_stored(world: World) -> None:
    """Findings of layers that are not the record's any more would be nobody's findings."""
    world.known(KEY, "CVE-1", version="db1")
    world.publish("db2")
    claim, stock = world.rematch()
    update = ImageUpdate(inventory=inventory("moved"), match=match("CVE-2", version="db2"))
    settled = Settled(fingerprint="", epoch=1, outcome="Converged", image=update)
    world.end(world.scan(), settled, "w-scan")
    world.end(claim, found(stock, "CVE-1", version="db2"))
    assert world.record().match == match("CVE-2", version="db2")
    world.later(2)
    claim, stock = world.rematch()  # it looks once more, and finds the new one
    world.end(claim, found(stock, "CVE-2", version="db2"))
    world.later(2)
    assert world.claim("rematch") == []


def test_a_server_that_stays_old_is_not_asked_without_a_pause(world: World) -> None:
    """Two match servers behind one name, one of them forgotten: no busy loop."""
    world.known(version="db1")
    world.publish("db1")
    world.publish("db2")
    claim, stock = world.rematch()
    world.end(claim, found(stock, version="db1"))
    assert world.claim("rematch") == []
    assert world.queue.members([MATCH]) == [True]
    world.later(2)
    assert [claim.key for claim in world.claim("rematch")] == [MATCH]


def test_an_image_that_nobody_uses_is_not_matched_again(world: World) -> None:
    """It expires instead."""
    world.known(version="db1")
    world.publish("db1")
    claim, stock = world.rematch()
    world.table.release(WEB)
    world.publish("db2")
    world.end(claim, found(stock, version="db1"))
    assert world.queue.members([MATCH]) == [False]


def test_the_newest_database_wins_whatever_the_order_of_the_ends(world: World) -> None:
    """Every order of two publications, a pull's end and a match's end leads to the same record."""
    for number, order in enumerate(itertools.permutations(("publish", "pull", "match")), start=1):
        key, web = image(100 + number), workload(f"web-{number}")
        old, new = f"{number}-a", f"{number}-b"
        _play(
            world,
            key,
            ImageUse(workload=str(web), reference="a", namespace="shop"),
            order,
            (old, new),
        )
        stored = world.table.get(key).match
        assert stored is not None
        assert stored.db_version == new, order


def _play(
    world: World, key: ImageKey, use_: ImageUse, order: tuple[str, ...], versions: tuple[str, str]
) -> None:
    old, new = versions
    world.publish(old)
    world.table.lookup(use_, [key])
    (claim,) = world.claim("scan")
    world.end(claim, landed(version=old), "w-scan")
    world.queue.add([Add(key=key), Add(key=match_key(key), lane=Lane.FRESH)])
    (pull,) = world.claim("scan")
    (begun,) = world.claim("rematch")
    (stock,) = world.table.stocks([key])
    assert begun.key == match_key(key)
    for event in order:
        if event == "publish":
            world.publish(new)
        elif event == "pull":
            world.end(pull, landed("CVE-1", version=old), "w-scan")
        else:
            world.end(begun, found(stock, "CVE-1", version=old))
    # Whatever is queued now runs under the new database.
    for _ in range(3):
        world.later(2)
        for claim in world.claim("rematch", limit=64):
            assert isinstance(claim.key, MatchKey)
            (stock,) = world.table.stocks([claim.key.image])
            world.end(claim, found(stock, "CVE-2", version=new))


def test_many_users_of_a_changed_image_are_all_woken(world: World) -> None:
    """As after an image's own run."""
    users = workloads(30)
    world.known()
    for user in users:
        world.table.lookup(use(user), [KEY])
    world.publish("db2")
    claim, stock = world.rematch()
    world.end(claim, found(stock, "CVE-9", version="db2"))
    assert world.woken() == dict.fromkeys([*users, WEB], Lane.BULK)
