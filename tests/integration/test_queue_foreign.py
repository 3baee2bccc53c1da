"""Random operations with rq's tools and people's hands between them: the laws must hold.

Equality with the model cannot hold when somebody changes lists behind our back. What must hold:
1. A key whose claim is valid is claimed by nobody else.
2. Nothing is lost: after one sweep and a drain, every key with an unseen change has run.
3. A change during a run leads to exactly one more run of a key that nobody touched.
4. After a drain nothing is left: no hash, no entry, no member, no claim.
5. No script raises on anything that stands in Redis; a key of a wrong type is named with its
   remedy.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from common.model.errors import SluiceError
from common.model.key import WorkKey, pool_of
from common.queue.contract import Add, After, Claim, Handed, Lane, Outcome, Settled, Waiting
from common.queue.workqueue import WorkQueue
from common.state.names import POOLS, RQ, Names
from sandbox.valkey import Valkey
from tests.fixtures_queue import forget, pass_time
from tests.queue_strategies import (
    IMAGE,
    KEYS,
    LEASE_S,
    PODS,
    WORKERS,
    examples,
    lanes,
    often,
    outcomes,
    settled,
    workers,
)
from tests.queue_values import failed, parked
from tests.rq_tools import RqTools
from tests.strikes import (
    PLACES,
    RenameJob,
    Strike,
    Tool,
    break_type,
    every,
    gentle,
    rough,
)

pytestmark = pytest.mark.integration

keys = st.sampled_from((*[PODS[0]] * 4, PODS[1], IMAGE))  # one hot key: strikes pile up on it
retried = replace(failed(delay_s=50.0), image=None)
waits = st.sampled_from([parked(), parked(), retried, After(delay_s=50.0, reason="x")])
numbers = st.integers(0, 15)
STATES = ("queued", "running", "delayed", "parked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A claim that was handed out, and how many wishes there were then."""

    claim: Claim
    worker: str
    wishes: int


class ForeignMachine(RuleBasedStateMachine):
    """Loops that work while others meddle."""

    server: Valkey

    def __init__(self) -> None:
        super().__init__()
        self.redis: Any = Redis.from_url(self.server.socket_url)
        self.names = Names(f"f{secrets.token_hex(5)}")
        self.queue = WorkQueue(self.redis, self.names)
        self.given: list[Given] = []
        self.held: list[Given] = []
        self.wishes = 0
        self.unseen: dict[WorkKey, int] = {}  # the number of the last wish that no run has seen
        self.touched: set[WorkKey] = set()
        self.nonsense = False  # rq's own code does not bear it

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.drain()
        finally:
            self.redis.delete(f"{RQ}:suspended")
            forget(self.redis, self.names)
            self.redis.close()

    # --- our own loops

    @rule(key=keys, lane=lanes, delay_s=st.sampled_from([0.0, 0.0, 0.0, 50.0]))
    def add(self, key: WorkKey, lane: Lane = Lane.FRESH, delay_s: float = 0.0) -> None:
        self.wish(key)
        self.queue.add([Add(key=key, lane=lane, delay_s=delay_s, cause="x")])

    def wish(self, *keys: WorkKey) -> None:
        self.wishes += 1
        self.unseen |= dict.fromkeys(keys, self.wishes)

    @rule(key=keys, worker=workers, limit=st.sampled_from([1, 16]), heard=often)
    def claim(self, key: WorkKey, worker: str, limit: int, *, heard: bool) -> None:
        found = self.take(pool_of(key), worker, limit)
        if heard:
            self.held += found

    def take(self, pool: str, worker: str, limit: int = 16) -> list[Given]:
        """Claim, and see that nobody else held what was handed out."""
        if self.queue.paused():
            assert not self.queue.claim(pool, worker, limit=1, lease_s=LEASE_S)
            self.queue.resume()
        valid = self.tokens()
        claims = self.queue.claim(pool, worker, limit=limit, lease_s=LEASE_S)
        given = {str(one.claim.token): one.claim.key for one in self.given}
        for claim in claims:
            assert given.get(valid.get(claim.key, "")) != claim.key, "a valid claim was taken over"
            assert str(claim.token) not in given, "a token was used twice"
            assert pool_of(claim.key) == pool, "a key of the other pool"
        assert len({claim.key for claim in claims}) == len(claims)
        found = [Given(claim=claim, worker=worker, wishes=self.wishes) for claim in claims]
        self.given += found
        return found

    def tokens(self) -> dict[WorkKey, str]:
        with self.redis.pipeline(transaction=False) as pipe:
            for key in KEYS:
                pipe.hget(self.names.job(key), "s_token")
            found = pipe.execute(raise_on_error=False)
        return {
            key: token.decode()
            for key, token in zip(KEYS, found, strict=True)
            if isinstance(token, bytes)
        }

    @precondition(lambda self: self.held)
    @rule(at=numbers, outcome=outcomes, kept=often, resent=often)
    def end(self, at: int, outcome: Outcome, *, kept: bool, resent: bool) -> None:
        one = self.held[at % len(self.held)]
        self.complete([one], outcome)
        if not resent:
            self.queue.complete(one.worker, [(one.claim, outcome)], resent=True)
        if kept:
            self.held.remove(one)

    def complete(self, ended: list[Given], outcome: Outcome) -> None:
        worker = ended[0].worker if ended else WORKERS[0]
        if isinstance(outcome, Handed):
            self.wish(outcome.to)
        valid = self.queue.complete(worker, [(one.claim, outcome) for one in ended])
        for one, counted in zip(ended, valid, strict=True):
            self.saw(one, outcome, counted=counted)

    def saw(self, one: Given, outcome: Outcome, *, counted: bool) -> None:
        """Note what a run has seen: every change that came before its claim."""
        final = isinstance(outcome, Settled | Waiting | Handed)
        if counted and final and self.unseen.get(one.claim.key, 0) <= one.wishes:
            self.unseen.pop(one.claim.key, None)

    @rule(worker=workers, what=st.sampled_from(["release", "recover", "beat", "leave"]))
    def tend(self, worker: str, what: str) -> None:
        """Do what loops do besides: give back, renew, end in order."""
        mine = [one.claim for one in self.held if one.worker == worker]
        match what:
            case "release":
                self.queue.release(worker, mine)
            case "recover":
                self.queue.recover(worker, mine)
            case "beat":
                self.queue.beat(worker, lease_s=LEASE_S)
            case _:
                self.queue.leave(worker)

    @rule(zombie=st.booleans())
    def die(self, *, zombie: bool) -> None:
        self.pass_time(150.0)
        self.queue.reap(2)
        if not zombie:
            self.held.clear()

    @rule(seconds=st.sampled_from([30.0, 70.0, 2000.0]))
    def pass_time(self, seconds: float) -> None:
        pass_time(self.redis, self.names, seconds)

    @rule(key=keys, what=st.sampled_from(["requeue", "drop", "look"]))
    def operate(self, key: WorkKey, what: str) -> None:
        """Do what `sluice queue` and `sluice status` do."""
        if what == "requeue":
            self.wish(key)
            self.queue.requeue(key)
        elif what == "drop":
            if self.queue.drop(key):
                self.unseen.pop(key, None)
        else:
            for state in STATES:
                self.queue.ls(state)
            self.queue.depth()
            self.queue.totals()
            self.queue.members(KEYS)

    def run(self, outcome: Outcome | None) -> None:
        """Let a worker run the hot key; with an outcome, to the end."""
        self.add(PODS[0])
        given = self.take("reconcile", WORKERS[0])
        if outcome is None:
            self.held += given
        else:
            self.complete(given, outcome)

    # --- other hands

    @rule(strike=gentle, key=keys)
    def strike(self, strike: Strike, key: WorkKey) -> None:
        self.suffer(strike, key)

    @rule(strike=gentle, key=keys, lane=lanes)
    def strike_while_it_is_queued(self, strike: Strike, key: WorkKey, lane: Lane) -> None:
        """Add the key, let others strike, and a worker claim what it gets."""
        self.add(key, lane)
        self.suffer(strike, key)
        self.held += self.take(pool_of(key), WORKERS[0])

    @rule(strike=gentle, key=keys, lane=lanes)
    def strike_while_it_runs(self, strike: Strike, key: WorkKey, lane: Lane) -> None:
        """Let one worker claim the key, others strike, and another worker claim what it gets."""
        self.add(key, lane)
        self.held += self.take(pool_of(key), WORKERS[0])
        self.suffer(strike, key)
        self.held += self.take(pool_of(key), WORKERS[1])

    @rule(strike=gentle, key=keys, outcome=waits)
    def strike_while_it_waits(self, strike: Strike, key: WorkKey, outcome: Outcome) -> None:
        """Let a run of the key end somehow, others strike, and the next worker claim."""
        self.add(key)
        self.complete(self.take(pool_of(key), WORKERS[0]), outcome)
        self.suffer(strike, key)
        self.pass_time(70.0)
        self.held += self.take(pool_of(key), WORKERS[1])

    def suffer(self, strike: Strike, key: WorkKey) -> None:
        """Apply it, and note whom it may have touched and what it asked for."""
        touches = strike.touches if isinstance(strike, Tool) else "all"
        self.touched |= {"none": set(), "one": {key}, "all": set(KEYS)}[touches]
        self.nonsense = self.nonsense or not isinstance(strike, Tool)
        if isinstance(strike, Tool) and strike.act is RqTools.enqueue:
            self.wish(key)
        if isinstance(strike, RenameJob):  # else that hash stays until somebody wants its key
            self.unseen.setdefault(strike.to, self.wishes)
        # rq itself does not bear nonsense in a hash.
        with contextlib.suppress(*((ValueError,) if self.nonsense else ())):
            strike.apply(self.redis, self.names, key)

    # --- the end

    def drain(self) -> None:
        """Let every worker die, sweep once, and work until nothing comes any more."""
        self.queue.resume()
        self.pass_time(150.0)
        self.queue.reap(3)
        self.sweep()
        ran: Counter[WorkKey] = Counter()
        for _ in range(2):  # the second time nothing may come any more
            self.pass_time(3000.0)
            self.queue.reap(3)
            while found := [one for pool in POOLS for one in self.take(pool, "d", 16)]:
                ran.update(one.claim.key for one in found)
                done = [(one.claim, settled) for one in found]
                assert self.queue.complete("d", done) == [True] * len(done)
        lost = self.unseen.keys() - ran.keys()
        assert not lost, lost
        for key in set(KEYS) - self.touched:
            assert ran[key] == (key in self.unseen), (key, ran[key])
        self.queue.leave("d")
        left = self.left()
        for _ in range(60):  # a look through every registry
            if not left:
                break
            self.queue.reap(3)
            left = self.left()
        assert not left, left

    def sweep(self) -> None:
        """Add what has an unseen change and is no member."""
        wanted = sorted(self.unseen, key=str)
        members = self.queue.members(wanted)
        missing = [key for key, member in zip(wanted, members, strict=True) if not member]
        self.queue.add([Add(key=key, lane=Lane.BULK, cause="sweep") for key in missing])

    def left(self) -> list[str]:
        """Return what stands in Redis although nothing is to be done."""
        kept = ("settled", f"image:{IMAGE}")  # what the runs settled
        wakes = [f"wake:{pool}" for pool in POOLS]
        single = ("heads", "token", "counts", "ledger", *wakes, *kept)
        expected = {self.names.own(name) for name in single}
        return sorted(
            name
            for name in map(bytes.decode, self.redis.scan_iter(f"*{self.names.cluster}*"))
            if name not in expected and not self.theirs(name)
        )

    def theirs(self, name: str) -> bool:
        """Say whether it expires, or is of somebody else's job in our queue."""
        if ":other-" in name:
            return True
        if any(part in name for part in (":results:", ":execution", ":first_seen:", ":claims:")):
            return bool(self.redis.ttl(name) > 0)
        kind = self.redis.type(name)
        members = self.redis.zrange(name, 0, -1) if kind == b"zset" else []
        members += self.redis.lrange(name, 0, -1) if kind == b"list" else []
        return bool(members) and all(member.startswith(b"other-") for member in members)


class RoughMachine(ForeignMachine):
    """The same among people who do not know what they do: nobody is untouched."""

    @rule(strike=rough, key=keys)
    def strike(self, strike: Strike, key: WorkKey) -> None:
        self.suffer(strike, key)

    @rule(strike=rough, key=keys, lane=lanes)
    def strike_while_it_is_queued(self, strike: Strike, key: WorkKey, lane: Lane) -> None:
        super().strike_while_it_is_queued(strike, key, lane)

    @rule(strike=rough, key=keys, lane=lanes)
    def strike_while_it_runs(self, strike: Strike, key: WorkKey, lane: Lane) -> None:
        super().strike_while_it_runs(strike, key, lane)

    @rule(strike=rough, key=keys, outcome=waits)
    def strike_while_it_waits(self, strike: Strike, key: WorkKey, outcome: Outcome) -> None:
        super().strike_while_it_waits(strike, key, outcome)

    @rule(place=st.sampled_from(PLACES), key=keys)
    def break_a_type(self, place: str, key: WorkKey) -> None:
        """Put another type under a name: an error that names it and the remedy, never a loop."""
        self.touched |= set(KEYS)
        self.wish(*KEYS)
        name = break_type(self.redis, self.names, key, place)
        for call in self.calls():
            try:
                call()
            except SluiceError as error:
                assert f"Redis: {name} holds" in str(error), str(error)  # noqa: PT017 # may pass
                assert f"(DEL {name})" in str(error), str(error)  # noqa: PT017 # may pass
                assert place != "job", str(error)  # noqa: PT017 # scripts delete it themselves
        self.held.clear()
        self.redis.delete(name)

    def calls(self) -> list[Callable[[], object]]:
        queue, worker = self.queue, WORKERS[0]
        held = [(one.claim, settled) for one in self.held if one.worker == worker]
        return [
            lambda: queue.members(KEYS),
            lambda: queue.add([Add(key=key) for key in KEYS]),
            lambda: queue.claim("reconcile", worker, limit=2, lease_s=LEASE_S),
            lambda: queue.claim("scan", worker, limit=1, lease_s=LEASE_S),
            lambda: queue.claim("rematch", worker, limit=2, lease_s=LEASE_S),
            lambda: queue.beat(worker, lease_s=LEASE_S),
            lambda: queue.complete(worker, held),
            lambda: queue.recover(worker, []),
            lambda: queue.reap(2),
            lambda: queue.drop(KEYS[0]),
            queue.depth,
            queue.totals,
            lambda: queue.wait("reconcile", 0.001),
            lambda: queue.wait("scan", 0.001),
            lambda: queue.wait("rematch", 0.001),
        ]


def check_model(
    valkey: Valkey, *, max_examples: int, machine: type[ForeignMachine] = ForeignMachine
) -> None:
    """Run a machine; raises AssertionError at the first law that breaks, minimised."""
    machine.server = valkey
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_laws_hold_whatever_rqs_tools_do(valkey: Valkey) -> None:
    """Kill criterion: no command of rq's may lose or double a key."""
    check_model(valkey, max_examples=examples(25))


def test_the_laws_hold_whatever_people_do(valkey: Valkey) -> None:
    """Deleted, renamed or scribbled over: one sweep brings back what is wanted."""
    check_model(valkey, max_examples=examples(40), machine=RoughMachine)


def arrange(machine: ForeignMachine, state: str) -> None:
    """Bring the hot key into a state of docs/queue.md."""
    match state:
        case "queued" | "paused":
            machine.add(PODS[0])
        case "queued in bulk" | "promoted":
            machine.add(PODS[0], Lane.BULK)
        case "running" | "running and dirty" | "suspect":
            machine.run(None)
        case "delayed":
            machine.run(retried)
        case "parked":
            machine.run(parked())
        case _:
            assert state == "absent"
    if state in ("promoted", "running and dirty"):
        machine.add(PODS[0])
    elif state == "suspect":
        machine.die(zombie=True)
    elif state == "paused":
        machine.queue.pause()


ARRANGED = (
    "absent",
    "queued",
    "queued in bulk",
    "promoted",
    "running",
    "running and dirty",
    "delayed",
    "parked",
    "suspect",
    "paused",
)


def check_strikes(valkey: Valkey, state: str, *, stride: int) -> None:
    """Let others strike a key in one state: each strike, or each one of `stride`."""
    ForeignMachine.server = valkey
    at = ARRANGED.index(state) % stride
    for strike in islice(every(), at, None, stride):
        machine = ForeignMachine()
        try:
            arrange(machine, state)
            machine.suffer(strike, PODS[0])
            machine.operate(PODS[0], "look")
            machine.held += machine.take("reconcile", WORKERS[1])
            machine.complete(machine.held[:1], retried)
        except BaseException as exc:
            exc.add_note(f"{state}: {strike}")
            raise
        finally:
            machine.teardown()


@pytest.mark.parametrize("state", ARRANGED)
def test_every_strike_in_every_state_costs_time_and_no_key(valkey: Valkey, state: str) -> None:
    """The state table, row by row: what the next worker gets, and what one sweep brings back.

    By default each strike in one state of ten; `--hypothesis-profile=thorough` takes them all.
    """
    few = examples(0) == 0
    check_strikes(valkey, state, stride=len(ARRANGED) if few else 1)
