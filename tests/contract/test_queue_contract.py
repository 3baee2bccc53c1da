"""The queue's promises, one test a sentence, on the fake and on the real queue.

`step` is the contract in code; these are its sentences, so that a reader need not run it in the
head. Random sequences are compared in tests/integration/test_queue_model.py.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from common.model.errors import ConflictError
from common.model.key import WorkKey
from common.queue.contract import (
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
    Waiting,
)
from common.queue.workqueue import WorkQueue
from common.state.names import Names
from tests.deployments import DEPLOYMENTS, Deployment
from tests.fakes.work_queue import FakeWorkQueue
from tests.fixtures_queue import forget, pass_time
from tests.queue_values import LEASE_S, converged, image, judged, parked, workload, workloads


@dataclass
class Subject:
    """A queue and its clock."""

    queue: Any  # FakeWorkQueue or WorkQueue
    later: Callable[[float], None]

    def add(self, *keys: WorkKey, lane: Lane = Lane.FRESH, delay_s: float = 0.0) -> AddResult:
        result: AddResult = self.queue.add(
            [Add(key=key, lane=lane, delay_s=delay_s, cause="test") for key in keys]
        )
        return result

    def claim(self, worker: str = "w1", *, limit: int = 16, pool: str = "reconcile") -> list[Claim]:
        claims: list[Claim] = self.queue.claim(pool, worker, limit=limit, lease_s=LEASE_S)
        return claims

    def one(self, worker: str = "w1") -> Claim:
        (claim,) = self.claim(worker, limit=1)
        return claim

    def end(self, claim: Claim, outcome: Any, worker: str = "w1") -> bool:
        (valid,) = self.queue.complete(worker, [(claim, outcome)])
        return bool(valid)

    def die(self) -> int:
        """Let all leases end and reap."""
        self.later(LEASE_S + 1)
        return int(self.queue.reap(3))


REAL = [pytest.param(name, marks=pytest.mark.integration) for name in DEPLOYMENTS]


@pytest.fixture(params=["fake", *REAL])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Give the fake, then the real one on every server and in every deployment."""
    if request.param == "fake":
        fake = FakeWorkQueue()
        yield Subject(fake, fake.pass_time)
        return
    deployment: Deployment = request.getfixturevalue("deployment_of")(request.param)
    names = Names(f"t{secrets.token_hex(5)}")
    with deployment.client() as client, deployment.admin() as admin:
        yield Subject(WorkQueue(client, names), lambda s: pass_time(admin, names, s))
        forget(admin, names)


KEY = workload()


# --- what an add does in each state


def test_an_absent_key_is_queued_once(subject: Subject) -> None:
    """However often it is added, it stands in the queue once."""
    assert subject.add(KEY).new == 1
    assert subject.add(KEY, KEY) == AddResult(duplicate=2)
    assert [claim.key for claim in subject.claim()] == [KEY]
    assert subject.claim() == []


def test_a_change_during_processing_leads_to_exactly_one_more_run(subject: Subject) -> None:
    """Law 2: the run may have read the old state, so one more must follow; one is enough."""
    subject.add(KEY)
    claim = subject.one()
    assert subject.add(KEY, KEY) == AddResult(dirty=2)
    assert subject.claim("w2") == []
    assert subject.end(claim, converged())
    again = subject.one("w2")
    assert again.key == KEY
    assert subject.end(again, converged(), "w2")
    assert subject.claim() == []


def test_the_more_urgent_lane_of_two_changes_counts(subject: Subject) -> None:
    """A sweep that comes after a change must not send the change to the bulk lane."""
    subject.add(KEY)
    claim = subject.one()
    subject.add(KEY, lane=Lane.BULK)
    subject.add(KEY)
    subject.add(KEY, lane=Lane.BULK)
    subject.end(claim, converged())
    assert subject.one().lane is Lane.FRESH


def test_a_fresh_add_promotes_a_bulk_key(subject: Subject) -> None:
    """A change overtakes the sweep that had queued the same key."""
    others = workloads(40)
    subject.add(*others, lane=Lane.BULK)
    assert subject.add(others[-1]) == AddResult(promoted=1)
    assert subject.one().key == others[-1]
    rest = {claim.key for _ in range(4) for claim in subject.claim()}
    assert rest == set(others[:-1])  # the entry that stayed behind is passed over


def test_a_fresh_add_ends_a_backoff(subject: Subject) -> None:
    """What changed may be what failed: waiting for the backoff would be waiting for nothing."""
    subject.add(KEY)
    subject.end(subject.one(), Retry(delay_s=300, reason="R", message="m"))
    assert subject.add(KEY, lane=Lane.BULK) == AddResult(duplicate=1)
    assert subject.claim() == []
    assert subject.add(KEY) == AddResult(promoted=1)
    claim = subject.one()
    assert (claim.attempts, claim.key) == (1, KEY)


def test_a_delayed_add_waits_and_the_earlier_due_time_wins(subject: Subject) -> None:
    """AddAfter: two wishes for later are one run, at the earlier time."""
    subject.add(KEY, delay_s=500)
    assert subject.add(KEY, delay_s=100) == AddResult(duplicate=1)
    assert subject.add(KEY, delay_s=900) == AddResult(duplicate=1)
    subject.later(50)
    assert subject.claim() == []
    subject.later(60)
    assert subject.one().key == KEY


def test_a_parked_key_is_revived_by_a_change_and_left_alone_by_a_sweep(subject: Subject) -> None:
    """A dead letter costs nothing per sweep, and a change gives it all its tries again."""
    subject.add(KEY)
    subject.end(subject.one(), parked())
    assert subject.add(KEY, lane=Lane.BULK) == AddResult(duplicate=1)
    assert subject.claim() == []
    assert subject.add(KEY) == AddResult(revived=1)
    assert subject.one().attempts == 0


def test_a_parked_key_comes_back_by_itself(subject: Subject) -> None:
    """Trap 18. pull secret is fixed after a 401: slow probe revives, in bulk, tries not reset."""
    subject.add(KEY)
    subject.end(subject.one(), Retry(delay_s=0, reason="R", message="m"))
    subject.end(subject.one(), parked(probe_after_s=900))
    subject.later(800)
    assert subject.claim() == []
    subject.later(200)
    claim = subject.one()
    assert (claim.lane, claim.attempts) == (Lane.BULK, 2)
    assert claim.first_failed_ago_s > 900


# --- ends


def test_a_run_that_converged_forgets_its_failures(subject: Subject) -> None:
    """The next failure starts at the first, short wait again; also when the key was dirty."""
    subject.add(KEY)
    subject.end(subject.one(), Retry(delay_s=0, reason="R", message="m"))
    claim = subject.one()
    assert claim.attempts == 1
    subject.add(KEY)
    subject.end(claim, converged())
    again = subject.one()
    assert (again.attempts, again.first_failed_ago_s) == (0, 0.0)


def test_a_failed_run_comes_back_after_its_delay_and_counts(subject: Subject) -> None:
    """Tenacity decides by the count and the waits; users see since when it fails."""
    subject.add(KEY)
    subject.end(subject.one(), Retry(delay_s=30, reason="R", message="m"))
    assert subject.claim() == []
    subject.later(40)
    claim = subject.one()
    assert claim.attempts == 1
    assert 39 < claim.first_failed_ago_s < 60


def test_each_budget_is_tallied_apart(subject: Subject) -> None:
    """Failures of one class say nothing about another; one name ends like the other."""
    subject.add(KEY)
    for budget in ("ApiConflict", "Conflict", "ApiConflict", "Conflict", "ApiConflict"):
        subject.end(subject.one(), Retry(delay_s=20, reason="R", message="m", budget=budget))
        subject.later(30)
    subject.end(subject.one(), parked(probe_after_s=5))
    subject.later(10)
    claim = subject.one()
    counts = {budget: tally.failures for budget, tally in claim.tallies.items()}
    assert counts == {"ApiConflict": 3, "Conflict": 2, "Unknown": 1}
    assert claim.attempts == 6
    assert [tally.waited_s for tally in claim.tallies.values()] == [60, 40, 0]


@pytest.mark.parametrize(
    ("end", "wait_s"),
    [
        (Hold(delay_s=1800, source="registry/r", reason="R", message="m"), 3600),
        (After(delay_s=1800, reason="WaitingForKubelet"), 3600),
        (Retry(delay_s=1800, reason="R", message="m", budget="RateLimited"), 3600),
        (Retry(delay_s=1, reason="R", message="m", budget="Conflict"), 7200),
    ],
    ids=["held", "waiting", "backing off for another class", "behind others in the queue"],
)
def test_time_in_which_a_key_is_not_tried_uses_up_no_budget(
    subject: Subject, end: Outcome, wait_s: float
) -> None:
    """A conflict may last five minutes. An hour in which nobody tried is no conflict."""
    subject.add(KEY)
    for one in (Retry(delay_s=1, reason="R", message="m", budget="Conflict"), end):
        subject.end(subject.one(), one)
        subject.later(max(2, wait_s if one is end else 0))
    claim = subject.one()
    assert claim.first_failed_ago_s >= wait_s
    assert isinstance(judged(ConflictError("409"), claim), Retry)


def test_the_waits_of_a_class_use_up_its_time(subject: Subject) -> None:
    """Somebody who asks for long waits over and over is given up before all tries are used."""
    subject.add(KEY)
    for _ in range(3):
        claim = subject.one()
        assert isinstance(judged(ConflictError("409"), claim), Retry)
        subject.end(claim, Retry(delay_s=100, reason="R", message="m", budget="Conflict"))
        subject.later(100)
    assert isinstance(judged(ConflictError("409"), subject.one()), Park)


def test_a_hold_is_no_attempt_but_its_time_is_known(subject: Subject) -> None:
    """A source's fault is charged to no key; users still see since when the key waits for it."""
    subject.add(KEY)
    for _ in range(3):
        subject.end(subject.one(), Hold(delay_s=10, source="registry/r", reason="R", message="m"))
        assert subject.claim() == []
        subject.later(20)
    claim = subject.one()
    assert claim.tallies == {}
    assert 55 < claim.first_failed_ago_s < 80
    subject.end(claim, converged())
    subject.add(KEY)
    assert subject.one().first_failed_ago_s == 0


def test_a_key_remembers_which_sources_failed_for_it(subject: Subject) -> None:
    """Only they can have served others since; one that was not asked has not failed."""
    subject.add(KEY)
    sources = [f"registry/{number}" for number in range(MOST_FAULTS + 2)]
    for source in [sources[0], *sources, sources[3]]:
        hold = Hold(delay_s=0, source=source, reason="R", message="m")
        subject.end(subject.one(), hold)
        subject.end(subject.one(), replace(hold, source="scanner/s", asked=False))
    claim = subject.one()
    assert claim.faults == set(sources[2:])
    subject.add(KEY)
    subject.end(claim, converged())
    assert subject.one().faults == frozenset()


def test_a_failed_run_of_a_changed_key_comes_back_at_once(subject: Subject) -> None:
    """The change is not made to wait for a backoff that the old state earned."""
    subject.add(KEY)
    claim = subject.one()
    subject.add(KEY)
    subject.end(claim, Retry(delay_s=300, reason="R", message="m"))
    (tally,) = subject.one().tallies.values()
    assert (tally.failures, tally.waited_s) == (1, 0)


def test_a_run_that_asks_for_later_is_not_a_failure(subject: Subject) -> None:
    """Waiting for a kubelet must not use up the tries."""
    subject.add(KEY)
    subject.end(subject.one(), After(delay_s=10, reason="WaitingForKubelet"))
    assert subject.claim() == []
    subject.later(11)
    assert subject.one().attempts == 0


def test_a_run_that_waits_for_another_key_leaves_the_queue(subject: Subject) -> None:
    """Its registration as a waiter brings it back; the queue must not spin on it meanwhile."""
    subject.add(KEY)
    subject.end(subject.one(), Waiting(on=str(image())))
    assert subject.queue.members([KEY]) == [False]


def test_the_fixing_change_survives_the_death_of_its_key(subject: Subject) -> None:
    """Trap 20. dirty wins over dead."""
    subject.add(KEY)
    claim = subject.one()
    subject.add(KEY)
    assert subject.end(claim, parked())
    again = subject.one()
    assert (again.key, again.attempts) == (KEY, 0)


# --- tokens and leases


def test_a_completion_with_an_old_token_changes_nothing(subject: Subject) -> None:
    """Trap 9. token per claim: the first run of the same worker may have read older state."""
    subject.add(KEY)
    first = subject.one()
    assert subject.die() == 1
    second = subject.one()
    assert second.token > first.token
    subject.add(KEY)
    assert not subject.end(first, converged())
    assert subject.claim() == []  # still held by the second claim, still dirty
    assert subject.end(second, converged())
    assert subject.one().key == KEY


def test_a_completion_counts_once(subject: Subject) -> None:
    """A reply that was lost is sent again; the key may have been queued and claimed since."""
    subject.add(KEY)
    claim = subject.one()
    assert subject.end(claim, converged())
    assert not subject.end(claim, converged())
    subject.add(KEY)
    assert not subject.end(claim, parked())
    assert subject.one().attempts == 0


def test_what_was_not_started_goes_back_to_the_front_in_its_order(subject: Subject) -> None:
    """A shutdown must not send keys that waited long to the end of the queue."""
    keys = workloads(6)
    subject.add(*keys)
    claims = subject.claim(limit=4)
    subject.end(claims[0], converged())
    subject.queue.release("w1", claims[1:])
    assert [claim.key for claim in subject.claim("w2")] == keys[1:]


def test_claims_of_a_dead_worker_go_back_to_the_front(subject: Subject) -> None:
    """Its lease ends, and the work goes on where it stood."""
    keys = workloads(6)
    subject.add(*keys)
    subject.claim(limit=4)
    assert subject.queue.reap(3) == 0  # the lease still runs
    assert subject.die() == 4
    found = [subject.one("w2").key for _ in range(6)]
    assert found == keys


def test_a_heartbeat_keeps_the_claims(subject: Subject) -> None:
    """A long run is not a dead worker."""
    subject.add(KEY)
    claim = subject.one()
    subject.later(LEASE_S - 10)
    assert subject.queue.heartbeat("w1", lease_s=LEASE_S)
    subject.later(LEASE_S - 10)
    assert subject.queue.reap(3) == 0
    assert subject.end(claim, converged())


def test_a_heartbeat_says_when_the_claims_are_gone(subject: Subject) -> None:
    """The worker stops what it has not started; others do it already."""
    subject.add(KEY)
    subject.one()
    subject.die()
    assert not subject.queue.heartbeat("w1", lease_s=LEASE_S)


def test_a_lost_reply_loses_no_key(subject: Subject) -> None:
    """The claims are on record for a worker that never heard of them; recover gives them back."""
    keys = workloads(3)
    subject.add(*keys)
    subject.claim(limit=2)  # the reply was lost
    held = subject.claim(limit=1)
    assert subject.queue.recover("w1", held) == 2
    assert subject.queue.recover("w1", held) == 0
    assert [claim.key for claim in subject.claim("w2")] == keys[:2]
    assert subject.end(held[0], converged())


# --- crashes


def test_the_crash_is_charged_to_the_running_key_only(subject: Subject) -> None:
    """Trap 19. SIGKILL of a worker that held a batch of 16, three times: no innocent is charged."""
    keys = workloads(16)
    subject.add(*keys)
    charged: Counter[WorkKey] = Counter()
    for _ in range(3):
        batch = subject.claim(limit=16)
        culprit = batch[-1]
        subject.queue.complete("w1", [], running=culprit)
        subject.die()
        charged[culprit.key] += 1
    crashes: dict[WorkKey, int] = {}
    while batch := subject.claim("w2"):
        crashes |= {claim.key: claim.crashes for claim in batch}
    assert crashes == {key: charged[key] for key in keys}


def test_a_key_that_kills_its_workers_is_parked_after_three(subject: Subject) -> None:
    """One image that takes the process down must not take it down for ever."""
    subject.add(KEY)
    for crashes in range(3):
        assert subject.one().crashes == crashes
        assert subject.die() == 1
    assert subject.claim() == []
    assert subject.queue.members([KEY]) == [True]
    subject.later(3600)
    assert subject.one().crashes == 0  # its probe


def test_after_a_crash_without_a_mark_every_suspect_runs_alone(subject: Subject) -> None:
    """So the next crash has one culprit, and a killer that dies at once is found as well."""
    keys = workloads(4)
    subject.add(*keys)
    subject.claim(limit=3)
    subject.queue.complete("w1", [])  # no mark
    subject.die()
    batches = [[claim.key for claim in subject.claim(f"w{n}")] for n in range(4)]
    assert batches == [[keys[0]], [keys[1]], [keys[2]], [keys[3]]]


def test_the_last_claim_of_a_batch_is_the_one_that_ran(subject: Subject) -> None:
    """When the others have ended there is no doubt, mark or not."""
    keys = workloads(3)
    subject.add(*keys)
    claims = subject.claim()
    subject.queue.complete("w1", [(claim, converged()) for claim in claims[:2]])
    subject.die()
    assert subject.one().crashes == 1


def test_a_change_saves_a_key_from_its_last_crash(subject: Subject) -> None:
    """Trap 20. dirty wins over dead, for crashes too."""
    subject.add(KEY)
    for _ in range(2):
        subject.one()
        subject.die()
    subject.one()
    subject.add(KEY)
    subject.die()
    assert subject.one().crashes == 0


def test_a_run_that_ended_is_no_suspect_any_more(subject: Subject) -> None:
    """Suspicion must not slow a key down for ever."""
    keys = workloads(2)
    subject.add(*keys)
    subject.claim()
    subject.die()
    for _ in keys:
        subject.end(subject.one(), Retry(delay_s=0, reason="R", message="m"))
    assert len(subject.claim()) == 2


# --- lanes


@pytest.mark.parametrize("limit", [1, 5, 16])
def test_each_lane_has_its_share(subject: Subject, limit: int) -> None:
    """Bulk gets at least every eighth claim, fresh at least seven of eight: nobody starves."""
    subject.add(*workloads(120, "fresh"))
    subject.add(*workloads(120, "bulk"), lane=Lane.BULK)
    lanes: list[Lane] = []
    while len(lanes) < 80:
        lanes += [claim.lane for claim in subject.claim(limit=limit)]
    for start in range(len(lanes) - 8):
        window = lanes[start : start + 8]
        assert window.count(Lane.BULK) == 1


def test_an_empty_lane_leaves_its_share_to_the_other(subject: Subject) -> None:
    """No turn is wasted while there is work."""
    subject.add(*workloads(20), lane=Lane.BULK)
    assert len(subject.claim(limit=16)) == 16


def test_an_entry_left_behind_takes_nobodys_turn(subject: Subject) -> None:
    """A promoted key leaves an entry in the bulk lane: bulk's share is for who waits there."""
    fresh, bulk = workloads(9, "fresh"), workloads(1, "bulk")
    subject.add(KEY, *bulk, lane=Lane.BULK)
    subject.add(*fresh)
    subject.add(KEY)
    found = [claim.key for claim in subject.claim(limit=8)]
    assert found == [*fresh[:7], *bulk]


def test_an_entry_left_behind_does_not_run_a_key_that_waits(subject: Subject) -> None:
    """Its time is its due time, whatever stands in the list since an earlier life."""
    subject.add(KEY, lane=Lane.BULK)
    subject.add(KEY)
    subject.end(subject.one(), converged())
    subject.add(KEY, lane=Lane.BULK, delay_s=300)
    assert subject.claim() == []
    subject.later(301)
    assert subject.one().key == KEY


def test_pools_do_not_see_each_other(subject: Subject) -> None:
    """Scans take minutes; reconciles must not wait behind them."""
    subject.add(KEY, image())
    assert [claim.key for claim in subject.claim(pool="scan")] == [image()]
    assert [claim.key for claim in subject.claim()] == [KEY]


def test_membership_is_true_in_every_state(subject: Subject) -> None:
    """The sweep enqueues what is no member; queued, running, delayed and parked keys are."""
    queued, running, delayed, dead, absent = workloads(5)
    subject.add(dead, running)
    for claim in subject.claim():
        if claim.key == dead:
            subject.end(claim, Park(reason="P", message="m", probe_after_s=10))
    subject.add(queued)
    subject.add(delayed, delay_s=100)
    found = subject.queue.members([queued, running, delayed, dead, absent])
    assert found == [True, True, True, True, False]


def test_only_the_holder_of_the_current_claim_holds_its_key(subject: Subject) -> None:
    """A run asks before it writes: one that slept past its lease must hear no."""
    subject.add(workload())
    first = subject.one()
    assert subject.queue.holds(first)
    subject.later(LEASE_S + 1)
    subject.queue.reap(3)
    assert not subject.queue.holds(first)
    second = subject.one("w2")
    assert not subject.queue.holds(first)
    assert subject.queue.holds(second)
    assert subject.end(second, converged(), "w2")
    assert not subject.queue.holds(second)


@pytest.mark.parametrize("lane", Lane)
def test_a_key_that_is_left_to_another_one_rests_and_the_other_is_as_urgent(
    subject: Subject, lane: Lane
) -> None:
    """A match whose layers are lost: only the image's own key may pull."""
    subject.add(KEY, lane=lane)
    assert subject.end(subject.one(), Handed(to=image(), reason="LayerCacheMissing"))
    assert subject.queue.members([KEY]) == [False]
    (other,) = subject.claim(pool="scan")
    assert (other.key, other.lane) == (image(), lane)


def test_a_key_that_changed_meanwhile_runs_again_although_it_was_left_to_another(
    subject: Subject,
) -> None:
    """Law 2 holds for every end."""
    subject.add(KEY)
    claim = subject.one()
    subject.add(KEY)
    subject.end(claim, Handed(to=image(), reason="LayerCacheMissing"))
    assert subject.one("w2").key == KEY


def test_the_key_that_goes_on_is_told_of_it_once_more_when_it_runs(subject: Subject) -> None:
    """Its run may have begun before."""
    subject.add(KEY, image())
    (other,) = subject.claim(pool="scan")
    subject.end(subject.one("w2"), Handed(to=image(), reason="LayerCacheMissing"), "w2")
    assert subject.end(other, converged())
    assert [claim.key for claim in subject.claim(pool="scan")] == [image()]
