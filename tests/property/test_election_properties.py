"""Many candidates, one Lease, wrong clocks, slow and lost requests: never two leaders at a time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from common.model.lease import LeaseRecord
from watcher.ballot import (
    Beaten,
    Done,
    Due,
    Failed,
    Found,
    Look,
    Missing,
    Moment,
    Pace,
    Resigned,
    Rest,
    Signal,
    State,
    Stopped,
    Stored,
    Write,
)
from watcher.election import advance

PACE = Pace()
_STEP_S = 0.25

# How late a request arrives, how late its answer does, and whether the answer is lost.
Network = Callable[[], tuple[float, float, bool]]


def calm() -> tuple[float, float, bool]:
    """Deliver everything at once."""
    return 0.0, 0.0, False


def bad(dice: random.Random) -> Network:
    """Return a network that is slow and loses answers, more or less so."""
    share = dice.choice([0.02, 0.1, 0.5])

    def late_s() -> float:
        return dice.choice([1.0, 6.0, 20.0]) if dice.random() < share else 0.0

    return lambda: (late_s(), late_s(), dice.random() < share)


@dataclass
class Server:
    """The API server's one Lease; writes are judged by version, in the order of their arrival."""

    record: LeaseRecord | None = None
    version: int = 0

    def write(self, record: LeaseRecord, at_s: float) -> LeaseRecord | None:
        """Store it; None: refused."""
        current = self.record.version if self.record else ""
        if record.version != current:
            return None
        self.version += 1
        self.record = replace(record, version=str(self.version), renewed_at=f"{at_s:.3f}")
        return self.record


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request that has not reached the server."""

    action: Look | Write
    sent_at_s: float  # by the sender's clock
    arrives_at_s: float
    back_s: float
    is_answer_lost: bool


@dataclass
class One:
    """A candidate: its clock runs `speed` times as fast as the world's and began anywhere."""

    state: State
    speed: float
    began_s: float
    wakes_at_s: float = 0.0
    sent: Sent | None = None
    answer: tuple[Signal, float] | None = None  # with when it arrives
    signal: Signal = field(default_factory=Due)
    redis_at_s: float = float("inf")
    frozen_until_s: float = 0.0
    ended: bool = False

    def now_s(self, world_s: float) -> float:
        return self.began_s + world_s * self.speed

    def leads(self, world_s: float) -> bool:
        return self.state.leads(self.now_s(world_s))


class World:
    """Runs the candidates against each other, a quarter of a second at a time."""

    def __init__(self, clocks: list[tuple[float, float]], network: Network) -> None:
        self.network = network
        self.server = Server()
        self.now_s = 0.0
        self.ones = [
            One(state=State(me=f"c{number}", pace=PACE), speed=speed, began_s=began_s)
            for number, (speed, began_s) in enumerate(clocks)
        ]

    def leaders(self) -> list[str]:
        return [one.state.me for one in self.ones if one.leads(self.now_s)]

    def run(self, seconds: float) -> None:
        ends_s = self.now_s + seconds
        while self.now_s < ends_s:
            for one in self.ones:
                self._turn(one)
                assert len(self.leaders()) <= 1
            self.now_s += _STEP_S
            assert len(self.leaders()) <= 1

    def _turn(self, one: One) -> None:
        if one.sent is not None:
            self._arrive(one, one.sent)
        if one.ended or self.now_s < one.frozen_until_s:
            return
        if one.answer is not None:
            signal, comes_at_s = one.answer
            if self.now_s >= comes_at_s:
                one.answer = None
                self._advance(one, signal)
        elif one.sent is None and self.now_s >= one.wakes_at_s:
            self._advance(one, one.signal)

    def _advance(self, one: One, signal: Signal) -> None:
        now_s = one.now_s(self.now_s)
        at = Moment(now_s=now_s, draw=0.5, redis_age_s=now_s - one.redis_at_s)
        one.state, action = advance(one.state, signal, at)
        one.signal = Due()
        match action:
            case Done():
                one.ended = True
            case Rest(seconds=seconds):
                one.wakes_at_s = self.now_s + seconds / one.speed
            case Look() | Write():
                there_s, back_s, lost = self.network()
                one.sent = Sent(
                    action=action,
                    sent_at_s=now_s,
                    arrives_at_s=self.now_s + there_s,
                    back_s=back_s,
                    is_answer_lost=lost,
                )

    def _arrive(self, one: One, sent: Sent) -> None:
        """Let a request reach the server, late perhaps, although its sender is frozen."""
        if self.now_s < sent.arrives_at_s:
            return
        one.sent = None
        answer: Signal
        if isinstance(sent.action, Look):
            record = self.server.record
            answer = Missing() if record is None else Found(record=record)
        else:
            stored = self.server.write(sent.action.record, self.now_s)
            answer = Beaten() if stored is None else Stored(record=stored, sent_at_s=sent.sent_at_s)
        answer = Failed() if sent.is_answer_lost else answer
        one.answer = (answer, self.now_s + sent.back_s)


_CLOCKS = st.lists(
    st.tuples(st.sampled_from([0.85, 1.0, 1.15]), st.sampled_from([-1e6, 0.0, 5e4])),
    min_size=2,
    max_size=3,
)


_DICE = st.randoms(use_true_random=True)


@settings(max_examples=150, deadline=None)
@given(clocks=_CLOCKS, dice=_DICE)
def test_two_never_lead_at_a_time(clocks: list[tuple[float, float]], dice: random.Random) -> None:
    """Trap 24. Stopped, cut off, refused, ended, their clocks days apart and 30 % faster."""
    world = World(clocks, bad(dice))
    for _ in range(20):
        one = next((one for one in world.ones if one.leads(world.now_s)), dice.choice(world.ones))
        match dice.choice(["freeze", "freeze", "stop", "resign", "no redis", "redis", "rest"]):
            case "freeze":
                one.frozen_until_s = world.now_s + dice.choice([3.0, 16.0, 40.0])
            case "stop" if sum(not each.ended for each in world.ones) > 1:
                one.signal, one.wakes_at_s = Stopped(), world.now_s
            case "resign":
                one.signal, one.wakes_at_s = Resigned(), world.now_s
            case "no redis":
                one.redis_at_s = float("-inf")
            case "redis":
                one.redis_at_s = float("inf")
            case _:
                pass
        world.run(dice.choice([1.0, 5.0, 20.0]))
        for each in world.ones:
            if each.ended:  # its process is started again
                each.state, each.ended = State(me=f"{each.state.me}'", pace=PACE), False


@settings(max_examples=30, deadline=None)
@given(clocks=_CLOCKS, dice=_DICE)
def test_somebody_leads_soon_after_all_is_well(
    clocks: list[tuple[float, float]], dice: random.Random
) -> None:
    """However it went before: one late request, a lease and two looks later."""
    world = World(clocks, bad(dice))
    world.run(dice.choice([0.0, 10.0, 30.0]))
    frozen = dice.choice(world.ones)
    frozen.frozen_until_s = world.now_s + 200.0
    world.network = calm
    world.run(40 + (PACE.lease_s + 2 * 3.2) / 0.85)
    assert world.leaders() not in ([], [frozen.state.me])
