"""Leases of layers on the real Redis: each analysed once, by one run, and nobody waits for ever."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from common.model.errors import DamagedImageError
from common.model.key import ImageKey
from common.queue.contract import Add, After, Claim, Lane
from common.queue.workqueue import WorkQueue
from common.state.layers import MOST_LAYERS, Held, LayerTable, Leased
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.fixtures_queue import forget
from tests.queue_strategies import examples
from tests.queue_values import LEASE_S, image, landed

pytestmark = pytest.mark.integration

BASE, OWN, OTHER = (f"sha256:{digit * 64}" for digit in "abc")
CONTENT = f"sha256:{'d' * 64}"
WAIT = After(delay_s=3600.0, reason="LayersLeased")


@dataclass
class Layers:
    """The layer table and the queue beside it."""

    table: LayerTable
    queue: WorkQueue
    redis: Any
    names: Names

    def claim(self, key: ImageKey, worker: str = "w1") -> Claim:
        """Queue the image and claim it."""
        self.queue.add([Add(key=key)])
        (claim,) = self.queue.claim("scan", worker, limit=1, lease_s=LEASE_S)
        assert claim.key == key
        return claim

    def lease(self, claim: Claim, *digests: str, lost: bool = False) -> Leased | Held:
        """Lease for a claim."""
        assert isinstance(claim.key, ImageKey)
        return self.table.lease(claim.key, claim.token, digests, lost=lost)

    def end(self, claim: Claim, worker: str = "w1") -> None:
        """End a run that waits for another."""
        assert self.queue.complete(worker, [(claim, WAIT)]) == [True]

    def due(self) -> list[ImageKey]:
        """Return which images are queued now, and end their runs."""
        found: list[ImageKey] = []
        while claims := self.queue.claim("scan", "due", limit=64, lease_s=LEASE_S):
            self.queue.complete("due", [(claim, WAIT) for claim in claims])
            found += [claim.key for claim in claims if isinstance(claim.key, ImageKey)]
        return found  # a suspect of a crash comes alone


@pytest.fixture
def layers(redis_client: Redis, names: Names, queue: WorkQueue) -> Layers:
    return Layers(LayerTable(redis_client, names), queue, redis_client, names)


def waiting_pair(layers: Layers) -> tuple[Claim, ImageKey]:
    """Return the claim that holds a base, and an image that waits for it."""
    holder, waiter = layers.claim(image(1)), layers.claim(image(2))
    assert layers.lease(holder, BASE, OWN) == Leased(contents={})
    assert layers.lease(waiter, BASE, OTHER) == Held(by=str(image(1)))
    layers.end(waiter)
    return holder, image(2)


# --- one run for each layer


def test_who_finds_one_layer_taken_takes_none(layers: Layers) -> None:
    """Half a lease would make two runs wait for each other."""
    holder, waiter, third = (layers.claim(image(seed)) for seed in (1, 2, 3))
    layers.lease(holder, BASE)
    assert layers.lease(waiter, OTHER, BASE) == Held(by=str(image(1)))
    assert layers.lease(third, OTHER) == Leased(contents={})


def test_done_layers_are_free_for_all_and_tell_their_content(layers: Layers) -> None:
    """What was analysed once is in the match server for everybody."""
    holder, waiter = waiting_pair(layers)
    layers.table.done(image(1), holder.token, {BASE: CONTENT, OWN: ""})
    assert layers.due() == [waiter]
    for seed in (2, 3):
        claim = layers.claim(image(seed))
        assert layers.lease(claim, BASE, OWN) == Leased(contents={BASE: CONTENT})


def test_a_run_that_failed_leaves_its_layers_to_the_next(layers: Layers) -> None:
    """They are analysed by whoever needs them first."""
    holder, waiter = waiting_pair(layers)
    layers.table.free(image(1), holder.token, [BASE, OWN])
    assert layers.due() == [waiter]
    claim = layers.claim(waiter)
    assert layers.lease(claim, BASE, OTHER) == Leased(contents={})
    assert layers.lease(holder, BASE) == Held(by=str(waiter))


def test_options_keep_layers_apart(layers: Layers) -> None:
    """Trivy keeps a layer apart by what it looks for; one does not stand for the other."""
    first = layers.claim(image(1))
    other = ImageKey(digest=image(2).digest, platform="linux-amd64", options="o2")
    second = layers.claim(other)
    assert layers.lease(first, BASE) == Leased(contents={})
    assert layers.lease(second, BASE) == Leased(contents={})


def test_a_run_takes_its_own_leases_over(layers: Layers) -> None:
    """After a crash the same image comes back with another token; a reply may be lost."""
    claim = layers.claim(image(1))
    for _ in range(2):
        assert layers.lease(claim, BASE) == Leased(contents={})


def test_lost_layers_are_leased_though_they_were_done(layers: Layers) -> None:
    """The match server lost its volume: each layer is analysed again, and once."""
    first = layers.claim(image(1))
    layers.lease(first, BASE)
    layers.table.done(image(1), first.token, {BASE: CONTENT})
    second, third = layers.claim(image(2)), layers.claim(image(3))
    assert layers.lease(second, BASE, lost=True) == Leased(contents={BASE: CONTENT})
    assert layers.lease(third, BASE) == Held(by=str(image(2)))


# --- holders that end without a word


def test_a_killed_holder_holds_nothing_and_wakes_who_waits(
    layers: Layers, later: Callable[[float], None]
) -> None:
    """Its lease of claims ends, and with it those of layers; the waiter does not wait its hour."""
    _, waiter = waiting_pair(layers)
    later(LEASE_S + 1)
    assert layers.queue.reap(3) == 1
    assert set(layers.due()) == {image(1), waiter}
    claim = layers.claim(waiter, "w2")
    assert layers.lease(claim, BASE, OTHER) == Leased(contents={})


def test_a_claim_that_another_took_over_leases_nothing(
    layers: Layers, later: Callable[[float], None]
) -> None:
    """A worker that hung for minutes wakes up: its completion is refused, its pull must not run."""
    holder, _ = waiting_pair(layers)
    later(LEASE_S + 1)
    layers.queue.reap(3)
    assert layers.lease(holder, BASE) == Held(by=str(image(1)))
    again = layers.claim(image(1), "w2")
    assert layers.lease(again, BASE) == Leased(contents={})
    layers.table.free(image(1), holder.token, [BASE])  # the old run ends at last
    third = layers.claim(image(2), "w3")
    assert layers.lease(third, BASE) == Held(by=str(image(1)))


# --- bounds, and what others leave


def test_everything_expires(layers: Layers) -> None:
    """A worker that is gone for ever, and images that nobody uses any more."""
    holder, _ = waiting_pair(layers)
    layers.table.keep(image(1), [b"index", b"manifest"])
    ours = [key for kind in ("layer", "layer-waiters", "documents") for key in found(layers, kind)]
    assert len(ours) == 4
    assert all(layers.redis.ttl(key) > 0 for key in ours)
    layers.table.done(image(1), holder.token, {BASE: "", OWN: ""})
    assert found(layers, "layer-waiters") + found(layers, "documents") == []
    assert all(layers.redis.ttl(key) > 0 for key in found(layers, "layer"))


def found(layers: Layers, kind: str) -> list[bytes]:
    """Return the keys of a kind."""
    return list(layers.redis.scan_iter(layers.names.own(f"{kind}:*")))


def test_a_manifest_of_a_million_layers_is_refused(layers: Layers) -> None:
    """Redis answers nobody while a script runs."""
    claim = layers.claim(image(1))
    with pytest.raises(DamagedImageError):
        layers.lease(claim, *(f"sha256:{number:064x}" for number in range(MOST_LAYERS + 1)))


def test_documents_are_kept_until_the_image_is_analysed(layers: Layers) -> None:
    """A run that waited reads no manifest again; one that is damaged counts as none."""
    assert layers.table.documents(image(1)) == ()
    layers.table.keep(image(1), [b"index", b"manifest"])
    assert layers.table.documents(image(1)) == (b"index", b"manifest")
    for garbage in (b"", b"garbage"):
        layers.redis.set(layers.names.own(f"documents:{image(1)}"), garbage)
        assert layers.table.documents(image(1)) == ()
    layers.table.keep(image(1), [secrets.token_bytes(2_000_000)])
    assert layers.table.documents(image(1)) == ()


@pytest.mark.parametrize("garbage", ["", "done", "x y", f"7 {image(9)}", "9 image/x y"])
def test_what_others_wrote_stops_nobody(garbage: str, layers: Layers) -> None:
    """It counts as nothing."""
    layers.redis.set(layers.names.own(f"layer:{BASE}/o1"), garbage)
    layers.redis.hset(layers.names.own(f"layer:{OWN}/o1"), "a", "b")
    claim = layers.claim(image(1))
    assert layers.lease(claim, BASE, OWN) == Leased(contents={})


def test_waiters_that_others_wrote_stop_nobody(layers: Layers) -> None:
    """Neither of the wrong type nor of a strange name."""
    holder, waiter = layers.claim(image(1)), layers.claim(image(2))
    layers.lease(holder, BASE)
    layers.redis.set(layers.names.own(f"layer-waiters:{image(1)}"), "garbage")
    assert layers.lease(waiter, BASE) == Held(by=str(image(1)))
    layers.redis.sadd(layers.names.own(f"layer-waiters:{image(1)}"), "garbage", "image/a b")
    layers.end(waiter)
    layers.table.free(image(1), holder.token, [BASE])
    assert layers.due() == [image(2)]
    assert list(layers.redis.scan_iter(f"*{layers.names.cluster}__garbage*")) == []
    layers.redis.set(layers.names.own(f"layer-waiters:{image(1)}"), "garbage")
    layers.table.free(image(1), holder.token, [BASE])


# --- any order of events


@dataclass
class Image:
    """What the model knows of one image."""

    key: ImageKey
    needs: frozenset[str]
    worker: str = ""  # whose claim it has
    claim: Claim | None = None
    holds: frozenset[str] = frozenset()
    done: bool = False


@dataclass
class Model:
    """Which layers are analysed."""

    analysed: set[str] = field(default_factory=set)


LAYERS = tuple(f"sha256:{digit * 64}" for digit in "12345")
WORKERS = ("w1", "w2", "w3")


class LayerMachine(RuleBasedStateMachine):
    """Images with common layers, workers that claim, lease, finish, fail and die, in any order."""

    redis: Any

    def __init__(self) -> None:
        super().__init__()
        self.names = Names(f"l{secrets.token_hex(5)}")
        self.queue = WorkQueue(self.redis, self.names)
        self.table = LayerTable(self.redis, self.names)
        self.images: dict[ImageKey, Image] = {}
        self.model = Model()

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            forget(self.redis, self.names)

    @rule(needs=st.frozensets(st.sampled_from(LAYERS), min_size=1), bulk=st.booleans())
    def image(self, needs: frozenset[str], *, bulk: bool) -> None:
        key = image(len(self.images) + 1)
        self.images[key] = Image(key=key, needs=needs)
        self.queue.add([Add(key=key, lane=Lane.BULK if bulk else Lane.FRESH)])

    @rule(worker=st.sampled_from(WORKERS))
    def work(self, worker: str) -> None:
        """Claim, then lease; who must wait ends the run."""
        for claim in self.queue.claim("scan", worker, limit=1, lease_s=LEASE_S):
            assert isinstance(claim.key, ImageKey)
            one = self.images[claim.key]
            one.claim, one.worker = claim, worker
            taken = {layer for other in self.live() if other is not one for layer in other.holds}
            lease = self.table.lease(one.key, claim.token, sorted(one.needs))
            if isinstance(lease, Held):
                holder = next(other for key, other in self.images.items() if str(key) == lease.by)
                assert holder.holds & one.needs  # nobody waits for what nobody does
                self.end(one, WAIT)
            else:
                one.holds = one.needs - self.model.analysed
                assert not one.holds & taken

    @rule(data=st.data(), fails=st.booleans())
    def end_one(self, data: st.DataObject, *, fails: bool) -> None:
        live = self.live()
        if not live:
            return
        one = data.draw(st.sampled_from(live))
        assert one.claim is not None
        if fails:
            self.table.free(one.key, one.claim.token, sorted(one.needs))
            self.end(one, After(delay_s=0.0, reason="Failed"))
        else:
            self.succeed(one)

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        """Killed: its lease ends, and a reaper comes by."""
        for one in self.live():
            if one.worker == worker:
                one.claim, one.holds = None, frozenset()
        self.queue.reap(1_000, dead=worker)

    @invariant()
    def no_layer_is_held_twice(self) -> None:
        held = [layer for one in self.live() for layer in one.holds]
        assert len(held) == len(set(held))
        assert not set(held) & self.model.analysed

    def live(self) -> list[Image]:
        return [one for one in self.images.values() if one.claim is not None]

    def succeed(self, one: Image) -> None:
        assert one.claim is not None
        self.table.done(one.key, one.claim.token, dict.fromkeys(sorted(one.needs), ""))
        self.model.analysed |= one.needs
        one.done = True
        self.end(one, landed())

    def end(self, one: Image, outcome: Any) -> None:
        assert one.claim is not None
        assert self.queue.complete(one.worker, [(one.claim, outcome)]) == [True]
        one.claim, one.holds = None, frozenset()

    def finish(self) -> None:
        """Let the workers go on: every image ends, none by its delay, for that is an hour away."""
        for _ in range(4 * len(self.images) + 4):
            for one in self.live():
                self.succeed(one)
            self.work("w1")
        assert [one.key for one in self.images.values() if not one.done] == []


def test_no_layer_is_analysed_twice_at_once_and_nobody_waits_for_ever(valkey: Valkey) -> None:
    """The promise of the leases, whatever the order of ends, failures and deaths."""
    with Redis.from_url(valkey.socket_url) as client:
        LayerMachine.redis = client
        run_state_machine_as_test(
            LayerMachine,
            settings=settings(
                max_examples=examples(30),
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
