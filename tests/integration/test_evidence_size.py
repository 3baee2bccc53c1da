"""What is kept of an image: no more than somebody asks for, and all of that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis import Redis

from common.model.image import DETAILS, Match
from common.queue.contract import Claim, ImageUpdate, Settled
from common.queue.workqueue import WorkQueue
from common.settings.parse import parse
from common.state.images import ImageTable
from common.state.names import Names
from tests.evidence import answer, inventory, packages
from tests.queue_values import LEASE_S, converged, image, use, workload
from worker.evidence.image.findings import findings_of
from worker.filtering import details_of

pytestmark = pytest.mark.integration

KEY, WEB = image(), workload("web")
KB = 1024
# An everyday image: Debian's slim base with what an application needs. 719 packages with 300
# findings, all of a full Debian with build tools, are 60 KB.
PACKAGES, FINDINGS = 400, 150


def found(details: frozenset[str]) -> Match:
    """Return what a worker keeps of the match."""
    lacks = tuple(sorted(DETAILS.keys() - details))
    findings = findings_of(answer(packages(PACKAGES), FINDINGS), lacks)
    return Match(db_version="2026-11-25T06:00:00Z", findings=findings, lacks=lacks)


def land(queue: WorkQueue, match: Match) -> None:
    """End the image's run; it is queued."""
    (claim,) = claims(queue, "scan")
    update = ImageUpdate(inventory=inventory(packages(PACKAGES)), match=match)
    end = Settled(fingerprint="", epoch=1, outcome="Converged", image=update)
    assert queue.complete("w1", [(claim, end)]) == [True]


def claims(queue: WorkQueue, pool: str) -> list[Claim]:
    """Take what is queued."""
    return queue.claim(pool, "w1", limit=4, lease_s=LEASE_S)


def test_the_evidence_of_an_everyday_image_is_small(
    redis_client: Redis, names: Names, queue: WorkQueue
) -> None:
    """A thousand images are 50 MB in Redis, allocator included."""
    ImageTable(redis_client, names).lookup(use(WEB), [KEY])
    land(queue, found(details_of(parse({}))))
    name = names.own(f"image:{KEY}")
    used = redis_client.memory_usage(name, samples=0)
    assert used is not None
    assert used <= 50 * KB
    sizes = [len(value) for value in redis_client.hgetall(name).values()]
    assert sum(sizes) <= 40 * KB, sizes


def test_what_settings_ask_for_later_is_matched_again(
    redis_client: Redis, names: Names, queue: WorkQueue
) -> None:
    """Nobody shows a report without its descriptions, or asks a policy about half a finding."""
    thin = ImageTable(redis_client, names)
    thin.lookup(use(WEB), [KEY])
    land(queue, found(frozenset()))
    queue.complete("w1", [(claim, converged()) for claim in claims(queue, "reconcile")])
    assert thin.lookup(use(WEB), [KEY])[0].ready
    assert claims(queue, "scan") == []

    wanting = ImageTable(redis_client, names, details=("Description",))
    (record,) = wanting.lookup(use(WEB), [KEY])
    assert record.match is None
    assert record.inventory is not None  # no pull
    land(queue, found(frozenset({"Description"})))
    assert [claim.key for claim in claims(queue, "reconcile")] == [WEB]
    (record,) = wanting.lookup(use(WEB), [KEY])
    assert record.match is not None
    assert all(one.description and not one.links for one in record.match.findings)
    assert claims(queue, "scan") == []
    assert thin.lookup(use(WEB), [KEY])[0].ready  # more than it needs


def test_what_is_kept_follows_from_the_settings() -> None:
    """Fields that reports show; with a policy everything, for it may look at everything."""
    assert details_of(parse({})) == frozenset()
    shown = parse({"SLUICE_ADDITIONAL_VULNERABILITY_REPORT_FIELDS": "Links,Class"})
    assert details_of(shown) == {"Links"}
    policy = replace(shown, filters=replace(shown.filters, ignore_policies=(("", "package x"),)))
    assert details_of(policy) == DETAILS.keys()
