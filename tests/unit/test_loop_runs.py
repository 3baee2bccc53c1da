"""The claim loop against the fake queue: every claim ends once, whatever the run does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.model.errors import (
    ImageNotFoundError,
    SluiceError,
    SourceUnavailableError,
    UnauthorizedError,
)
from common.model.facts import Fact
from common.model.key import WorkKey
from common.queue.contract import (
    Add,
    Claim,
    Finished,
    Handed,
    Outcome,
    Park,
    Retry,
    Settled,
    Waiting,
)
from tests.fakes.clock import FakeClock
from tests.fakes.work_queue import FakeWorkQueue
from tests.queue_values import converged, image, judged, workload, workloads
from worker.batch import BATCH_S, batch_for
from worker.lease import Lease
from worker.loop import FLUSH_S, Loop, LoopSettings
from worker.ports import Ports, described

WORKER = "w1"


class NoRegistrar:
    """rq's record, not kept."""

    def birth(self) -> None:
        """Do nothing."""

    def death(self) -> None:
        """Do nothing."""


@dataclass
class Listener:
    """Hooks that remember."""

    runs: list[tuple[str, str, str]] = field(default_factory=list)
    refusals: int = 0
    claims: int = 0

    def claimed(self, pool: str, keys: int) -> None:
        self.claims += keys

    def finished(self, pool: str, *, outcome: str, reason: str, seconds: float) -> None:
        self.runs.append((pool, outcome, reason))

    def refused(self, pool: str, keys: int) -> None:
        self.refusals += keys


class Watched(FakeWorkQueue):
    """A fake queue that remembers calls, and ends the loop when there is nothing to do."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[int] = []
        self.reports: list[tuple[list[WorkKey], WorkKey | None]] = []
        self.released: list[WorkKey] = []
        self.resent: list[bool] = []
        self.recoveries = 0
        self.together = 0
        self.lose_reply = False  # of the next end that claims
        self.idle: Callable[[], None] = lambda: None

    def claim(self, pool: str, worker: str, *, limit: int, lease_s: float) -> list[Claim]:
        self.limits.append(limit)
        return super().claim(pool, worker, limit=limit, lease_s=lease_s)

    def complete(
        self,
        worker: str,
        done: Sequence[tuple[Claim, Outcome]],
        facts: Sequence[Fact] = (),
        *,
        running: Claim | None = None,
        resent: bool = False,
    ) -> list[bool]:
        ended = super().complete(worker, done, facts, running=running, resent=resent)
        keys = [claim.key for claim, _ in done]
        self.reports.append((keys, running.key if running else None))
        self.resent.append(resent)
        return ended

    def complete_and_claim(
        self,
        worker: str,
        done: Sequence[tuple[Claim, Outcome]],
        facts: Sequence[Fact] = (),
        **how: Any,
    ) -> tuple[list[bool], list[Claim]]:
        self.together += 1
        both = super().complete_and_claim(worker, done, facts, **how)
        if self.lose_reply:
            self.lose_reply = False
            raise SourceUnavailableError("the reply was lost")
        return both

    def release(self, worker: str, claims: Sequence[Claim]) -> list[bool]:
        self.released += [claim.key for claim in claims]
        return super().release(worker, claims)

    def recover(self, worker: str, holding: Sequence[Claim]) -> int:
        self.recoveries += 1
        return super().recover(worker, holding)

    def wait(self, pool: str, timeout_s: float) -> None:
        super().wait(pool, timeout_s)
        self.idle()


@dataclass
class Bench:
    """A loop with everything fake around it."""

    queue: Watched = field(default_factory=Watched)
    clock: FakeClock = field(default_factory=FakeClock)
    hooks: Listener = field(default_factory=Listener)
    ran: list[WorkKey] = field(default_factory=list)
    may_work: Callable[[], bool] = lambda: True
    announced: list[list[WorkKey]] = field(default_factory=list)

    def loop(
        self, reconcile: Callable[[Claim], Any], pool: str = "reconcile", idle_s: float = 2.0
    ) -> Loop:
        lease = Lease(
            self.queue, NoRegistrar(), worker=WORKER, monotonic_s=self.clock, length_s=15.0
        )

        def run(claim: Claim) -> Outcome | Finished:
            self.ran.append(claim.key)
            result: Outcome | Finished = reconcile(claim)
            return result

        loop = Loop(
            self.queue,
            pool,
            run,
            lease=lease,
            settings=LoopSettings(worker=WORKER, idle_s=idle_s),
            ports=Ports(
                monotonic_s=self.clock,
                judge=judged,
                may_work=self.may_work,
                hooks=self.hooks,
            ),
            ahead=lambda claims: self.announced.append([claim.key for claim in claims]),
        )
        self.queue.idle = loop.stop
        return loop

    def run(self, reconcile: Callable[[Claim], Any], pool: str = "reconcile") -> None:
        """Work until nothing is left."""
        self.loop(reconcile, pool).run()

    def add(self, *keys: WorkKey) -> None:
        self.queue.add([Add(key=key) for key in keys])

    @property
    def left(self) -> set[WorkKey]:
        return set(self.queue.state.jobs)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def raising(error: Exception) -> Callable[[Claim], Outcome]:
    """Return a reconcile that fails."""

    def reconcile(_: Claim) -> Outcome:
        raise error

    return reconcile


def test_every_key_runs_once_and_rests(bench: Bench) -> None:
    """The plain case: what was queued is worked and gone."""
    keys = workloads(40)
    bench.add(*keys)
    bench.run(lambda _: converged())
    assert bench.ran == keys
    assert bench.left == set()


def test_an_error_becomes_what_its_class_says(bench: Bench) -> None:
    """A transient error waits and counts; a terminal one is parked with its reason."""
    bench.add(workload("a"))
    bench.run(raising(SourceUnavailableError("api server: no route")))
    (outcome,) = [outcome for _, outcome in bench.queue.outcomes]
    assert isinstance(outcome, Retry)
    assert (outcome.reason, outcome.message) == ("SourceUnavailable", "api server: no route")
    assert 0 < outcome.delay_s <= 1
    ((_, (failures, _)),) = bench.queue.state.jobs[workload("a")].tallies.items()
    assert failures == 1

    bench.add(workload("b"))
    bench.run(raising(UnauthorizedError("registry: denied")))
    outcome = bench.queue.outcomes[-1][1]
    assert isinstance(outcome, Park)
    assert outcome.reason == "Unauthorized"


def test_an_exception_nobody_foresaw_does_not_end_the_loop(bench: Bench) -> None:
    """One broken key must not stop the others; its text is cut, its type is named."""
    keys = workloads(3)
    bench.add(*keys)

    def reconcile(claim: Claim) -> Outcome:
        if claim.key == keys[1]:
            raise ZeroDivisionError("x" * 1000)
        return converged()

    bench.run(reconcile)
    assert bench.ran == keys
    assert bench.left == {keys[1]}
    failures = [outcome for _, outcome in bench.queue.outcomes if isinstance(outcome, Retry)]
    assert [failure.reason for failure in failures] == ["Unknown"]
    assert failures[0].message.startswith("ZeroDivisionError: x")
    assert len(failures[0].message) <= 256


def test_the_policy_sees_the_failures_of_the_key(bench: Bench) -> None:
    """The count lives with the key: after its last try a key is parked, by whatever worker."""
    bench.add(workload())
    for _ in range(12):
        bench.queue.pass_time(100)
        bench.run(raising(SluiceError("odd")))
    assert isinstance(bench.queue.outcomes[-1][1], Park)
    assert len(bench.ran) == 8


def test_facts_of_a_run_travel_with_its_end(bench: Bench) -> None:
    """A fact that is written apart from its outcome could be lost alone."""
    written = Fact(kind="written", key="k")
    bench.add(workload())
    bench.run(lambda _: Finished(outcome=converged(), facts=[written]))
    assert bench.queue.facts == [written]


def test_there_is_one_log_line_per_reconcile(bench: Bench) -> None:
    """The line is what an operator greps for: key, reconcile id, outcome, reason, seconds."""
    bench.add(workload())
    with capture_logs() as lines:
        bench.run(raising(ImageNotFoundError("app:9: not found")))
    (line,) = [line for line in lines if line["event"] == "reconciled"]
    assert line["key"] == str(workload())
    assert line["outcome"] == "park"
    assert line["reason"] == "ImageNotFound"
    assert line["reconcile_id"] == 1
    assert line["seconds"] == 0.0


def test_metrics_hear_of_every_run(bench: Bench) -> None:
    """Counters are fed by hooks, not by reading logs."""
    bench.add(workload("a"), workload("b"))
    bench.run(lambda claim: converged() if claim.key == workload("a") else Waiting(on="x"))
    assert bench.hooks.claims == 2
    assert sorted(bench.hooks.runs) == [
        ("reconcile", "settled", "Converged"),
        ("reconcile", "waiting", "x"),
    ]


# --- batches


def test_scans_are_claimed_one_at_a_time(bench: Bench) -> None:
    """A scan takes minutes: what one loop holds, no other can take."""
    bench.add(image(1), image(2), image(3))
    bench.run(lambda _: converged(), pool="scan")
    assert set(bench.queue.limits) == {1}


def test_quick_runs_are_claimed_in_batches(bench: Bench) -> None:
    """A round trip a key is what makes a queue slow."""
    bench.add(*workloads(200))
    bench.run(lambda _: converged())
    assert bench.queue.limits[0] == 1  # nobody knows yet how long a run takes
    assert max(bench.queue.limits) == 64
    assert len(bench.queue.reports) < 20


def test_who_reconciles_is_told_what_was_claimed(bench: Bench) -> None:
    """Many keys can be read and asked about at once; each batch is told before its first run."""
    wanted = workloads(80)
    bench.add(*wanted)
    bench.run(lambda _: converged())
    assert [key for batch in bench.announced for key in batch] == bench.ran == wanted
    assert max(map(len, bench.announced)) > 1


def test_slow_runs_are_claimed_alone(bench: Bench) -> None:
    """Sixteen slow keys in one loop would wait for each other while other loops idle."""
    bench.add(*workloads(60))

    def slow(_: Claim) -> Outcome:
        bench.clock.advance(0.2)
        return converged()

    bench.run(slow)
    assert set(bench.queue.limits) == {1}


@pytest.mark.parametrize(
    ("mean_s", "most", "expected"),
    [(0.0, 16, 16), (0.001, 16, 16), (0.01, 16, 5), (BATCH_S, 16, 1), (60.0, 16, 1)],
)
def test_a_batch_is_worth_50_ms(mean_s: float, most: int, expected: int) -> None:
    """The size follows from the time, not the other way round."""
    assert batch_for(mean_s, most) == expected


def test_a_slow_run_is_reported_at_once_and_the_next_one_marked(bench: Bench) -> None:
    """Trap 19. the crash is charged to the running key only: so Redis must know which that is."""
    keys = workloads(17)
    bench.add(*keys)

    def reconcile(claim: Claim) -> Outcome:
        bench.clock.advance(FLUSH_S * 2 if claim.key == keys[6] else 0.0)
        return converged()

    bench.run(reconcile)
    reports = {done[-1]: running for done, running in bench.queue.reports}
    assert reports[keys[6]] == keys[7]
    assert reports[keys[7]] is None  # quick again: its mark is taken away before the next starts
    assert reports[keys[16]] is None


def test_results_do_not_wait_for_the_batch(bench: Bench) -> None:
    """A waiter of the first key must not wait for the sixteenth."""
    bench.add(*workloads(17))

    def reconcile(_: Claim) -> Outcome:
        bench.clock.advance(FLUSH_S * 0.6)
        return converged()

    bench.run(reconcile)
    assert max(len(done) for done, _ in bench.queue.reports) == 2


# --- the next claims come with the last report


def test_the_next_keys_come_with_the_last_report(bench: Bench) -> None:
    """A run of 100 ms costs one round trip, not two; the first claim of all is one of its own."""
    bench.add(*workloads(3))

    def reconcile(_: Claim) -> Outcome:
        bench.clock.advance(0.1)
        return converged()

    bench.run(reconcile)
    assert bench.queue.together == 3
    assert len(bench.queue.limits) == 3 + 2  # and one before the first, one before the sleep
    assert bench.hooks.claims == 3


def test_an_end_that_was_refused_claims_nothing(bench: Bench) -> None:
    """Its worker was taken for dead: it compares what is on record before it claims again."""
    bench.add(*workloads(2))

    def reconcile(claim: Claim) -> Outcome:
        if not bench.queue.recoveries > 1:
            bench.queue.reap(9, dead=WORKER)
        return converged()

    bench.run(reconcile)
    assert bench.hooks.refusals == 1
    assert bench.queue.recoveries == 2
    assert len(bench.ran) == 3
    assert bench.left == set()


def test_the_record_is_compared_once_a_lease_all_the_same(bench: Bench) -> None:
    """A claim whose reply was lost stays on record while we live, however busy we are."""
    bench.add(*workloads(40))

    def reconcile(_: Claim) -> Outcome:
        bench.clock.advance(1.0)
        return converged()

    bench.run(reconcile)
    assert bench.queue.recoveries == 3  # at the start, and in each 15 of 40 s


def test_what_came_with_a_report_whose_reply_was_lost_is_given_back(bench: Bench) -> None:
    """The claims are on record, and nobody knows of them: the next claim compares first."""
    keys = workloads(2)
    bench.add(*keys)
    bench.queue.lose_reply = True
    bench.run(lambda _: converged())
    assert bench.queue.resent == [False, True, False]
    assert bench.ran == keys
    assert bench.left == set()


# --- stop


def test_a_stop_ends_the_running_key_and_gives_back_the_others(bench: Bench) -> None:
    """SIGTERM: what runs is finished, what does not run is somebody else's at once."""
    keys = workloads(20)
    bench.add(*keys)
    loop: Loop

    def reconcile(claim: Claim) -> Outcome:
        if claim.key == keys[5]:
            loop.stop()
        return converged()

    loop = bench.loop(reconcile)
    loop.run()
    assert bench.ran == keys[:6]
    assert bench.left == set(keys[6:])
    assert {job.state for job in bench.queue.state.jobs.values()} == {"queued"}
    assert [claim.key for claim in bench.queue.claim("reconcile", "w2", limit=20, lease_s=9)] == (
        keys[6:]
    )


def test_a_stop_while_the_last_report_is_on_its_way_gives_back_what_came_with_it(
    bench: Bench,
) -> None:
    """The claims are ours although nothing of them was begun."""
    keys = workloads(2)
    bench.add(*keys)
    loop = bench.loop(lambda _: converged())
    plain = bench.queue.complete_and_claim

    def stopped(*told: Any, **how: Any) -> Any:
        both = plain(*told, **how)
        loop.stop()
        return both

    bench.queue.complete_and_claim = stopped  # type: ignore[method-assign]
    loop.run()
    assert bench.ran == keys[:1]
    assert bench.queue.released == keys[1:]
    assert {job.state for job in bench.queue.state.jobs.values()} == {"queued"}


def test_a_loop_that_is_stopped_claims_nothing(bench: Bench) -> None:
    """A claim after the stop would only be given back."""
    bench.add(workload())
    loop = bench.loop(lambda _: converged())
    loop.stop()
    loop.run()
    assert bench.queue.limits == []


# --- generations


def test_a_worker_of_another_generation_claims_nothing(bench: Bench) -> None:
    """Trap 25. It would write old content; and it must not swallow the wake-ups of the others."""
    bench.add(workload())
    answers = chain(repeat(object=False, times=3), repeat(object=True))
    bench.may_work = lambda: next(answers)
    loop = bench.loop(lambda _: converged(), idle_s=0.001)
    with capture_logs() as lines:
        loop.run()
    assert bench.ran == [workload()]
    assert bench.queue.waits == 1  # after the work, not while it stood back
    assert [line["event"].partition(":")[0] for line in lines].count("standing back") == 1


def test_a_worker_whose_generation_ends_in_a_batch_gives_back_the_rest(bench: Bench) -> None:
    """A new version is rolled out: the old one's workers release what they have not begun."""
    keys = workloads(20)
    bench.add(*keys)
    loop: Loop
    refusals = 0

    def may_work() -> bool:
        nonlocal refusals
        refusals += len(bench.ran) >= 6
        if refusals == 9:
            loop.stop()
        return refusals == 0

    bench.may_work = may_work
    loop = bench.loop(lambda _: converged(), idle_s=0.0001)
    loop.run()
    assert bench.ran == keys[:6]
    assert bench.queue.released == keys[6:]
    assert bench.left == set(keys[6:])


# --- lease


def test_what_was_not_started_when_the_lease_ended_is_not_run(bench: Bench) -> None:
    """Trap 8. worker SIGSTOPped past its lease, then continues: others have its keys by now."""
    keys = workloads(20)
    bench.add(*keys)

    def reconcile(claim: Claim) -> Outcome:
        if claim.key == keys[1] and bench.ran.count(keys[1]) == 1:
            bench.clock.advance(3600)  # the process was stopped
            bench.queue.pass_time(3600)
            bench.queue.reap(3)
        return converged()

    with capture_logs() as lines:
        bench.run(reconcile)
    assert [line["event"] for line in lines if line["event"] == "claims lost"] == ["claims lost"]
    # The running key's end was refused and it ran again; the others ran once, after new claims.
    assert bench.hooks.refusals == 1
    assert bench.ran.count(keys[1]) == 2
    assert sorted(bench.ran, key=str) == sorted([*keys, keys[1]], key=str)
    assert bench.left == set()


def test_a_batch_is_not_run_on_after_its_lease_whoever_has_seen_its_end(bench: Bench) -> None:
    """Trap 8. Nobody has reaped us yet, so our end still counts; the next moment somebody may."""
    keys = workloads(20)
    bench.add(*keys)

    def reconcile(claim: Claim) -> Outcome:
        if claim.key == keys[1]:
            bench.clock.advance(3600)
        return converged()

    with capture_logs() as lines:
        bench.run(reconcile)
    assert [line["keys"] for line in lines if line["event"] == "claims lost"] == [18]
    assert bench.ran == keys
    assert bench.hooks.refusals == 0
    assert bench.hooks.claims == 20 + 18  # what was given back was claimed anew


def test_after_a_refused_end_the_rest_of_the_batch_is_not_run(bench: Bench) -> None:
    """Redis lost its last second, and our claims with it: others may have the keys by now."""
    keys = workloads(20)
    bench.add(*keys)

    def reconcile(claim: Claim) -> Outcome:
        if claim.key == keys[1] and bench.ran.count(keys[1]) == 1:
            bench.clock.advance(FLUSH_S * 2)
            bench.queue.recover(WORKER, ())  # Redis knows of no claim of ours any more
            assert len(bench.queue.claim("reconcile", "w2", limit=16, lease_s=60)) == 16
        return converged()

    bench.run(reconcile)
    others = {key for key, job in bench.queue.state.jobs.items() if job.worker == "w2"}
    assert keys[1] in others
    assert set(bench.ran).isdisjoint(others - {keys[1]})


# --- a run that takes long


def slow_one(bench: Bench, keys: Sequence[WorkKey], act: Callable[[Loop], None]) -> None:
    """Work; while the third key of the batch runs, time passes and `act` is done."""

    def reconcile(claim: Claim) -> Finished:
        if claim.key == keys[3] and bench.ran.count(keys[3]) == 1:
            bench.clock.advance(5.0)
            act(loop)
        facts = [Fact(kind="written", key=str(claim.key), data={})]
        return Finished(outcome=converged(), facts=facts)

    loop = bench.loop(reconcile)
    loop.run()


def test_what_waits_for_a_long_run_is_told_and_given_back(bench: Bench) -> None:
    """A key behind one that hangs would wait as long, whoever else has time for it."""
    keys = workloads(20)
    bench.add(*keys)
    seen: list[Any] = []

    def act(loop: Loop) -> None:
        loop.relieve()
        seen.extend([list(bench.queue.reports), list(bench.queue.released)])
        others = bench.queue.claim("reconcile", "w2", limit=64, lease_s=60)
        seen.append([claim.key for claim in others])
        calls = len(bench.queue.reports)
        loop.relieve()
        assert len(bench.queue.reports) == calls  # nothing is left to be told

    slow_one(bench, keys, act)
    reports, released, others = seen
    assert reports[-1] == (keys[1:3], keys[3])  # and a crash will be charged to the one that runs
    assert released == others == keys[4:]
    assert bench.ran == keys[:4]
    assert [str(fact.key) for fact in bench.queue.facts] == [str(key) for key in keys[:4]]


def test_a_short_run_is_left_alone(bench: Bench) -> None:
    """The heartbeat comes at any moment."""
    keys = workloads(20)
    bench.add(*keys)

    def act(loop: Loop) -> None:
        bench.clock.advance(-0.001)
        loop.relieve()

    slow_one(bench, keys, act)
    assert bench.queue.released == []
    assert bench.ran == keys


def test_between_two_runs_nothing_is_given_back(bench: Bench) -> None:
    """The loop itself is at it then."""
    bench.add(*workloads(3))
    loop = bench.loop(lambda _: converged())
    loop.relieve()
    loop.run()
    bench.clock.advance(5.0)
    loop.relieve()
    assert bench.queue.released == []


def test_a_lease_that_is_lost_gives_nothing_back(bench: Bench) -> None:
    """It is others' by now; the loop finds out when the run ends."""
    keys = workloads(20)
    bench.add(*keys)

    def act(loop: Loop) -> None:
        bench.clock.advance(3600)
        loop.relieve()

    slow_one(bench, keys, act)
    assert bench.queue.released == []


def test_an_end_that_was_refused_meanwhile_is_noticed(bench: Bench) -> None:
    """As any other refusal: what is on record for us is compared before the next claim."""
    keys = workloads(20)
    bench.add(*keys)

    def act(loop: Loop) -> None:
        bench.queue.recover(WORKER, ())
        recoveries.append(bench.queue.recoveries)
        loop.relieve()

    recoveries: list[int] = []
    slow_one(bench, keys, act)
    assert bench.queue.recoveries > recoveries[0]
    assert bench.hooks.refusals == 2 + 1  # two that had ended, and the long one
    assert bench.left == set()


# --- Redis away


class Flaky(Watched):
    """A queue whose server is away for some calls."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[tuple[str, bool]] = []  # call, and whether it ran before the reply broke

    def _broken(self, call: str) -> bool | None:
        if self.faults and self.faults[0][0] == call:
            return self.faults.pop(0)[1]
        return None

    def claim(self, pool: str, worker: str, *, limit: int, lease_s: float) -> list[Claim]:
        broken = self._broken("claim")
        if broken is not None:
            if broken:
                super().claim(pool, worker, limit=limit, lease_s=lease_s)
            raise SourceUnavailableError("Redis: gone")
        return super().claim(pool, worker, limit=limit, lease_s=lease_s)

    def release(self, worker: str, claims: Sequence[Claim]) -> list[bool]:
        broken = self._broken("release")
        if broken is not None:
            if broken:
                super().release(worker, claims)
            raise SourceUnavailableError("Redis: gone")
        return super().release(worker, claims)

    def complete(
        self,
        worker: str,
        done: Sequence[tuple[Claim, Outcome]],
        facts: Sequence[Fact] = (),
        *,
        running: Claim | None = None,
        resent: bool = False,
    ) -> list[bool]:
        broken = self._broken("complete")
        if broken is not None:
            if broken:
                super().complete(worker, done, facts, running=running, resent=resent)
            raise SourceUnavailableError("Redis: gone")
        return super().complete(worker, done, facts, running=running, resent=resent)


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Give a bench with a flaky queue, whose sleeps take no time."""
    monkeypatch.setattr("worker.outage._FIRST_S", 0.0001)
    monkeypatch.setattr("worker.outage._LONGEST_S", 0.0002)
    return Bench(queue=Flaky())


def faults(bench: Bench) -> list[tuple[str, bool]]:
    assert isinstance(bench.queue, Flaky)
    return bench.queue.faults


@pytest.mark.parametrize("ran", [False, True], ids=["request lost", "reply lost"])
def test_a_claim_whose_reply_was_lost_is_given_back_first(flaky: Bench, *, ran: bool) -> None:
    """Else the key would wait for the lease of a worker that lives."""
    flaky.add(workload("a"), workload("b"))
    faults(flaky).extend([("claim", ran)] * 3)
    flaky.run(lambda _: converged())
    assert flaky.ran == [workload("a"), workload("b")]
    assert flaky.left == set()


@pytest.mark.parametrize("ran", [False, True], ids=["request lost", "reply lost"])
def test_an_end_whose_reply_was_lost_is_told_again_and_counts_once(
    flaky: Bench, *, ran: bool
) -> None:
    """The result of a scan of minutes must survive a restart of Redis."""
    flaky.add(workload())
    faults(flaky).extend([("complete", ran)] * 2)
    flaky.run(lambda _: converged())
    assert flaky.ran == [workload()]
    assert flaky.left == set()
    assert [type(outcome) for _, outcome in flaky.queue.outcomes] == [Settled]
    assert flaky.queue.resent[-1]
    assert flaky.hooks.refusals == 0  # a token that its own first call used up is no news


@pytest.mark.parametrize("ran", [False, True], ids=["request lost", "reply lost"])
def test_a_relief_whose_reply_was_lost_is_told_again_and_counts_once(
    flaky: Bench, *, ran: bool
) -> None:
    """Ends, facts and keys: nothing is told twice, nothing is forgotten."""
    keys = workloads(20)
    flaky.add(*keys)

    def act(loop: Loop) -> None:
        faults(flaky).append(("complete", ran))
        with pytest.raises(SourceUnavailableError):
            loop.relieve()

    slow_one(flaky, keys, act)
    told = [claim for claim, _ in flaky.queue.outcomes]
    assert sorted(map(str, told)) == sorted(map(str, keys))
    assert sorted(map(str, flaky.ran)) == sorted(map(str, keys))
    assert flaky.hooks.refusals == 0
    assert flaky.left == set()
    resent = [
        done
        for (done, _), again in zip(flaky.queue.reports, flaky.queue.resent, strict=True)
        if again
    ]
    assert resent == [keys[1:3]]  # and what ended since is in a report of its own


@pytest.mark.parametrize("ended", [2, 0], ids=["some had ended", "none had"])
@pytest.mark.parametrize("ran", [False, True], ids=["request lost", "reply lost"])
@pytest.mark.parametrize("call", ["release", "complete"])
def test_a_relief_that_fails_is_done_by_the_next_heartbeat(
    flaky: Bench, call: str, *, ran: bool, ended: int
) -> None:
    """The run may hang for hours: what waits for it must not wait for its end after all."""
    keys = workloads(20)
    flaky.add(*keys)
    seen: list[list[WorkKey]] = []

    def reconcile(claim: Claim) -> Outcome:
        if claim.key == keys[1 + ended] and not seen:
            flaky.clock.advance(5.0)
            faults(flaky).append((call, ran))
            with pytest.raises(SourceUnavailableError):
                loop.relieve()
            loop.relieve()
            others = flaky.queue.claim("reconcile", "w2", limit=64, lease_s=60)
            seen.append([other.key for other in others])
        return converged()

    loop = flaky.loop(reconcile)
    loop.run()
    assert seen == [keys[2 + ended :]]
    assert flaky.ran == keys[: 2 + ended]
    assert len(flaky.queue.outcomes) == 2 + ended
    assert flaky.left == set(keys[2 + ended :])


def in_turn(*steps: Callable[[], object]) -> Callable[[], None]:
    """Return what does one of the steps each time it is called."""
    left = iter(steps)

    def do() -> None:
        next(left)()

    return do


def lost_end(bench: Bench) -> None:
    """Put a claim on record that the loop does not hold: Redis' log lost the end of its run."""
    bench.add(workload("lost"))
    FakeWorkQueue.claim(bench.queue, "reconcile", WORKER, limit=1, lease_s=1000.0)


def test_a_claim_that_only_redis_knows_of_is_given_back_within_a_lease(bench: Bench) -> None:
    """The worker lives, so its lease never ends: the key would neither run nor be repaired."""
    loop = bench.loop(lambda _: converged())
    bench.queue.idle = in_turn(
        lambda: lost_end(bench), lambda: bench.clock.advance(15.0), loop.stop
    )
    loop.run()
    assert bench.ran == [workload("lost")]
    assert bench.left == set()


def test_after_an_outage_it_is_given_back_at_once(flaky: Bench) -> None:
    """That is when the log may have lost something; whoever waited for the key waited enough."""
    loop = flaky.loop(lambda _: converged())

    def outage() -> None:
        lost_end(flaky)
        raise SourceUnavailableError("Redis: gone")

    flaky.queue.idle = in_turn(outage, loop.stop)
    loop.run()
    assert flaky.ran == [workload("lost")]


def test_looking_for_such_claims_costs_one_round_trip_a_lease(bench: Bench) -> None:
    """A loop claims hundreds of times a second."""
    loop = bench.loop(lambda _: converged())
    bench.queue.idle = in_turn(*[lambda: bench.clock.advance(1.0)] * 29, loop.stop)
    loop.run()
    assert bench.queue.recoveries == 2


def test_an_outage_is_said_once(flaky: Bench) -> None:
    """A line per try would fill the log of every worker at the worst time."""
    flaky.add(workload())
    faults(flaky).extend([("claim", False)] * 20)
    with capture_logs() as lines:
        flaky.run(lambda _: converged())
    events = [line["event"] for line in lines]
    assert events.count("redis away") == 1
    assert events.count("redis back") == 1


def test_a_stop_during_an_outage_ends_the_loop(flaky: Bench) -> None:
    """A pod must end within its grace period even when Redis does not come back."""
    flaky.add(workload())
    loop: Loop

    def reconcile(_: Claim) -> Outcome:
        faults(flaky).extend([("complete", False)] * 1000)
        loop.stop()
        return converged()

    loop = flaky.loop(reconcile)
    loop.run()
    assert flaky.left == {workload()}  # its lease will end


def test_a_result_that_cannot_be_told_ends_no_loop(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours in one key's end would stop the whole process, again and again."""
    bench.add(workload("a"), workload("b"))
    complete = bench.queue.complete

    def broken(worker: str, done: Any, *rest: Any, **how: Any) -> list[bool]:
        if workload("a") in [claim.key for claim, _ in done] and len(bench.ran) == 1:
            raise TypeError("no such text")
        return complete(worker, done, *rest, **how)

    monkeypatch.setattr(bench.queue, "complete", broken)
    bench.run(lambda _: converged())
    assert bench.ran.count(workload("b")) == 1
    assert bench.left == set()


def test_a_result_that_redis_refuses_is_given_back(bench: Bench) -> None:
    """A fault of our scripts must not keep a key claimed by a worker that lives."""

    class Refusing(Watched):
        def complete(self, *_: Any, **__: Any) -> list[bool]:
            self.idle()
            raise SluiceError("Redis: ResponseError: WRONGTYPE", reason="RedisFault")

    bench = replace(bench, queue=Refusing())
    bench.add(workload())
    bench.run(lambda _: converged())
    assert bench.queue.state.jobs[workload()].state == "queued"


def test_every_outcome_has_a_word() -> None:
    """The log line and the metrics tell outcomes of one class apart by it."""
    assert described(converged()) == "Converged"
    assert described(Waiting(on="image/x")) == "image/x"
    assert described(Handed(to=image(), reason="LayerCacheMissing")) == "LayerCacheMissing"
    assert described(Retry(delay_s=1, reason="Conflict", message="m")) == "Conflict"
