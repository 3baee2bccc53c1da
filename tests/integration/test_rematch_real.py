"""A database update on real parts: a real image, two real match servers, the real queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from common.model.key import ImageKey
from common.ops.trivy_program import Trivy
from common.queue.contract import Finished, Handed, ImageUpdate, Settled
from common.queue.workqueue import WorkQueue
from common.state.database import DatabaseRow, DatabaseTable
from common.state.images import ImageTable
from common.state.names import Names
from sandbox.images import Pushed
from sandbox.registry import Registry
from tests.fixtures_trivy import (
    VERSION,
    RunningScanner,
    inventory_job,
    match_server,
)
from tests.queue_values import LEASE_S, judged, use, workload
from worker.evidence.image.match import TwirpMatcher
from worker.subject.image.rematch import RematchReconciler

pytestmark = pytest.mark.integration

WEB = workload("web")
IMAGES = ("alpine-app", "alpine-python", "debian-app", "go-app")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The real ones."""

    trivy: Trivy
    databases: Mapping[int, Path]
    registry: Registry
    scanner: RunningScanner
    pushed: Mapping[str, Pushed]

    def key(self, name: str) -> ImageKey:
        return ImageKey(digest=self.pushed[name].digest, platform="linux-amd64", options="o")


class Update:
    """Four images that are known under the first database, and whoever matches them again."""

    def __init__(self, redis: Redis, names: Names, queue: WorkQueue, parts: Parts) -> None:
        self.parts = parts
        self.table, self.queue = ImageTable(redis, names), queue
        self.databases = DatabaseTable(redis, names)

    def store(self, url: str) -> None:
        """Take stock of the images as a scan worker does."""
        parts = self.parts
        with closing(TwirpMatcher(url)) as matcher:
            for name in IMAGES:
                self.table.lookup(use(WEB), [parts.key(name)])
                (claim,) = self.queue.claim("scan", "w-scan", limit=1, lease_s=LEASE_S)
                job = inventory_job(parts.pushed[name].pinned, url)
                found = parts.scanner.scanner.inventory(job).inventory
                update = ImageUpdate(inventory=found, match=matcher.match(found))
                end = Settled(fingerprint="", epoch=1, outcome="Converged", image=update)
                self.queue.complete("w-scan", [(claim, end)])

    def publish(self, url: str, level: int) -> int:
        return self.databases.publish(DatabaseRow(version=VERSION[level], server_url=url))

    def run(self, url: str) -> list[Finished]:
        """Work as a loop does until nothing is left."""
        ended = []
        with closing(TwirpMatcher(url)) as matcher:
            run = RematchReconciler(
                records=self.table, matcher=matcher, decide=judged, epoch=lambda: 1
            )
            while claims := self.queue.claim("rematch", "w", limit=64, lease_s=LEASE_S):
                run.ahead(claims)
                ends = [run(claim) for claim in claims]
                self.queue.complete(
                    "w", [(claim, end.outcome) for claim, end in zip(claims, ends, strict=True)]
                )
                ended += ends
        return ended


@pytest.fixture
def parts(
    trivy: Trivy,
    databases: Mapping[int, Path],
    registry: Registry,
    scanner: RunningScanner,
    pushed: Mapping[str, Pushed],
) -> Parts:
    return Parts(
        trivy=trivy, databases=databases, registry=registry, scanner=scanner, pushed=pushed
    )


@pytest.fixture
def update(
    redis_client: Redis, names: Names, queue: WorkQueue, parts: Parts, match_url: str
) -> Update:
    one = Update(redis_client, names, queue, parts)
    one.store(match_url)
    one.publish(match_url, 1)
    one.run(match_url)
    return one


@contextmanager
def second_server(parts: Parts, folder: Path, *, layers: bool) -> Iterator[str]:
    """Run a server on the second database, with the layers of the first server or without."""
    cache = folder / "cache"
    cache.mkdir()
    (cache / "db").symlink_to(parts.databases[2] / "db")
    if layers:
        (cache / "fanal").mkdir()
        first = parts.databases[1] / "fanal" / "fanal.db"
        (cache / "fanal" / "fanal.db").write_bytes(first.read_bytes())
    with match_server(parts.trivy, cache, folder / "home", level=2) as url:
        yield url


def test_another_database_reaches_whom_it_concerns_and_no_registry(
    update: Update, parts: Parts, tmp_path: Path
) -> None:
    """Law 3 and trap 16: level 2 knows more about Alpine and Python, and nothing about the rest."""
    rest(update)
    asked = parts.registry.mark()
    with second_server(parts, tmp_path, layers=True) as url:
        assert update.publish(url, 2) == len(IMAGES)
        ended = update.run(url)
    facts = {fact.key: fact.data for end in ended for fact in end.facts}
    changed = {name for name in IMAGES if facts[str(parts.key(name))]["changed"]}
    assert changed == {"alpine-app", "alpine-python"}
    for name in IMAGES:
        found = update.table.get(parts.key(name)).match
        assert found is not None
        assert found.db_version == VERSION[2]
    assert parts.registry.requests(since=asked) == []
    (woken,) = update.queue.claim("reconcile", "w1", limit=9, lease_s=LEASE_S)
    assert woken.key == WEB


def rest(update: Update) -> None:
    """End the runs that the inventories woke."""
    settled = Settled(fingerprint="f", epoch=1, outcome="Converged")
    claims = update.queue.claim("reconcile", "w1", limit=9, lease_s=LEASE_S)
    update.queue.complete("w1", [(claim, settled) for claim in claims])


def test_a_server_that_lost_its_layers_leaves_the_images_to_their_own_keys(
    update: Update, parts: Parts, tmp_path: Path
) -> None:
    """Only they may pull; until they have, the records say what was true before."""
    keys = [parts.key(name) for name in IMAGES]
    before = [update.table.get(key) for key in keys]
    with second_server(parts, tmp_path, layers=False) as url:
        update.publish(url, 2)
        ended = update.run(url)
    assert {type(end.outcome) for end in ended} == {Handed}
    assert [update.table.get(key) for key in keys] == before
    waiting = update.queue.claim("scan", "w2", limit=9, lease_s=LEASE_S)
    assert {claim.key for claim in waiting} == set(keys)
