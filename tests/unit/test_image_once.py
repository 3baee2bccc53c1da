"""An inventory that pulls nothing twice: documents, leases, and what a failure leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from common.model.errors import (
    NoRoomError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    UnauthorizedError,
)
from common.model.image import Inventory, Os
from common.model.key import ImageKey
from common.state.layers import Held, Lease, Leased
from worker.evidence.image import manifest
from worker.evidence.image.access import Access
from worker.evidence.image.inventory import InventoryJob, InventoryResult, ScanOptions
from worker.evidence.image.manifest import ManifestSeen
from worker.subject.image.full import Full
from worker.subject.image.once import Elsewhere, PullOnce, Run

KEY = ImageKey(digest="sha256:" + "a" * 64, platform="linux-amd64", options="o1")
LAYERS = tuple(f"sha256:{digit * 64}" for digit in "12")
CONTENTS = tuple(f"sha256:{digit * 64}" for digit in "34")
MANIFEST = json.dumps(
    {
        "config": {"digest": "sha256:" + "c" * 64},
        "layers": [{"digest": digest, "size": 7} for digest in LAYERS],
    }
).encode()
CONFIG = json.dumps({"rootfs": {"diff_ids": CONTENTS}}).encode()
SEEN = replace(
    manifest.seen(MANIFEST, CONFIG, index_digest="", digest=manifest.digest_of(MANIFEST)),
    indexes=(b"index",),
)
JOB = InventoryJob(
    reference=f"r.example/web@{KEY.digest}",
    access=Access(mirrored_name="r.example/web", plain=False, verify=True),
    platform=KEY.platform,
    options=ScanOptions(),
    server_url="http://127.0.0.1:1",
    deadline_s=60.0,
)
INVENTORY = Inventory(
    scanner_version="0.76.0",
    artifact_id="sha256:1",
    blob_ids=LAYERS,
    target="web",
    os=Os(),
    covered=True,
    has_packages=True,
)


@dataclass
class World:
    """Registry, layer table and scanner; all remember what was asked of them, in order."""

    lease_answer: Lease = field(default_factory=lambda: Leased(contents={LAYERS[0]: CONTENTS[0]}))
    kept: tuple[bytes, ...] = ()
    home: ImageKey = KEY
    faults: Mapping[str, SluiceError] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    jobs: list[InventoryJob] = field(default_factory=list)

    def say(self, what: str) -> None:
        self.log.append(what)
        if what in self.faults:
            raise self.faults[what]

    def outline(self, job: InventoryJob) -> tuple[bytes, ...]:
        self.say("outline")
        return (b"index", MANIFEST)

    def manifest(self, job: InventoryJob, known: Sequence[bytes]) -> ManifestSeen:
        assert known == (b"index", MANIFEST)
        self.say("configuration")
        return SEEN

    def settle(self, key: ImageKey, digest: str) -> ImageKey:
        assert digest == manifest.digest_of(MANIFEST)
        return self.home

    def lease(
        self, key: ImageKey, token: int, digests: Sequence[str], *, lost: bool = False
    ) -> Lease:
        assert (key, tuple(digests)) == (self.home, LAYERS)
        self.say("lease lost" if lost else "lease")
        return self.lease_answer

    def done(self, key: ImageKey, token: int, contents: Mapping[str, str]) -> None:
        assert set(contents) == set(LAYERS)
        self.say("done")

    def free(self, key: ImageKey, token: int, digests: Sequence[str]) -> None:
        self.say("free")

    def documents(self, key: ImageKey) -> tuple[bytes, ...]:
        return self.kept

    def keep(self, key: ImageKey, documents: Sequence[bytes]) -> None:
        assert CONFIG not in documents
        self.kept = tuple(documents)

    def inventory(self, job: InventoryJob) -> InventoryResult:
        self.jobs.append(job)
        self.say("scan")
        return InventoryResult(inventory=INVENTORY, seconds=1.0)

    def take(self, run: Run | None = None) -> InventoryResult | Held | Elsewhere:
        once = PullOnce(manifests=self, identities=self, layers=self)
        return once.inventory(self, run or Run(key=KEY, token=5), JOB)


def test_the_scanner_gets_all_that_was_read() -> None:
    """Documents once, layers with their contents, and which of them are proven."""
    world = World()
    assert isinstance(world.take(), InventoryResult)
    assert world.log == ["outline", "lease", "configuration", "scan", "done"]
    parts = world.jobs[0].parts
    assert parts is not None
    assert parts.documents == (b"index", MANIFEST, CONFIG)
    assert [layer.digest for layer in parts.layers] == list(LAYERS)
    assert [layer.proven for layer in parts.layers] == [True, False]


def test_who_must_wait_asks_for_nothing_more() -> None:
    """Its manifest is kept: the run that comes back reads it no second time."""
    world = World(lease_answer=Held(by="image/other"))
    assert world.take() == Held(by="image/other")
    assert world.log == ["outline", "lease"]
    world.lease_answer = Leased(contents={})
    world.take()
    assert world.log[2:] == ["lease", "configuration", "scan", "done"]


@pytest.mark.parametrize("part", ["configuration", "scan"])
def test_a_failure_frees_the_layers(part: str) -> None:
    """Others need not wait until the claim ends."""
    world = World(faults={part: UnauthorizedError("no")})
    with pytest.raises(UnauthorizedError):
        world.take()
    assert world.log[-2:] == [part, "free"]


def test_redis_away_takes_no_inventory_back() -> None:
    """Minutes of work stand against a lease that ends by itself."""
    away = SourceUnavailableError("away")
    assert isinstance(World(faults={"done": away}).take(), InventoryResult)
    with pytest.raises(UnauthorizedError):  # the reason, not the attempt to clean up
        World(faults={"free": away, "scan": UnauthorizedError("no")}).take()


def test_lost_layers_are_said_to_be_lost() -> None:
    """Whatever the table says of them."""
    world = World()
    world.take(Run(key=KEY, token=5, lost=True))
    assert world.log[1] == "lease lost"


def test_an_image_that_has_a_record_under_another_digest_is_not_pulled() -> None:
    """An index and its manifest are one image: the documents tell, and no layer is asked for."""
    home = replace(KEY, digest="sha256:" + "e" * 64)
    world = World(home=home)
    assert world.take() == Elsewhere(home=home)
    assert world.log == ["outline"]


def test_a_full_scanner_is_left_alone_before_anybody_asks_a_registry() -> None:
    """Thousands of images may wait for room: each would cost a question every half minute."""
    now_s = [100.0]
    full = Full(lambda: now_s[0])
    world = World(faults={"scan": NoRoomError("no room", retry_after_s=30.0)})
    once = PullOnce(manifests=world, identities=world, layers=world, full=full)
    for wait_s in (30.0, 20.0):
        with pytest.raises(NoRoomError) as caught:
            once.inventory(world, Run(key=KEY, token=5), JOB)
        assert caught.value.wait_s == wait_s
        now_s[0] += 10.0
    assert world.log == ["outline", "lease", "configuration", "scan", "free"]
    full.check(manifest.packed_bytes(MANIFEST) - 1)  # a smaller image may find room
    now_s[0], world.faults = 130.0, {}
    assert isinstance(once.inventory(world, Run(key=KEY, token=5), JOB), InventoryResult)


def test_an_image_of_too_many_layers_is_refused_before_it_leases_them() -> None:
    """Four megabytes of manifest name forty thousand layers."""
    layers = [{"digest": LAYERS[0], "size": 7}] * 1_001
    body = json.dumps({"config": {"digest": CONTENTS[0]}, "layers": layers}).encode()
    with pytest.raises(TerminalError) as caught:
        manifest.layers_of(body)
    assert caught.value.reason == "ImageTooLarge"
