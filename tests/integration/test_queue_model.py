"""Random operations on the real queue and on the model: they must never disagree.

This is the queue's contract test: no key lost, none twice, no claim of two, whatever the order of
adds, claims, ends, crashes, lost replies and time.
"""

from __future__ import annotations

import secrets
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

from common.model.key import ImageKey, WorkKey, WorkloadKey
from common.queue.contract import (
    HELD,
    Add,
    After,
    Claim,
    Hold,
    Lane,
    Outcome,
    Park,
    Retry,
    Settled,
    Waiting,
)
from common.queue.model import Adds, Beat, End, Job, Op, Reap, Recover, Release, State, Take, Tick
from common.queue.step import step
from common.queue.workqueue import WorkQueue
from common.state.names import POOLS, Names
from sandbox.valkey import Valkey
from tests.deployments import DEPLOYMENTS, Deployment
from tests.fixtures_queue import forget, pass_time
from tests.fixtures_redis import DeploymentOf

pytestmark = pytest.mark.integration

PODS: tuple[WorkKey, ...] = tuple(
    WorkloadKey(kind="Pod", namespace="a", name=f"w{number}") for number in range(3)
)
IMAGE: WorkKey = ImageKey(digest=f"sha256:{1:064x}", platform="linux-amd64", options="o")
KEYS = (*PODS, IMAGE)
WORKERS = ("w-a", "w-b")
LEASE_S = 100.0
# Far apart from each other and from what the run takes, so that real time decides nothing.
DELAYS = st.sampled_from([0.0, 50.0, 250.0])
# One name is the end of another: the script must not take one for the other.
BUDGETS = st.sampled_from(["Conflict", "ApiConflict", "Unknown"])

adds = st.builds(
    Add,
    key=st.sampled_from((PODS[0], PODS[0], *KEYS)),  # one hot key: states pile up on it
    lane=st.sampled_from(Lane),
    delay_s=st.sampled_from([0.0, 0.0, 50.0, 250.0]),
    cause=st.just("x"),
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Settled(fingerprint="f", epoch=1, outcome="Converged")),
    st.just(Waiting(on="x")),
    st.builds(After, delay_s=DELAYS, reason=st.just("later")),
    st.builds(Retry, delay_s=DELAYS, reason=st.just("R"), message=st.just("m"), budget=BUDGETS),
    st.builds(Hold, delay_s=DELAYS, source=st.just("s"), reason=st.just("H"), message=st.just("m")),
    st.builds(
        Park, reason=st.just("P"), message=st.just("m"), probe_after_s=DELAYS, budget=BUDGETS
    ),
)
# How far a claim gets: its end is told once or twice, or its worker never hears of it.
Held = tuple[Claim, Claim, str]  # the real claim, the model's, the worker


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

    def teardown(self) -> None:
        forget(self.redis, self.names)
        self.redis.close()
        self.client.close()

    def model(self, op: Op) -> Any:
        self.state, result = step(self.state, op)
        return result

    @rule(batch=st.lists(adds, min_size=1, max_size=4))
    def add(self, batch: list[Add]) -> None:
        assert self.queue.add(batch) == self.model(Adds(adds=tuple(batch)))

    @rule(lane=st.sampled_from(Lane))
    def add_all(self, lane: Lane) -> None:
        self.add([Add(key=key, lane=lane, cause="sweep") for key in KEYS])

    @rule(
        worker=st.sampled_from(WORKERS), limit=st.sampled_from([1, 2, 16]), lost=st.integers(0, 5)
    )
    def claim(self, worker: str, limit: int, lost: int) -> None:
        self.take("reconcile", worker, limit=limit, lost=lost == 0)

    @rule(worker=st.sampled_from(WORKERS))
    def claim_scan(self, worker: str) -> None:
        self.take("scan", worker, limit=1, lost=False)

    def take(self, pool: str, worker: str, *, limit: int, lost: bool) -> None:
        real = self.queue.claim(pool, worker, limit=limit, lease_s=LEASE_S)
        expected = self.model(Take(pool=pool, worker=worker, limit=limit, lease_s=LEASE_S))
        assert [_plain(claim) for claim in real] == [_plain(claim) for claim in expected]
        tokens = [claim.token for claim, _, _ in self.held]
        assert all(claim.token not in tokens for claim in real)
        if not lost:  # else: the reply never arrived
            self.held += zip(real, expected, [worker] * len(real), strict=True)

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 63), outcome=outcomes, again=st.integers(0, 3), mark=st.booleans())
    def end(self, at: int, outcome: Outcome, again: int, *, mark: bool) -> None:
        """End one claim, maybe one that another worker has taken over meanwhile."""
        ended = self.held[at % len(self.held)]
        worker = ended[2]
        others = [entry for entry in self.held if entry[2] == worker and entry != ended]
        following = others[0] if others and mark else None
        real = self.queue.complete(
            worker, [(ended[0], outcome)], running=following[0] if following else None
        )
        assert real == self.model(
            End(
                worker=worker,
                done=((ended[1], outcome),),
                running=following[1] if following else None,
            )
        )
        if again:  # else: it is told once more later, which must be refused
            self.held.remove(ended)

    @precondition(lambda self: self.held)
    @rule(worker=st.sampled_from(WORKERS), outcome=outcomes)
    def end_all(self, worker: str, outcome: Outcome) -> None:
        mine = self.mine(worker)
        real = self.queue.complete(worker, [(entry[0], outcome) for entry in mine])
        done = tuple((entry[1], outcome) for entry in mine)
        assert real == self.model(End(worker=worker, done=done))
        self.drop(worker)

    @precondition(lambda self: self.held)
    @rule(worker=st.sampled_from(WORKERS))
    def release(self, worker: str) -> None:
        mine = self.mine(worker)
        real = self.queue.release(worker, [entry[0] for entry in mine])
        assert real == self.model(Release(worker=worker, claims=tuple(e[1] for e in mine)))
        self.drop(worker)

    @rule(worker=st.sampled_from(WORKERS))
    def recover(self, worker: str) -> None:
        mine = self.mine(worker)
        real = self.queue.recover(worker, [entry[0] for entry in mine])
        assert real == self.model(Recover(worker=worker, holding=tuple(e[1] for e in mine)))

    @rule(worker=st.sampled_from(WORKERS))
    def beat(self, worker: str) -> None:
        real = self.queue.heartbeat(worker, lease_s=LEASE_S)
        assert real == self.model(Beat(worker=worker, lease_s=LEASE_S))

    @rule(zombie=st.booleans())
    def die(self, *, zombie: bool) -> None:
        """Let every lease end; the claims of a zombie will still be told as ended."""
        self.tick(150.0)
        assert self.queue.reap(2) == self.model(Reap(max_crashes=2))
        if not zombie:
            self.held.clear()

    @rule(seconds=st.sampled_from([30.0, 70.0, 2000.0]))
    def tick(self, seconds: float) -> None:
        self.model(Tick(seconds=seconds))
        pass_time(self.redis, self.names, seconds)

    @invariant()
    def everything_is_where_the_model_says(self) -> None:
        jobs, now = self.state.jobs, self.state.now
        seen = Seen(self.redis, self.names)
        assert seen.jobs == {key: _expected(jobs.get(key), now) for key in KEYS}
        for state, found in seen.registered().items():
            assert found == {key for key, job in jobs.items() if job.state == state}, state
        assert seen.running == self.state.running
        assert self.queue.members(KEYS) == [key in jobs for key in KEYS]

    def mine(self, worker: str) -> list[Held]:
        return [entry for entry in self.held if entry[2] == worker]

    def drop(self, worker: str) -> None:
        self.held = [entry for entry in self.held if entry[2] != worker]


def _plain(claim: Claim) -> tuple[WorkKey, dict[str, tuple[int, int]], int, Lane]:
    """Return what both sides must agree on; tokens only have to grow."""
    found = {
        budget: (tally.failures, round(tally.first_ago_s / 10))
        for budget, tally in claim.tallies.items()
    }
    return claim.key, found, claim.crashes, claim.lane


def _expected(job: Job | None, now: float) -> tuple[Any, ...] | None:
    if job is None:
        return None
    due = round((job.due - now) / 10) if job.state in ("delayed", "parked") else 0
    return (
        job.state,
        job.lane,
        sum(failures for budget, (failures, _) in job.tallies.items() if budget != HELD),
        job.crashes,
        job.suspect,
        job.worker,
        job.dirty,
        due,
    )


class Seen:
    """Everything that Redis holds about the keys, read in one round trip."""

    def __init__(self, redis: Any, names: Names) -> None:
        self.names = names
        pools_lanes = [(pool, lane) for pool in POOLS for lane in Lane]
        with redis.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.hgetall(names.own("running"))
            for key in KEYS:
                pipe.hgetall(names.job(key))
            for kind in ("wip", "scheduled", "failed"):
                for pool, lane in pools_lanes:
                    pipe.zrange(names.rq(kind, pool, lane), 0, -1, withscores=True)
            for pool in POOLS:
                pipe.zrange(names.own(f"probe:{pool}"), 0, -1, withscores=True)
            for worker in WORKERS:
                pipe.hgetall(names.own(f"claims:{worker}"))
            clock, running, *rest = pipe.execute()
        hashes, rest = rest[: len(KEYS)], rest[len(KEYS) :]
        self.wip, self.scheduled, self.failed, self.probes, self.claims = (
            self._keys(rest[at:to]) for at, to in ((0, 4), (4, 8), (8, 12), (12, 14), (14, 16))
        )
        self.running = {k.decode(): names.key_of(v.decode()) for k, v in running.items()}
        now = clock[0] + clock[1] / 1e6
        due = self.scheduled | self.probes
        self.jobs = {
            key: _described(
                {name.decode(): value.decode() for name, value in fields.items()},
                round((due[key] - now) / 10) if key in due else 0,
            )
            for key, fields in zip(KEYS, hashes, strict=True)
        }

    def _keys(self, groups: list[Any]) -> dict[WorkKey, float]:
        pairs = [pair for group in groups for pair in (dict(group)).items()]
        return {
            self.names.key_of(member.decode().partition(":")[0]): float(score)
            for member, score in pairs
        }

    def registered(self) -> dict[str, set[WorkKey]]:
        """Return who stands in rq's registries; ours must name the same keys."""
        assert self.wip.keys() == self.claims.keys()
        assert self.failed.keys() == self.probes.keys()
        return {
            "running": set(self.wip),
            "delayed": set(self.scheduled),
            "parked": set(self.failed),
        }


def _described(fields: dict[str, str], due: int) -> tuple[Any, ...] | None:
    if not fields:
        return None
    states = {"queued": "queued", "started": "running", "scheduled": "delayed", "failed": "parked"}
    dirty = fields.get("s_dirty")
    return (
        states[fields["status"]],
        Lane.BULK if fields["origin"].endswith("-bulk") else Lane.FRESH,
        int(fields.get("s_attempts", 0)),
        int(fields.get("s_crashes", 0)),
        fields.get("s_suspect") == "1",
        fields.get("worker_name", "") if "s_token" in fields else "",
        None if dirty is None else Lane(int(dirty)),
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
    check_model(shared, max_examples=60)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_scripts_do_it_on_every_server_and_in_every_deployment(
    name: str, deployment_of: DeploymentOf
) -> None:
    """Two servers run two Lua machines; a user of least rights meets every branch."""
    check_model(deployment_of(name), max_examples=6)
