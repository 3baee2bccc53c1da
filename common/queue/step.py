"""The queue's promise as a pure function: `step(state, op) -> (state, result)`.

The Redis scripts are checked against it with random operations, and the fake queue of the tests is
a shell around it. What it leaves out: tables, facts, waiters, and everything that rq's own commands
or people do to the keys behind our back (tests/integration/test_queue_foreign.py). Pure, total.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import assert_never

from common.model.key import WorkKey, pool_of
from common.queue.contract import (
    BULK_EVERY,
    CRASH_PROBE_S,
    MOST_FAULTS,
    Add,
    AddResult,
    After,
    Claim,
    Handed,
    Hold,
    Lane,
    Outcome,
    Park,
    Retry,
    Settled,
    Tally,
    Waiting,
)
from common.queue.model import (
    Adds,
    Beat,
    Command,
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
    Result,
    Resume,
    State,
    Take,
    Tick,
    Upkeep,
)
from common.queue.places import Places


def step(state: State, op: Op) -> tuple[State, Result]:
    """Return what the queue is after `op`, and what the caller is told. Total."""
    work = _Work(state)
    result = work.do(op)
    return work.state(), result


class _Work(Places):
    """One operation on copies of the state's parts."""

    def do(self, op: Op) -> Result:
        result: Result = None
        match op:
            case Adds(adds=adds):
                result = AddResult(**Counter(self.add(add) for add in adds))
            case Take():
                result = self.take(op)
            case End(worker=worker, done=done, running=running):
                result = [self.end(claim, outcome) for claim, outcome in done]
                self.mark(worker, running.key if running else None)
            case Release(worker=worker, claims=claims):
                result = [self.end(claim, None) for claim in reversed(claims)][::-1]
                self.mark(worker, None)
            case Beat() | Reap() | Recover() | Leave():
                result = self.keep(op)
            case Requeue() | Drop() | Pause() | Resume():
                result = self.obey(op)
            case Tick(seconds=seconds):
                self.now += seconds
            case _:
                assert_never(op)
        return result

    def keep(self, op: Upkeep) -> Result:
        match op:
            case Beat(worker=worker, lease_s=lease_s):
                known = worker in self.leases
                self.leases[worker] = self.now + lease_s
                return known
            case Reap(max_crashes=max_crashes, dead=dead):
                return self.reap_all(max_crashes, dead)
            case Recover(worker=worker, holding=holding):
                return self.recover(worker, {claim.token for claim in holding})
            case Leave(worker=worker):
                return self.leave(worker)
            case _:
                assert_never(op)

    def obey(self, op: Command) -> Result:
        match op:
            case Requeue(key=key):
                return self.add(Add(key=key)) != "duplicate"
            case Drop(key=key):
                return self.drop(key)
            case Pause() | Resume():
                self.paused = isinstance(op, Pause)
                return None
            case _:
                assert_never(op)

    # --- the state table: add

    def add(self, add: Add) -> str:
        job = self.jobs.get(add.key)
        due = self.now + add.delay_s if add.delay_s > 0 else None
        if job is None:
            fresh = Job(state="queued", lane=add.lane)
            if due is None:
                self.queue(add.key, fresh, lane=add.lane)
            else:
                self.delay(add.key, fresh, due=due)
            return "new"
        match job.state:
            case "running":
                dirty = add.lane if job.dirty is None else min(job.dirty, add.lane)
                self.jobs[add.key] = replace(job, dirty=dirty)
                return "dirty"
            case "queued":
                if due is not None or add.lane >= job.lane:
                    return "duplicate"
                self.queue(add.key, job, lane=add.lane)
                return "promoted"
            case "delayed":
                return self.add_delayed(add, job, due)
            case "parked":
                return self.add_parked(add, job, due)

    def add_delayed(self, add: Add, job: Job, due: float | None) -> str:
        if due is not None:
            self.jobs[add.key] = replace(job, due=min(job.due, due))
            return "duplicate"
        if add.lane is Lane.BULK:
            return "duplicate"  # a sweep does not shorten a backoff
        self.queue(add.key, job, lane=add.lane)
        return "promoted"

    def add_parked(self, add: Add, job: Job, due: float | None) -> str:
        if add.lane is Lane.BULK and due is None:
            return "duplicate"  # the slow probe revives it
        forgiven = _forgiven(job)
        if due is None:
            self.queue(add.key, forgiven, lane=add.lane)
        else:
            self.delay(add.key, replace(forgiven, lane=add.lane), due=due)
        return "revived"

    # --- claims

    def take(self, op: Take) -> list[Claim]:
        if self.paused:
            return []
        self.leases[op.worker] = self.now + op.lease_s
        self.promote(op.pool)
        claims: list[Claim] = []
        while len(claims) < op.limit:
            found = self.next_live(op.pool)
            if found is None:
                break
            key, job = found
            if job.suspect and claims:
                self.queue(key, job, lane=job.lane, front=True)
                break
            claims.append(self.claim(key, job, op.worker))
            if job.suspect:
                break
        self.mark(op.worker, claims[0].key if len(claims) == 1 else None)
        return claims

    def promote(self, pool: str) -> None:
        """Queue delayed keys that are due, then parked ones whose probe is (in bulk)."""
        due = [
            (job.state == "parked", _lane_of_turn(job), job.due, str(key), key)
            for key, job in self.jobs.items()
            if job.state in ("delayed", "parked") and job.due <= self.now and pool_of(key) == pool
        ]
        for parked, _, _, _, key in sorted(due, key=lambda entry: entry[:4]):
            job = self.jobs[key]
            self.queue(key, job, lane=Lane.BULK if parked else job.lane)

    def next_live(self, pool: str) -> tuple[WorkKey, Job] | None:
        """Take the next key that is really queued: bulk first at every eighth turn."""
        first = Lane.BULK if self.turns.get(pool, 0) % BULK_EVERY == BULK_EVERY - 1 else Lane.FRESH
        for lane in (first, Lane(1 - first)):
            entries = self.lists.get((pool, lane), [])
            while entries:
                key = entries.pop(0)
                job = self.jobs.get(key)
                if job is not None and job.state == "queued" and job.lane == lane:
                    return key, job
        return None

    def claim(self, key: WorkKey, job: Job, worker: str) -> Claim:
        pool = pool_of(key)
        self.turns[pool] = self.turns.get(pool, 0) + 1
        self.token += 1
        self.jobs[key] = replace(job, state="running", token=self.token, worker=worker, dirty=None)
        return Claim(
            key=key,
            token=self.token,
            tallies={
                budget: Tally(failures=failures, waited_s=waited_s)
                for budget, (failures, waited_s) in job.tallies.items()
            },
            faults=frozenset(job.faults),
            first_failed_ago_s=0.0 if job.since is None else self.now - job.since,
            crashes=job.crashes,
            lane=job.lane,
        )

    # --- ends

    def end(self, claim: Claim, outcome: Outcome | None) -> bool:
        """End a claim with an outcome, or (None) give it back; False: it is not current."""
        job = self.jobs.get(claim.key)
        if job is None or job.state != "running" or job.token != claim.token:
            return False
        if outcome is None:
            self.give_back(claim.key, job)
            return True
        job = replace(job, suspect=False)
        match outcome:
            case Settled() | Waiting():
                self.rest(claim.key, job)
            case Handed(to=to):
                self.rest(claim.key, job)
                self.add(Add(key=to, lane=job.lane))
            case After(delay_s=delay_s):
                self.again(claim.key, job, delay_s)
            case Retry(delay_s=delay_s, budget=budget):
                waits_s = delay_s if job.dirty is None else 0.0
                self.again(claim.key, self.charged(job, budget, waits_s), delay_s)
            case Hold(delay_s=delay_s, source=source, asked=asked):
                blamed = _blaming(job, source) if asked else job
                self.again(claim.key, self.failing(blamed), delay_s)
            case Park(probe_after_s=probe_after_s, budget=budget):
                if job.dirty is not None:  # the change may be the fix: dirty wins over dead
                    self.queue(claim.key, _forgiven(job), lane=job.dirty)
                else:
                    self.park(claim.key, self.charged(job, budget, 0.0), probe_after_s)
            case _:
                assert_never(outcome)
        return True

    def rest(self, key: WorkKey, job: Job) -> None:
        if job.dirty is None:
            del self.jobs[key]
        else:
            self.queue(key, _forgiven(job), lane=job.dirty)

    def again(self, key: WorkKey, job: Job, delay_s: float) -> None:
        if job.dirty is None:
            self.delay(key, job, due=self.now + delay_s)
        else:
            self.queue(key, job, lane=job.dirty)

    def charged(self, job: Job, budget: str, waits_s: float) -> Job:
        """Count a failed run, and the wait that follows it: time that it is tried in."""
        failures, waited_s = job.tallies.get(budget, (0, 0.0))
        tallies = {**job.tallies, budget: (failures + 1, waited_s + waits_s)}
        return self.failing(replace(job, tallies=tallies))

    def failing(self, job: Job) -> Job:
        return replace(job, since=self.now if job.since is None else job.since)

    def park(self, key: WorkKey, job: Job, probe_after_s: float) -> None:
        due = self.now + probe_after_s
        self.jobs[key] = replace(job, state="parked", due=due, token=0, worker="", dirty=None)

    # --- crashes

    def reap_all(self, max_crashes: int, dead: str) -> int:
        given_back = self.reap(dead, max_crashes) if dead else 0
        ended = sorted(
            (until, worker) for worker, until in self.leases.items() if until <= self.now
        )
        return given_back + sum(self.reap(worker, max_crashes) for _, worker in ended)

    def reap(self, worker: str, max_crashes: int) -> int:
        """Give back a dead worker's claims; charge the one it ran, or make all of them suspects."""
        held = self.held(worker)
        culprit = self.running.get(worker)
        if culprit is None and len(held) == 1:
            culprit = held[0][0]
        for key, job in held:
            if key == culprit:
                self.crash(key, job, max_crashes)
            else:
                self.give_back(key, replace(job, suspect=job.suspect or culprit is None))
        self.end_lease(worker)
        return len(held)

    def crash(self, key: WorkKey, job: Job, max_crashes: int) -> None:
        crashes = job.crashes + 1
        if job.dirty is not None:  # dirty wins over dead
            self.give_back(key, replace(job, crashes=0, suspect=True))
        elif crashes < max_crashes:
            self.give_back(key, replace(job, crashes=crashes, suspect=True))
        else:
            self.park(key, replace(job, crashes=0, suspect=True), CRASH_PROBE_S)

    def recover(self, worker: str, holding: set[int]) -> int:
        lost = [pair for pair in self.held(worker) if pair[1].token not in holding]
        for key, job in lost:
            self.give_back(key, job)
        return len(lost)

    def leave(self, worker: str) -> int:
        given_back = self.recover(worker, set())
        self.end_lease(worker)
        return given_back


def _forgiven(job: Job) -> Job:
    return replace(job, tallies={}, since=None, faults=(), crashes=0, suspect=False)


def _blaming(job: Job, source: str) -> Job:
    """Remember that the source failed for the key; the oldest of too many is forgotten."""
    others = tuple(one for one in job.faults if one != source)
    return replace(job, faults=(*others, source)[-MOST_FAULTS:])


def _lane_of_turn(job: Job) -> Lane:
    """Return the lane whose due keys are promoted first; probes come after both."""
    return job.lane if job.state == "delayed" else Lane.BULK
