"""Matches of known images: read and asked in slices, each with an end of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from common.model.errors import (
    DatabaseNotReadyError,
    LayerCacheMissingError,
    SluiceError,
    SourceUnavailableError,
    TransientError,
)
from common.model.image import Layers, Match
from common.model.key import ImageKey, MatchKey, match_key
from common.queue.contract import Claim, Handed, Hold, Outcome, Retry, Settled, Waiting
from common.state.images import Stock
from tests.queue_values import image, judged, match, workload
from worker.subject.image.rematch import RematchReconciler

NONE = Stock(layers=None, inventory_hash="", findings_hash="", used=True)


def claims(number: int) -> list[Claim]:
    return [Claim(key=match_key(image(seed)), token=100 + seed) for seed in range(1, number + 1)]


def stock(key: ImageKey) -> Stock:
    layers = Layers(artifact_id=key.digest, blob_ids=("sha256:b",), target="web")
    return Stock(layers=layers, inventory_hash="i1", findings_hash="f1", used=True)


@dataclass
class FakeStocks:
    """The image table: what is not said otherwise has an inventory."""

    changes: dict[ImageKey, Stock] = field(default_factory=dict)
    reads: list[int] = field(default_factory=list)

    def stocks(self, keys: Sequence[ImageKey]) -> list[Stock]:
        self.reads.append(len(keys))
        return [self.changes.get(key) or stock(key) for key in keys]


@dataclass
class FakeMatcher:
    """Finds one vulnerability in each image, unless it is told what is wrong."""

    faults: dict[str, SluiceError] = field(default_factory=dict)
    away: SluiceError | None = None
    asked: list[int] = field(default_factory=list)

    def match_many(self, images: Sequence[Layers]) -> list[Match | SluiceError]:
        self.asked.append(len(images))
        if self.away is not None:
            raise self.away
        return [
            self.faults.get(one.artifact_id) or match(one.artifact_id[-4:], version="db2")
            for one in images
        ]


@dataclass
class World:
    """A rematch worker with all its ports faked."""

    records: FakeStocks = field(default_factory=FakeStocks)
    matcher: FakeMatcher = field(default_factory=FakeMatcher)

    def reconciler(
        self, decide: Callable[[SluiceError, Claim], Retry | Hold] | None = None
    ) -> RematchReconciler:
        return RematchReconciler(
            records=self.records, matcher=self.matcher, decide=decide or judged, epoch=lambda: 1
        )

    def one(self, *, change: Stock | None = None, fault: SluiceError | None = None) -> Outcome:
        (claim,) = claims(1)
        assert isinstance(claim.key, MatchKey)
        if change is not None:
            self.records.changes[claim.key.image] = change
        if fault is not None:
            self.matcher.faults[claim.key.digest] = fault
        return self.reconciler()(claim).outcome


@pytest.fixture
def world() -> World:
    return World()


def test_a_match_says_which_inventory_it_is_about(world: World) -> None:
    """The image's own run may store another one meanwhile."""
    outcome = world.one()
    assert isinstance(outcome, Settled)
    assert outcome.image is not None
    assert (outcome.image.of, outcome.image.inventory) == ("i1", None)
    assert outcome.image.match == match("0001", version="db2")


def test_the_fact_is_the_images(world: World) -> None:
    """`sluice history IMAGE` tells each match, and the demo's proof counts them."""
    (claim,) = claims(1)
    (fact,) = world.reconciler()(claim).facts
    assert (fact.kind, fact.key) == ("matched", str(image(1)))
    assert fact.data == {"db_version": "db2", "findings": 1, "changed": True}


def test_what_was_claimed_together_is_asked_together(world: World) -> None:
    """Two looks at the server's version for each image would cost more than the match."""
    run = world.reconciler()
    batch = claims(64)
    run.ahead(batch)
    ended = [run(claim).outcome for claim in batch]
    assert all(isinstance(outcome, Settled) for outcome in ended)
    found = [
        outcome.image.match for outcome in ended if isinstance(outcome, Settled) and outcome.image
    ]
    assert found == [match(f"{seed:04x}", version="db2") for seed in range(1, 65)]
    assert sum(world.matcher.asked) == sum(world.records.reads) == 64
    assert len(world.matcher.asked) < 10


def test_a_slice_lasts_a_moment_only(world: World) -> None:
    """What a loop has asked and not ended is lost when it is taken from it."""
    run = world.reconciler()
    run._slices.mean_s = 1.0  # what a second of work an image would have left
    batch = claims(64)
    run.ahead(batch)
    run(batch[0])
    assert world.matcher.asked == [4]


def test_claims_that_never_come_are_forgotten(world: World) -> None:
    """They were given back: somebody else ends them, under another token."""
    run = world.reconciler()
    batch = claims(8)
    run.ahead(batch)
    run(batch[0])
    run.ahead(claims(2))
    again = claims(2)[1]
    run(again)
    assert world.records.reads[-1] == 1  # not the answer of before


def test_a_claim_that_nobody_announced_is_run_all_the_same(world: World) -> None:
    """Being told is an advantage, not a condition."""
    run = world.reconciler()
    run.ahead(claims(3))
    assert isinstance(run(Claim(key=match_key(image(9)), token=900)).outcome, Settled)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (NONE, "Rest:NoInventory"),
        (
            Stock(layers=stock(image(1)).layers, inventory_hash="i", findings_hash="", used=False),
            "Rest:Unused",
        ),
    ],
)
def test_nothing_is_asked_where_there_is_nothing_to_match(
    world: World, change: Stock, why: str
) -> None:
    """The image's own run does both halves, and an unused image expires."""
    outcome = world.one(change=change)
    assert isinstance(outcome, Settled)
    assert (outcome.outcome, outcome.image) == (why, None)
    assert world.matcher.asked == []


def test_lost_layers_are_the_images_own_business(world: World) -> None:
    """Only its key may pull."""
    outcome = world.one(fault=LayerCacheMissingError("gone"))
    assert outcome == Handed(to=image(1), reason="LayerCacheMissing")


def test_one_image_that_cannot_be_matched_holds_up_no_other(world: World) -> None:
    """Its neighbours in the batch have ends of their own."""
    world.matcher.faults[image(2).digest] = TransientError("odd", reason="MatchFailed")
    run = world.reconciler()
    batch = claims(4)
    run.ahead(batch)
    ended = [type(run(claim).outcome) for claim in batch]
    assert ended == [Settled, Retry, Settled, Settled]


def test_a_server_that_is_away_is_asked_by_each_key(world: World) -> None:
    """Its circuit counts keys: one that stood for a batch would open it sixty times too late."""
    world.matcher.away = SourceUnavailableError("no answer", reason="MatchServerUnavailable")
    run = world.reconciler()
    batch = claims(4)
    run.ahead(batch)
    assert {type(run(claim).outcome) for claim in batch} == {Retry}
    assert world.matcher.asked == [4, 3, 2, 1]
    world.matcher.away = None
    run.ahead(batch)
    assert isinstance(run(batch[0]).outcome, Settled)


def test_without_any_database_a_match_waits_for_the_first(world: World) -> None:
    """Nothing is wrong with the image; publishing a database queues it."""
    world.matcher.away = DatabaseNotReadyError("none")
    assert world.one() == Waiting(on="cluster/database")


def test_other_keys_are_refused(world: World) -> None:
    """A key in the wrong pool is a defect, and says so."""
    with pytest.raises(TypeError, match="not a match key"):
        world.reconciler()(Claim(key=workload(), token=1))
