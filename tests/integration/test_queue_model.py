"""Random operations on the real queue and on the model: they must never disagree.

This is the queue's contract test: no key lost, none twice, no claim of two, whatever the order of
adds, claims, ends, crashes, lost replies, calls that are sent twice, an operator's commands, and
time. What others do behind the queue's back is in test_queue_foreign.py.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from common.model.facts import Fact
from common.model.key import WorkKey
from common.queue.contract import Add, Claim, Lane, Outcome
from common.queue.model import (
    Adds,
    Beat,
    Drop,
    End,
    Job,
    Leave,
    Op,
    Pause,
    Reap,
    Recover,
    Release,
    Requeue,
    Resume,
    State,
    Take,
    Tick,
)
from common.queue.step import step
from common.queue.workqueue import WorkQueue
from common.state.names import Names
from sandbox.valkey import Valkey
from tests.deployments import DEPLOYMENTS, Deployment
from tests.fixtures_queue import forget, pass_time
from tests.fixtures_redis import DeploymentOf
from tests.queue_seen import Seen
from tests.queue_strategies import (
    KEYS,
    LEASE_S,
    adds,
    examples,
    keys,
    lanes,
    often,
    outcomes,
    workers,
)

pytestmark = pytest.mark.integration

# The real claim, the model's, the worker. It stays when its end was told: it may be told again.
Held = tuple[Claim, Claim, str]


class QueueMachine(RuleBasedStateMachine):
    """Does everything twice and compares."""

    deployment: Deployment

    def __init__(self) -> None:
        super().__init__()
        self.redis = self.deployment.admin()
        self.client = self.deployment.client()
        self.names = Names(f"m{secrets.token_hex(5)}")
        self.queue = WorkQueue(self.client, self.names)
        self.state = State()
        self.held: list[Held] = []
        self.refused = 0  # ends that were no news
        self.facts = 0  # facts that came with ends

    def teardown(self) -> None:
        forget(self.redis, self.names)
        self.redis.close()
        self.client.close()

    def model(self, op: Op) -> Any:
        self.state, result = step(self.state, op)
        return result

    # --- adds, and calls that are sent once more because the reply did not come

    @rule(batch=st.lists(adds, min_size=1, max_size=4), again=st.booleans())
    def add(self, batch: list[Add], *, again: bool = False) -> None:
        for _ in range(1 + again):
            assert self.queue.add(batch) == self.model(Adds(adds=tuple(batch)))

    @rule(lane=lanes)
    def add_all(self, lane: Lane) -> None:
        self.add([Add(key=key, lane=lane, cause="sweep") for key in KEYS])

    @rule(worker=workers, again=st.booleans())
    def beat(self, worker: str, *, again: bool) -> None:
        for _ in range(1 + again):
            real = self.queue.heartbeat(worker, lease_s=LEASE_S)
            assert real == self.model(Beat(worker=worker, lease_s=LEASE_S))

    # --- claims

    @rule(worker=workers, limit=st.sampled_from([1, 2, 16]), lost=st.integers(0, 5))
    def claim(self, worker: str, limit: int, lost: int) -> None:
        self.take("reconcile", worker, limit=limit, lost=lost == 0)

    @rule(worker=workers)
    def claim_scan(self, worker: str) -> None:
        self.take("scan", worker, limit=1, lost=False)

    @rule(worker=workers, limit=st.sampled_from([1, 16]))
    def claim_rematch(self, worker: str, limit: int) -> None:
        self.take("rematch", worker, limit=limit, lost=False)

    @rule(worker=workers, limit=st.sampled_from([1, 16]))
    def claim_again(self, worker: str, limit: int) -> None:
        """Lose a reply as the loop does: give back what may be on record, and claim once more."""
        self.take("reconcile", worker, limit=limit, lost=True)
        assert self.queue.recover(worker, ()) == self.model(Recover(worker=worker, holding=()))
        self.take("reconcile", worker, limit=limit, lost=False)

    def take(self, pool: str, worker: str, *, limit: int, lost: bool) -> None:
        real = self.queue.claim(pool, worker, limit=limit, lease_s=LEASE_S)
        expected = self.model(Take(pool=pool, worker=worker, limit=limit, lease_s=LEASE_S))
        self.note_claims(worker, real, expected, lost=lost)

    def note_claims(
        self, worker: str, real: list[Claim], expected: list[Claim], *, lost: bool
    ) -> None:
        assert [_plain(claim) for claim in real] == [_plain(claim) for claim in expected]
        tokens = [claim.token for claim, _, _ in self.held]
        assert all(claim.token not in tokens for claim in real)
        if not lost:  # else: the reply never arrived
            self.held += zip(real, expected, [worker] * len(real), strict=True)

    @rule(worker=workers, again=st.booleans())
    def recover(self, worker: str, *, again: bool) -> None:
        mine = self.mine(worker)
        for _ in range(1 + again):
            real = self.queue.recover(worker, [entry[0] for entry in mine])
            assert real == self.model(Recover(worker=worker, holding=tuple(e[1] for e in mine)))

    # --- ends

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 63), outcome=outcomes, mark=st.booleans(), resent=often, kept=often)
    def end(self, at: int, outcome: Outcome, *, mark: bool, resent: bool, kept: bool) -> None:
        """End one claim, maybe one that another worker has taken over meanwhile."""
        ended = self.held[at % len(self.held)]
        worker = ended[2]
        others = [entry for entry in self.held if entry[2] == worker and entry != ended]
        following = others[0] if others and mark else None
        self.complete(worker, [ended], outcome, following=following)
        if not resent:
            self.complete(worker, [ended], outcome, following=following, resent=True)
        if kept:  # else: it is told once more later, which must be refused
            self.held.remove(ended)

    @precondition(lambda self: self.held)
    @rule(worker=workers, outcome=outcomes, resent=st.booleans())
    def end_all(self, worker: str, outcome: Outcome, *, resent: bool) -> None:
        mine = self.mine(worker)
        self.complete(worker, mine, outcome)
        if resent:
            self.complete(worker, mine, outcome, resent=True)
        self.drop_held(worker)

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 63), outcome=outcomes, limit=st.sampled_from([1, 16]), lost=often)
    def end_and_claim(self, at: int, outcome: Outcome, limit: int, *, lost: bool) -> None:
        """End one claim and take the next ones in one step, as the loop does after a batch."""
        ended = self.held[at % len(self.held)]
        worker = ended[2]
        valid, real = self.queue.complete_and_claim(
            worker,
            [(ended[0], outcome)],
            [Fact(kind="written", key="k")],
            pool="reconcile",
            limit=limit,
            lease_s=LEASE_S,
        )
        done = ((ended[1], outcome),)
        assert valid == self.model(End(worker=worker, done=done, running=None))
        self.facts += 1
        self.refused += valid.count(False)
        self.held.remove(ended)
        expected = []
        if all(valid):
            take = Take(pool="reconcile", worker=worker, limit=limit, lease_s=LEASE_S)
            expected = self.model(take)
        self.note_claims(worker, real, expected, lost=not lost)

    def complete(
        self,
        worker: str,
        ended: list[Held],
        outcome: Outcome,
        *,
        following: Held | None = None,
        resent: bool = False,
    ) -> None:
        real = self.queue.complete(
            worker,
            [(entry[0], outcome) for entry in ended],
            [Fact(kind="written", key="k")],
            running=following[0] if following else None,
            resent=resent,
        )
        done = tuple((entry[1], outcome) for entry in ended)
        running = following[1] if following else None
        assert real == self.model(End(worker=worker, done=done, running=running))
        self.facts += not resent
        self.refused += 0 if resent else real.count(False)

    @precondition(lambda self: self.held)
    @rule(worker=workers, again=st.booleans())
    def release(self, worker: str, *, again: bool) -> None:
        mine = self.mine(worker)
        for _ in range(1 + again):
            real = self.queue.release(worker, [entry[0] for entry in mine])
            assert real == self.model(Release(worker=worker, claims=tuple(e[1] for e in mine)))
            self.refused += real.count(False)
        self.drop_held(worker)

    # --- workers that end, and time

    @rule(worker=workers, again=st.booleans(), zombie=st.booleans())
    def leave(self, worker: str, *, again: bool, zombie: bool) -> None:
        """Let a loop end in order; a key that it still ran may be told as ended later."""
        for _ in range(1 + again):
            assert self.queue.leave(worker) == self.model(Leave(worker=worker))
        if not zombie:
            self.drop_held(worker)

    @rule(zombie=st.booleans(), again=st.booleans())
    def die(self, *, zombie: bool, again: bool) -> None:
        """Let every lease end; the claims of a zombie will still be told as ended."""
        self.tick(150.0)
        for _ in range(1 + again):
            assert self.queue.reap(2) == self.model(Reap(max_crashes=2))
        if not zombie:
            self.held.clear()

    @rule(worker=workers)
    def die_at_once(self, worker: str) -> None:
        """Somebody knows that the worker is gone, before its lease ends."""
        assert self.queue.reap(2, dead=worker) == self.model(Reap(max_crashes=2, dead=worker))

    @rule(seconds=st.sampled_from([30.0, 70.0, 2000.0]))
    def tick(self, seconds: float) -> None:
        self.model(Tick(seconds=seconds))
        pass_time(self.redis, self.names, seconds)

    # --- an operator

    @rule(key=keys)
    def requeue(self, key: WorkKey) -> None:
        assert self.queue.requeue(key) == self.model(Requeue(key=key))

    @rule(key=keys)
    def drop(self, key: WorkKey) -> None:
        assert self.queue.drop(key) == self.model(Drop(key=key))

    @rule(worker=workers, for_long=st.integers(0, 3))
    def pause(self, worker: str, for_long: int) -> None:
        self.model(Pause())
        self.queue.pause()
        self.take("reconcile", worker, limit=1, lost=False)
        if for_long:
            self.resume()

    @precondition(lambda self: self.state.paused)
    @rule()
    def resume(self) -> None:
        self.model(Resume())
        self.queue.resume()

    # --- what must hold

    @invariant()
    def everything_is_where_the_model_says(self) -> None:
        jobs, now = self.state.jobs, self.state.now
        seen = Seen(self.redis, self.names)
        assert seen.jobs == {key: _expected(jobs.get(key), now) for key in KEYS}
        for state, found in seen.registered().items():
            assert found == {key for key, job in jobs.items() if job.state == state}, state
        assert seen.running == self.state.running
        assert self.queue.members(KEYS) == [key in jobs for key in KEYS]
        assert self.queue.paused() == self.state.paused
        # A call that was sent twice adds neither its facts nor a refusal the second time.
        assert seen.counts.get("refused", 0) == self.refused
        assert seen.counts.get("written", 0) == self.facts

    def mine(self, worker: str) -> list[Held]:
        return [entry for entry in self.held if entry[2] == worker]

    def drop_held(self, worker: str) -> None:
        self.held = [entry for entry in self.held if entry[2] != worker]


def _plain(claim: Claim) -> tuple[Claim, int]:
    """Return what both sides must agree on; tokens only have to grow."""
    return replace(claim, token=0, first_failed_ago_s=0.0), round(claim.first_failed_ago_s / 10)


def _expected(job: Job | None, now: float) -> tuple[Any, ...] | None:
    if job is None:
        return None
    due = round((job.due - now) / 10) if job.state in ("delayed", "parked") else 0
    return (
        job.state,
        job.lane,
        sum(failures for failures, _ in job.tallies.values()),
        job.crashes,
        job.suspect,
        job.worker,
        job.dirty,
        due,
    )


def check_model(deployment: Deployment, *, max_examples: int) -> None:
    """Run the machine; raises AssertionError at the first disagreement, minimised."""
    QueueMachine.deployment = deployment
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_scripts_do_what_the_model_says(valkey: Valkey) -> None:
    """The state table of the queue, checked by sequences that nobody would write down."""
    url = valkey.socket_url
    shared = Deployment(name="shared", url=url, admin=lambda: Redis.from_url(url))
    check_model(shared, max_examples=examples(60))


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_scripts_do_it_on_every_server_and_in_every_deployment(
    name: str, deployment_of: DeploymentOf
) -> None:
    """Two servers run two Lua machines; a user of least rights meets every branch."""
    check_model(deployment_of(name), max_examples=6)
