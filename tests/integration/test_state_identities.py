"""Digests that name one image lead to one record, on the real Redis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from msgspec import structs
from redis import Redis

from common.model.image import ImageUse
from common.model.key import ImageKey, cluster_sbom_key
from common.queue.contract import Add, Settled
from common.queue.workqueue import WorkQueue
from common.state.identities import IdentityTable
from common.state.images import ImageTable, Looked
from common.state.names import IDENTITY_TTL_S, Names
from tests.queue_values import LEASE_S, image, landed, parked, use, workload

pytestmark = pytest.mark.integration

INDEX, OTHER_INDEX, MANIFEST = image(1), image(2), image(3)
WEB, API = workload("web"), workload("api")


@dataclass
class World:
    """Both tables, and the queue."""

    identities: IdentityTable
    images: ImageTable
    queue: WorkQueue
    redis: Any
    names: Names

    def look(self, who: Any, *keys: ImageKey) -> list[Looked]:
        return self.images.lookup_uses([(use(who), key) for key in keys])

    def settle(self, key: ImageKey) -> ImageKey:
        return self.identities.settle(key, MANIFEST.digest)  # type: ignore[arg-type] # it is one

    def queued(self) -> list[ImageKey]:
        """Return the images that are queued, and end their runs as found to be elsewhere."""
        claims = self.queue.claim("scan", "w1", limit=64, lease_s=LEASE_S)
        rest = Settled(fingerprint="", epoch=1, outcome="Rest:SameImage")
        self.queue.complete("w1", [(claim, rest) for claim in claims])
        return [claim.key for claim in claims if isinstance(claim.key, ImageKey)]

    def land(self, key: ImageKey, outcome: Any) -> None:
        self.queue.add([Add(key=key)])
        (claim,) = self.queue.claim("scan", "w1", limit=1, lease_s=LEASE_S)
        assert claim.key == key
        assert self.queue.complete("w1", [(claim, outcome)]) == [True]

    def name(self, key: ImageKey) -> str:
        return self.names.own(f"same:{key}")


@pytest.fixture
def world(redis_client: Redis, names: Names, queue: WorkQueue) -> World:
    identities = IdentityTable(redis_client, names)
    return World(identities, ImageTable(redis_client, names), queue, redis_client, names)


@pytest.mark.parametrize(
    "order", list(itertools.permutations([INDEX, OTHER_INDEX, MANIFEST])), ids=str
)
def test_whoever_is_first_is_the_home_of_all(world: World, order: Sequence[ImageKey]) -> None:
    """In any order, and however often it is asked."""
    for key in (*order, *order):
        assert world.settle(key) == order[0]
    for key in order:
        assert world.look(WEB, key)[0].key == order[0]
        assert world.settle(world.look(WEB, key)[0].key) == order[0]


def test_other_platforms_and_options_are_other_images(world: World) -> None:
    """One index, two manifests; one manifest, two questions."""
    arm = replace(INDEX, platform="linux-arm64")
    skipping = replace(INDEX, options="o2")
    world.settle(INDEX)
    assert [world.settle(key) for key in (arm, skipping)] == [arm, skipping]
    assert [one.key for one in world.look(WEB, INDEX, arm, skipping)] == [INDEX, arm, skipping]


def test_a_record_serves_every_name_of_its_image(world: World) -> None:
    """One inventory; who comes by another name is a user of it, with the manifest to pull."""
    world.look(WEB, INDEX)
    world.settle(INDEX)
    world.land(INDEX, landed())
    (found,) = world.look(API, MANIFEST)
    assert found.record.ready
    assert found.key == INDEX
    assert world.queued() == []
    by_manifest = structs.replace(use(API), digest=MANIFEST.digest)
    assert world.images.uses(INDEX) == [by_manifest, use(WEB)]
    assert world.images.used_by(API) == [INDEX]


def test_who_waited_under_another_name_is_woken_and_led(world: World) -> None:
    """The key of that name rests without a record, and is used no more."""
    world.look(WEB, INDEX)
    world.settle(INDEX)
    world.land(INDEX, landed())
    world.look(API, OTHER_INDEX)
    assert world.settle(OTHER_INDEX) == INDEX
    assert world.queued() == [OTHER_INDEX]
    woken = world.queue.claim("reconcile", "w1", limit=64, lease_s=LEASE_S)
    assert API in [claim.key for claim in woken]
    assert world.look(API, OTHER_INDEX)[0].record.ready
    assert world.images.uses(OTHER_INDEX) == [], "though another image of it may fail for weeks"
    assert world.images.used_by(API) == [INDEX]


def test_a_follower_is_led_too_and_asks_for_nothing(world: World) -> None:
    """Reports about the cluster tell of the one record, and are woken by it."""
    follower = cluster_sbom_key("bcdf")
    used = ImageUse(workload=str(follower), reference="app:1", namespace="")
    world.settle(INDEX)
    (found,) = world.images.follow([(used, MANIFEST)])
    assert (found.key, world.queued()) == (INDEX, [])
    world.images.release(follower, keep=[found.key])
    world.land(INDEX, landed())
    woken = world.queue.claim("reconcile", "w1", limit=64, lease_s=LEASE_S)
    assert [claim.key for claim in woken] == [follower]


def test_a_database_matches_the_one_record_for_every_name(world: World) -> None:
    """No match is made for a name that leads elsewhere."""
    world.look(WEB, INDEX)
    world.settle(INDEX)
    world.land(INDEX, landed())
    world.settle(OTHER_INDEX)
    world.look(API, OTHER_INDEX, MANIFEST)
    assert world.images.keys() == [INDEX]


def test_who_uses_a_record_that_is_led_elsewhere_by_now_is_brought_there(world: World) -> None:
    """It was made before anybody knew: no run refreshes it any more, and nobody waits for it."""
    world.look(WEB, OTHER_INDEX)
    world.land(OTHER_INDEX, landed())
    world.look(API, INDEX)
    world.settle(INDEX)
    world.land(INDEX, landed())
    world.queue.complete(
        "w1",
        [
            (claim, Settled(fingerprint="", epoch=1, outcome="Converged"))
            for claim in world.queue.claim("reconcile", "w1", limit=64, lease_s=LEASE_S)
        ],
    )
    assert world.settle(OTHER_INDEX) == INDEX
    (woken,) = world.queue.claim("reconcile", "w1", limit=64, lease_s=LEASE_S)
    assert woken.key == WEB
    assert world.look(WEB, OTHER_INDEX)[0].key == INDEX
    record = world.names.own(f"image:{OTHER_INDEX}")
    assert world.redis.ttl(record) > 0, "what nobody uses any more goes"


def test_a_workload_that_names_an_image_twice_does_not_try_it_for_ever(world: World) -> None:
    """Two containers, two references, one failure: the same first one counts at every look-up."""
    uses = [(use(WEB, f"{host}.example/x:1"), INDEX) for host in "ab"]
    world.images.lookup_uses(uses)
    world.land(INDEX, parked("Unauthorized"))
    for _ in range(3):
        world.images.lookup_uses(uses)
        assert world.queued() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "image/sha256:00/linux-amd64/o1",
        "workload/Pod/a/b sha256:00",
        f"{replace(INDEX, platform='linux-arm64')} {MANIFEST.digest}",
        f"{replace(INDEX, options='other')} {MANIFEST.digest}",
        f"{INDEX} {MANIFEST.digest} more",
    ],
)
def test_what_others_wrote_leads_nowhere(world: World, text: str) -> None:
    """Least of all to another platform's findings."""
    world.redis.set(world.name(MANIFEST), text)
    world.redis.rpush(world.name(INDEX), "a list")
    assert [one.key for one in world.look(WEB, MANIFEST, INDEX)] == [MANIFEST, INDEX]
    assert world.settle(INDEX) == INDEX
    assert world.look(WEB, MANIFEST)[0].key == INDEX


def test_what_is_looked_up_is_not_forgotten(world: World) -> None:
    """And what is not, is."""
    world.settle(INDEX)
    for key in (INDEX, MANIFEST):
        assert 0 < world.redis.ttl(world.name(key)) <= IDENTITY_TTL_S
        world.redis.expire(world.name(key), 10)
    world.look(WEB, INDEX)
    for key in (INDEX, MANIFEST):
        assert world.redis.ttl(world.name(key)) > 10
