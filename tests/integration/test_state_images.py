"""Image records on the real Redis: looked up and waited for in one step, shared by every user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis

from common.model.image import ImageUse
from common.model.key import ImageKey, WorkKey, cluster_sbom_key, match_key
from common.queue.contract import Add, Claim, ImageUpdate, Lane, Outcome, Park, Settled
from common.queue.workqueue import WorkQueue
from common.state.database import DatabaseRow, DatabaseTable
from common.state.images import ImageTable, pack
from common.state.ledger import Ledger
from common.state.names import UNUSED_IMAGE_TTL_S, Names
from common.state.settled import SettledTable
from tests.queue_values import (
    LEASE_S,
    converged,
    failed,
    image,
    inventory,
    landed,
    match,
    parked,
    use,
    workload,
    workloads,
)

pytestmark = pytest.mark.integration

KEY = image()
WEB = workload("web")


@dataclass
class Images:
    """The image table and the queue beside it."""

    table: ImageTable
    queue: WorkQueue
    redis: Any
    names: Names
    later: Callable[[float], None]

    def claim(self, pool: str = "scan", limit: int = 1) -> list[Claim]:
        return self.queue.claim(pool, "w1", limit=limit, lease_s=LEASE_S)

    def woken(self) -> dict[WorkKey, Lane]:
        """Return the workloads that are queued, and end their runs."""
        claims = self.claim("reconcile", limit=64)
        self.queue.complete("w1", [(claim, converged()) for claim in claims])
        return {claim.key: claim.lane for claim in claims}

    def land(self, key: ImageKey, outcome: Outcome) -> None:
        """Queue the image if it is not, and end its run."""
        self.queue.add([Add(key=key)])
        (claim,) = self.claim()
        assert claim.key == key
        assert self.queue.complete("w1", [(claim, outcome)]) == [True]

    def ttl_s(self, key: ImageKey) -> int:
        """Return the record's time to live; -1: for ever, -2: there is none."""
        return int(self.redis.ttl(self.names.own(f"image:{key}")))


@pytest.fixture
def images(
    redis_client: Redis, names: Names, queue: WorkQueue, later: Callable[[float], None]
) -> Images:
    return Images(ImageTable(redis_client, names), queue, redis_client, names, later)


# --- look or wait


def test_a_record_that_is_there_is_returned_and_nobody_waits(images: Images) -> None:
    """The common case: one round trip, no work."""
    images.land(KEY, landed("CVE-1"))
    (record,) = images.table.lookup(use(WEB), [KEY])
    assert record.ready
    assert record.match == match("CVE-1")
    assert record.inventory == inventory()
    assert images.claim() == []


def test_registration_is_atomic_with_the_lookup(images: Images) -> None:
    """Trap 14. Whoever saw no record is a waiter already, so the landing wakes it."""
    (record,) = images.table.lookup(use(WEB), [KEY])
    assert record.inventory is None
    # However the run of the workload ends from here on, the image's run brings it back.
    (claim,) = images.claim()
    assert claim.key == KEY
    images.queue.complete("w1", [(claim, landed())])
    assert images.woken() == {WEB: Lane.FRESH}


def test_who_follows_an_image_is_woken_and_asks_for_nothing(images: Images) -> None:
    """Reports about the cluster can pull nothing; the workloads that run an image ask for it."""
    follower = cluster_sbom_key("bcdf")
    used = ImageUse(workload=str(follower), reference="app:1", namespace="")
    (found,) = images.table.follow([(used, KEY)])
    assert found.record.inventory is None
    assert images.claim() == []
    images.table.lookup(use(WEB), [KEY])
    (scan,) = images.claim()
    images.queue.complete("w1", [(scan, landed())])
    assert images.woken() == {WEB: Lane.FRESH, follower: Lane.FRESH}
    assert images.table.uses(KEY) == [used, use(WEB)]
    assert images.table.release(follower) == 1
    assert images.table.uses(KEY) == [use(WEB)]


def test_a_workload_that_still_runs_when_its_image_lands_runs_once_more(images: Images) -> None:
    """Trap 14. The wake-up in the middle of the run makes it dirty; Waiting must not drop that."""
    images.queue.add([Add(key=WEB)])
    (run,) = images.claim("reconcile")
    images.table.lookup(use(WEB), [KEY])
    (scan,) = images.claim()
    images.queue.complete("w1", [(scan, landed())])
    assert images.queue.members([WEB]) == [True]
    images.queue.complete("w1", [(run, converged())])
    assert images.woken() == {WEB: Lane.FRESH}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (landed(), None),
        (failed("RateLimited", delay_s=60), "RateLimited"),
        (parked("ImageNotFound"), "ImageNotFound"),
        (Park(reason="Unauthorized", message="denied", probe_after_s=9), "Unauthorized"),
    ],
    ids=["landed", "failed", "parked", "parked without an update"],
)
def test_every_end_wakes_the_waiters_with_the_reason(
    images: Images, outcome: Outcome, reason: str | None
) -> None:
    """Trap 15. the image key is parked or dead-lettered: nobody waits for ever."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    images.queue.complete("w1", [(claim, outcome)])
    assert images.woken() == {WEB: Lane.FRESH}
    (record,) = images.table.lookup(use(WEB), [KEY])
    assert (record.failure.reason if record.failure else None) == reason
    assert images.woken() == {}


def test_an_image_that_kills_its_workers_wakes_its_waiters_too(images: Images) -> None:
    """Trap 15. The dead letter that no worker lives to write."""
    images.table.lookup(use(WEB), [KEY])
    for _ in range(3):
        images.claim()
        images.later(LEASE_S + 1)
        images.queue.reap(3)
    assert images.woken() == {WEB: Lane.FRESH}
    record = images.table.get(KEY)
    assert record.failure is not None
    assert record.failure.reason == "Crashed"
    assert "3 workers died" in record.failure.message
    assert record.failure.at > 1_700_000_000


def test_a_retry_that_keeps_its_reason_to_itself_wakes_nobody(images: Images) -> None:
    """A restart of our own match server must not reach every workload as a failure."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    silent = failed("SourceUnavailable", delay_s=30)
    images.queue.complete("w1", [(claim, type(silent)(delay_s=30, reason="R", message="m"))])
    assert images.woken() == {}
    assert images.table.get(KEY).failure is None


def test_an_inventory_survives_the_failure_of_its_match(images: Images) -> None:
    """Law 3: no image is pulled twice because the match server was away."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    update = ImageUpdate(inventory=inventory())
    images.queue.complete(
        "w1", [(claim, Park(reason="R", message="m", probe_after_s=9, image=update))]
    )
    record = images.table.get(KEY)
    assert record.inventory == inventory()
    assert record.failure is not None


def test_a_failed_refresh_takes_nothing_away(images: Images) -> None:
    """Law 8 for images: the last good match is served while the new one fails."""
    images.land(KEY, landed("CVE-1"))
    images.land(KEY, failed(delay_s=60))
    record = images.table.get(KEY)
    assert record.ready
    assert record.failure is not None


def test_success_clears_the_failure(images: Images) -> None:
    """Else `sluice status` would show a fault that is over."""
    images.land(KEY, failed())
    images.land(KEY, landed())
    assert images.table.get(KEY).failure is None


# --- who tries again


def test_the_same_use_does_not_run_a_failed_image_again(images: Images) -> None:
    """Every sweep looks images up: a registry that refuses must not be asked each time."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    images.queue.complete("w1", [(claim, parked())])
    images.table.lookup(use(WEB), [KEY])
    assert images.claim() == []


def test_another_reference_or_secret_runs_a_failed_image_again(images: Images) -> None:
    """Another tenant's credentials may succeed where the first ones were refused."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    images.queue.complete("w1", [(claim, parked("Unauthorized"))])
    images.woken()
    other = workload("web", namespace="other")
    images.table.lookup(use(other), [KEY])
    (again,) = images.claim()
    assert again.attempts == 0
    images.queue.complete("w1", [(again, landed())])
    assert set(images.woken()) == {WEB, other}


def test_another_user_neither_runs_an_image_twice_nor_cuts_its_backoff(images: Images) -> None:
    """A Deployment of a hundred replicas' owners must not scan one image a hundred times."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    images.table.lookup(use(workload("b")), [KEY])
    images.queue.complete("w1", [(claim, type(failed())(delay_s=60, reason="R", message="m"))])
    images.table.lookup(use(workload("c")), [KEY])
    assert images.claim() == []
    images.later(61)
    (again,) = images.claim()
    images.queue.complete("w1", [(again, landed())])
    assert set(images.woken()) == {WEB, workload("b"), workload("c")}
    assert images.claim() == []


def test_an_image_that_fell_out_of_the_queue_is_queued_by_its_next_user(images: Images) -> None:
    """An operator's drop, or rq's `empty`, must not leave a workload waiting for nothing."""
    images.table.lookup(use(WEB), [KEY])
    assert images.queue.drop(KEY)
    images.table.lookup(use(WEB), [KEY])
    assert [claim.key for claim in images.claim()] == [KEY]


# --- fan-out


def test_only_changed_findings_reach_the_users(images: Images) -> None:
    """Trap 16. only images whose findings changed fan out, bulk lane."""
    users = workloads(5)
    other = image(2)
    for user in users:
        images.table.lookup(use(user), [KEY, other])
    for key in (KEY, other):
        (claim,) = images.claim()
        assert claim.key == key
        images.queue.complete("w1", [(claim, landed("CVE-1"))])
    assert set(images.woken()) == set(users)

    images.land(KEY, landed("CVE-1", version="db2"))
    assert images.woken() == {}
    images.land(other, landed("CVE-1", "CVE-2", version="db2"))
    assert images.woken() == dict.fromkeys(users, Lane.BULK)


def test_a_new_inventory_reaches_the_users(images: Images) -> None:
    """Another scanner may see other secrets or packages: reports hold those, not only findings."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    images.queue.complete("w1", [(claim, landed())])
    images.woken()
    update = ImageUpdate(inventory=inventory(target="changed"), match=match())
    images.land(KEY, Settled(fingerprint="", epoch=1, outcome="Converged", image=update))
    assert images.woken() == {WEB: Lane.BULK}


def test_a_waiter_that_is_a_user_too_runs_once(images: Images) -> None:
    """Landing wakes the waiter and fans out to users: one run each, and the urgent lane."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    images.queue.complete("w1", [(claim, landed("CVE-1"))])
    assert images.woken() == {WEB: Lane.FRESH}
    assert images.woken() == {}


# --- database


def test_a_changed_database_matches_every_image_in_use(images: Images, redis_client: Redis) -> None:
    """Law 3: no registry is touched, but every record is matched anew, in the bulk lane."""
    table = DatabaseTable(redis_client, images.names)
    for seed in (1, 2, 3):
        images.table.lookup(use(WEB), [image(seed)])
        (claim,) = images.claim()
        images.queue.complete("w1", [(claim, landed())])
    images.table.release(WEB, keep={image(1), image(2)})
    first = DatabaseRow(version="2026-11-25", server_url="http://m")
    assert table.publish(first) == 2
    assert table.publish(first) == 0
    moved = DatabaseRow(version="2026-11-25", server_url="http://n", checked_at=5.0)
    assert table.publish(moved) == 0
    assert table.current() == moved
    assert images.claim() == []  # nothing that could pull
    found = images.claim("rematch", limit=16)
    assert {claim.key for claim in found} == {match_key(image(1)), match_key(image(2))}
    assert {claim.lane for claim in found} == {Lane.BULK}


def test_a_workload_with_many_containers_of_an_image_gets_its_record_once(images: Images) -> None:
    """A thousand copies of a large record are too many; the first way to name it counts."""
    images.land(KEY, landed("CVE-1"))
    uses = [(use(WEB, f"r.example/web:{number}"), KEY) for number in range(50)]
    first, *others = images.table.lookup_uses(uses)
    assert all(one is first for one in others)
    assert [one.reference for one in images.table.uses(KEY)] == ["r.example/web:0"]


def test_the_first_database_runs_what_waited_for_it(images: Images, redis_client: Redis) -> None:
    """A cluster that starts must not wait out a backoff after its database has arrived."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    waits = type(failed())(delay_s=600, reason="DatabaseNotReady", message="m")
    images.queue.complete("w1", [(claim, waits)])
    table = DatabaseTable(redis_client, images.names)
    assert table.publish(DatabaseRow(version="1", server_url="u")) == 1
    assert [claim.key for claim in images.claim()] == [KEY]
    assert Ledger(redis_client, images.names).counts()["database"] == 1


# --- uses and expiry


def test_uses_tell_how_each_workload_names_the_image(images: Images) -> None:
    """The scan tries each waiter's reference and credentials in a fixed order."""
    private = ImageUse(
        workload=str(workload("b")),
        reference="reg.example/b:1",
        namespace="shop",
        service_account="puller",
        pull_secrets=("regcred",),
        kubelet_ran_it=True,
    )
    images.table.lookup(private, [KEY])
    images.table.lookup(use(workload("a")), [KEY])
    assert images.table.uses(KEY) == [use(workload("a")), private]


def test_a_workload_tells_which_images_it_uses(images: Images) -> None:
    """`history` and `rescan` ask this of one workload, in a cluster with thousands of images."""
    web, other = workload("web"), workload("other")
    keys = [image(seed) for seed in (3, 1, 2)]
    images.table.lookup(use(web), keys)
    images.table.lookup(use(other), [image(4)])
    assert images.table.used_by(web) == sorted(keys, key=str)
    images.table.release(web, keep=[image(2)])
    assert images.table.used_by(web) == [image(2)]
    assert images.table.used_by(workload("nobody")) == []


def test_one_lookup_is_for_one_workload(images: Images) -> None:
    """Registering is per workload; two in one call would wake the wrong one."""
    uses = [(use(workload("a")), KEY), (use(workload("b")), KEY)]
    with pytest.raises(ValueError, match="one workload"):
        images.table.lookup_uses(uses)
    assert images.table.lookup_uses([]) == []


def test_a_record_in_use_never_expires_and_an_unused_one_does(images: Images) -> None:
    """Law 10, and law 3: what somebody uses is not pulled again because time went by."""
    images.land(KEY, landed())
    assert 0 < images.ttl_s(KEY) <= UNUSED_IMAGE_TTL_S  # nobody uses it
    images.table.lookup(use(WEB), [KEY])
    assert images.ttl_s(KEY) == -1
    assert images.table.release(WEB) == 1
    assert 0 < images.ttl_s(KEY) <= UNUSED_IMAGE_TTL_S
    assert images.table.uses(KEY) == []
    images.table.lookup(use(WEB), [KEY])
    assert images.ttl_s(KEY) == -1


def test_a_workload_that_uses_an_image_no_more_does_not_wait_for_it(images: Images) -> None:
    """A tag that moved while the old digest is still being scanned: that end is no news."""
    images.table.lookup(use(WEB), [KEY])
    assert images.table.release(WEB) == 1
    (claim,) = images.claim()
    images.queue.complete("w1", [(claim, landed())])
    assert images.woken() == {}


def test_a_workload_that_is_gone_releases_its_images(images: Images) -> None:
    """The run that finds it gone does it in its completion: no list of leftovers to forget."""
    images.table.lookup(use(WEB), [KEY])
    (claim,) = images.claim()
    images.queue.complete("w1", [(claim, landed())])
    (run,) = images.claim("reconcile")
    gone = Settled(fingerprint="", epoch=1, outcome="Gone")
    images.queue.complete("w1", [(run, gone)])
    assert images.table.uses(KEY) == []
    assert 0 < images.ttl_s(KEY) <= UNUSED_IMAGE_TTL_S
    assert SettledTable(images.redis, images.names).get(WEB) is None


def test_images_are_listed_until_they_are_forgotten(images: Images, redis_client: Redis) -> None:
    """The list is what a new database walks through; an expired record must leave it."""
    images.table.lookup(use(WEB), [KEY, image(2)])
    assert set(images.table.keys()) == {KEY, image(2)}
    images.table.release(WEB, keep={KEY})
    DatabaseTable(redis_client, images.names).publish(DatabaseRow(version="1", server_url="u"))
    assert images.table.keys() == [KEY]


# --- waiting for another workload


def test_a_rollout_waits_for_its_successor(images: Images) -> None:
    """Trap 6. delete only when the successor's reports exist; its completion enqueues siblings."""
    old, new = workload("web-1"), workload("web-2")
    assert images.table.await_settled(new, old) is None
    images.queue.add([Add(key=new)])
    (run,) = images.claim("reconcile")
    partial = Settled(fingerprint="f", epoch=1, outcome="Partial:ImageNotFound")
    images.queue.complete("w1", [(run, partial)])
    assert images.woken() == {old: Lane.FRESH}

    assert images.table.await_settled(new, old) is None  # partly is not enough
    images.queue.add([Add(key=new)])
    (run,) = images.claim("reconcile")
    images.queue.complete("w1", [(run, converged("f2", **{"VulnerabilityReport/s/n": "h"}))])
    assert images.woken() == {old: Lane.FRESH}
    row = images.table.await_settled(new, old)
    assert row is not None
    assert (row.fingerprint, row.outcome) == ("f2", "Converged")


def test_a_stale_run_stores_no_record(images: Images) -> None:
    """Trap 8. A worker that was cut off must not overwrite what others found since."""
    images.table.lookup(use(WEB), [KEY])
    (stale,) = images.claim()
    images.later(LEASE_S + 1)
    images.queue.reap(3)
    (claim,) = images.claim()
    images.queue.complete("w1", [(claim, landed("CVE-1"))])
    assert images.queue.complete("w1", [(stale, landed("CVE-9"))]) == [False]
    assert images.table.get(KEY).match == match("CVE-1")


def test_records_are_stored_compressed() -> None:
    """A thousand images with their SBOMs must fit beside the queue."""
    many = match(*(f"CVE-2026-{number}" for number in range(500)))
    assert len(pack(many)) < 8_000
