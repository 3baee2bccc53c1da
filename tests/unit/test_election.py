"""The election's machine, step by step: client-go's rules, and ours beyond them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.model.lease import LeaseRecord
from watcher.ballot import (
    Action,
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

ME, OTHER = "me", "other"
PACE = Pace()
HELD = LeaseRecord(
    holder=OTHER, duration_s=15, acquired_at="t0", renewed_at="t1", transitions=4, version="7"
)


class Candidate:
    """One candidate, its clock and its Redis."""

    def __init__(self) -> None:
        self.state = State(me=ME, pace=PACE)
        self.now_s = 100.0
        self.redis_age_s = 0.0
        self.action: Action = Rest(seconds=0)

    def say(self, signal: Signal, *, after_s: float = 0.0) -> Action:
        self.now_s += after_s
        at = Moment(now_s=self.now_s, draw=0.5, redis_age_s=self.redis_age_s)
        self.state, self.action = advance(self.state, signal, at)
        return self.action

    def stored(self) -> Action:
        """Let the API server accept what was asked for, at once."""
        assert isinstance(self.action, Write)
        record = replace(self.action.record, version="8", renewed_at=f"at {self.now_s}")
        return self.say(Stored(record=record, sent_at_s=self.now_s))

    @property
    def leads(self) -> bool:
        return self.state.leads(self.now_s)


def leader() -> Candidate:
    """Return a candidate that created the Lease at second 100."""
    one = Candidate()
    one.say(Due())
    one.say(Missing())
    one.stored()
    assert one.leads
    return one


def test_a_candidate_looks_first_and_creates_the_lease_that_is_missing() -> None:
    """A new Lease has not passed from anybody to anybody."""
    one = Candidate()
    assert one.say(Due()) == Look()
    action = one.say(Missing())
    assert action == Write(record=LeaseRecord(holder=ME, duration_s=15), acquired=True)
    assert not one.leads, "not before it is stored"
    assert one.stored() == Rest(seconds=2.0)
    assert (one.leads, one.state.term) == (True, 1)


def test_a_lease_that_another_holds_is_left_alone_until_it_was_still_for_its_duration() -> None:
    """From when *we* saw it change last: how old its renewTime looks to us says nothing."""
    one = Candidate()
    one.say(Due())
    assert one.say(Found(record=HELD)) == Rest(seconds=2.0 * 1.6)
    assert one.say(Found(record=HELD), after_s=14.9) == Rest(seconds=2.0 * 1.6)
    action = one.say(Found(record=HELD), after_s=0.1)
    assert isinstance(action, Write)
    assert (action.record.holder, action.record.transitions, action.acquired) == (ME, 5, True)
    assert action.record.version == "7", "refused if somebody writes in between"


def test_every_renewal_of_another_begins_its_duration_again() -> None:
    """Whatever time stands in it."""
    one = Candidate()
    for number in range(10):
        renewed = replace(HELD, renewed_at=f"1970-01-0{number}", version=str(number))
        assert isinstance(one.say(Found(record=renewed), after_s=10), Rest)


def test_a_label_on_the_lease_is_no_renewal() -> None:
    """Else whoever labels it keeps a dead leader alive."""
    one = Candidate()
    one.say(Found(record=HELD))
    labelled = replace(HELD, version="9")
    assert isinstance(one.say(Found(record=labelled), after_s=15), Write)


def test_the_holders_own_duration_counts() -> None:
    """Two versions of different settings stand side by side in a rollout."""
    one = Candidate()
    one.say(Found(record=replace(HELD, duration_s=60)))
    assert isinstance(one.say(Found(record=replace(HELD, duration_s=60)), after_s=59), Rest)
    assert isinstance(one.say(Found(record=replace(HELD, duration_s=60)), after_s=1), Write)


def test_a_duration_beyond_reason_holds_nobody_up_for_ever() -> None:
    """Written by hand: 68 years, in which nobody would lead."""
    one, forever = Candidate(), replace(HELD, duration_s=2**31 - 1)
    one.say(Found(record=forever))
    assert isinstance(one.say(Found(record=forever), after_s=59), Rest)
    assert isinstance(one.say(Found(record=forever), after_s=1), Write)


def test_the_number_of_transitions_begins_again_where_it_cannot_grow() -> None:
    """The API server refuses more than 31 bits, and with it the whole Lease."""
    one = Candidate()
    one.say(Due())
    action = one.say(Found(record=replace(HELD, holder="", transitions=2**31 - 1)))
    assert isinstance(action, Write)
    assert action.record.transitions == 0


def test_a_lease_that_was_given_back_is_taken_at_once() -> None:
    """A graceful hand-over waits for one look of the standby, not for a lease."""
    one = Candidate()
    one.say(Found(record=HELD))
    action = one.say(Found(record=replace(HELD, holder="", duration_s=1, version="8")), after_s=1)
    assert isinstance(action, Write)
    assert action.record.transitions == 5


def test_a_leader_renews_over_the_version_that_it_wrote() -> None:
    """One request a renewal; nothing is read first."""
    one = leader()
    action = one.say(Due(), after_s=2)
    assert isinstance(action, Write)
    assert (action.record.version, action.record.transitions) == ("8", 0)
    assert not action.acquired
    one.stored()
    assert one.state.leads_until_s == 112
    assert one.state.term == 1


def test_a_leader_that_cannot_renew_leads_no_more_before_another_may() -> None:
    """By its own clock: no answer is needed for it, and nobody has to tell the loop."""
    one = leader()
    for _ in range(4):
        assert isinstance(one.say(Due(), after_s=2), Write)
        assert one.say(Failed()) == Rest(seconds=2.0)
        assert one.leads
    one.now_s += 2
    assert not one.leads
    assert one.say(Due()) == Look()


def test_a_renewal_counts_from_when_it_was_sent() -> None:
    """Others may have seen it as early as that; an answer that took 8 s left 2 of the 10."""
    one = leader()
    action = one.say(Due(), after_s=2)
    assert isinstance(action, Write)
    one.say(Stored(record=replace(action.record, version="9"), sent_at_s=one.now_s), after_s=8)
    assert one.leads
    one.now_s += 2
    assert not one.leads


def test_a_leader_whose_renewal_met_a_newer_version_looks_and_goes_on_if_it_is_still_its_own() -> (
    None
):
    """The answer to the renewal before was lost, or somebody labelled the Lease."""
    one = leader()
    one.say(Due(), after_s=2)
    assert one.say(Beaten()) == Look()
    mine = LeaseRecord(holder=ME, duration_s=15, renewed_at="at 101", version="9")
    action = one.say(Found(record=mine))
    assert isinstance(action, Write)
    assert action.record.version == "9"
    one.stored()
    assert (one.leads, one.state.term) == (True, 1)


def test_a_leader_that_finds_another_in_the_lease_stands_by() -> None:
    """Somebody may have edited it by hand."""
    one = leader()
    one.say(Due(), after_s=2)
    one.say(Beaten())
    assert isinstance(one.say(Found(record=HELD)), Rest)
    assert not one.leads
    assert one.state.other == OTHER


def test_a_leader_whose_lease_was_deleted_creates_it_and_goes_on() -> None:
    """As client-go does: nobody else has it."""
    one = leader()
    one.say(Due(), after_s=2)
    one.say(Beaten())
    action = one.say(Missing())
    assert isinstance(action, Write)
    assert action.record.version == ""
    one.stored()
    assert (one.leads, one.state.term) == (True, 1)


def test_a_lease_of_its_own_that_ran_out_is_taken_again_as_a_new_term() -> None:
    """The API server was away; the loop may have stopped in between, so it needs a new fence."""
    one = leader()
    one.say(Due(), after_s=11)
    mine = LeaseRecord(holder=ME, duration_s=15, renewed_at="at 100", version="8")
    action = one.say(Found(record=mine))
    assert isinstance(action, Write)
    assert (action.acquired, action.record.transitions) == (False, 0)
    one.stored()
    assert (one.leads, one.state.term) == (True, 2)


def test_a_candidate_that_was_beaten_to_it_stands_by() -> None:
    """Two saw the same vacancy; the API server let one in."""
    one = Candidate()
    one.say(Due())
    one.say(Missing())
    assert isinstance(one.say(Beaten()), Rest)
    assert (one.leads, one.state.term) == (False, 0)


def test_a_failing_server_is_asked_at_the_retry_period_for_ever() -> None:
    """An outage of an hour is no reason to end, nor to hurry."""
    one = Candidate()
    for _ in range(1000):
        assert one.say(Due(), after_s=3) == Look()
        action = one.say(Failed())
        assert action == Rest(seconds=2.0 * 1.6)


def test_a_stop_gives_the_lease_back() -> None:
    """The standby takes over at its next look."""
    one = leader()
    action = one.say(Stopped(), after_s=1)
    assert isinstance(action, Write)
    assert not one.leads, "before the request is sent"
    assert (action.record.holder, action.record.duration_s, action.acquired) == ("", 1, False)
    assert action.record.version == "8"
    assert one.stored() == Done()


@pytest.mark.parametrize("answer", [Failed(), Missing(), Found(record=HELD)], ids=repr)
def test_a_stop_ends_whatever_is_answered(answer: Signal) -> None:
    """A process that waits for the API server is killed at the end of its grace."""
    one = leader()
    one.say(Stopped())
    if not isinstance(answer, Failed):
        assert one.say(Beaten()) == Look()
    assert one.say(answer) == Done()


def test_a_stop_that_is_beaten_by_its_own_lost_renewal_tries_once_more() -> None:
    """The Lease names us, so nobody may take it for a whole lease."""
    one = leader()
    one.say(Stopped())
    assert one.say(Beaten()) == Look()
    mine = LeaseRecord(holder=ME, duration_s=15, renewed_at="at 101", version="9")
    action = one.say(Found(record=mine))
    assert isinstance(action, Write)
    assert (action.record.holder, action.record.version) == ("", "9")


def test_a_standby_that_stops_writes_nothing() -> None:
    """The Lease is another's."""
    one = Candidate()
    one.say(Found(record=HELD))
    assert one.say(Stopped()) == Done()


def test_a_leader_that_redis_does_not_answer_for_a_lease_gives_it_back_and_does_not_stand() -> None:
    """Another may reach Redis. Nobody who cannot takes it in turn."""
    one = leader()
    one.redis_age_s = 15
    assert isinstance(one.say(Due(), after_s=2), Write)
    one.stored()
    assert one.leads
    one.redis_age_s = 15.1
    action = one.say(Due(), after_s=2)
    assert isinstance(action, Write)
    assert (action.record.holder, one.leads) == ("", False)
    one.stored()
    one.say(Due(), after_s=3)
    free = LeaseRecord(holder="", duration_s=1, version="9")
    assert isinstance(one.say(Found(record=free)), Rest)
    assert isinstance(one.say(Missing()), Rest)
    one.redis_age_s = 1
    one.say(Due(), after_s=3)
    assert isinstance(one.say(Found(record=free)), Write)


def test_a_lease_that_could_not_be_given_back_is_given_back_later() -> None:
    """Else it stands in the way of the others for as long as nothing else happens."""
    one = leader()
    one.redis_age_s = 20
    one.say(Due(), after_s=2)
    assert isinstance(one.say(Failed()), Rest)
    one.say(Due(), after_s=3)
    action = one.say(Found(record=LeaseRecord(holder=ME, duration_s=15, version="8")))
    assert isinstance(action, Write)
    assert action.record.holder == ""


def test_a_candidate_stands_only_while_redis_answers() -> None:
    """A leader without Redis is none."""
    one = Candidate()
    one.redis_age_s = float("inf")
    one.say(Due())
    assert isinstance(one.say(Missing()), Rest)
    one.redis_age_s = 5.1
    assert isinstance(one.say(Missing()), Rest)
    one.redis_age_s = 5
    assert isinstance(one.say(Missing()), Write)


def test_who_was_refused_by_a_higher_fence_stands_back_for_a_lease() -> None:
    """Two that do not see the same Lease must not depose each other every second."""
    one = leader()
    action = one.say(Resigned(), after_s=1)
    assert isinstance(action, Write)
    assert (action.record.holder, one.leads) == ("", False)
    one.stored()
    free = LeaseRecord(holder="", duration_s=1, version="9")
    assert isinstance(one.say(Found(record=free), after_s=14.9), Rest)
    assert isinstance(one.say(Found(record=free), after_s=0.2), Write)


def test_a_standby_that_resigns_writes_nothing() -> None:
    """It lost the Lease already; a late refusal tells nothing new."""
    one = Candidate()
    one.say(Found(record=HELD))
    assert isinstance(one.say(Resigned()), Rest)


@pytest.mark.parametrize("lease_s", [3, 15, 60, 3600])
def test_every_pace_leaves_room_between_the_last_write_and_the_next_leader(lease_s: int) -> None:
    """client-go's ratios, whatever the lease: five renewals may fail, two requests may hang."""
    pace = Pace(lease_s=lease_s)
    assert pace.renew_deadline_s == pytest.approx(lease_s * 10 / 15)
    assert pace.retry_s == pytest.approx(lease_s * 2 / 15)
    assert pace.retry_s * 1.2 < pace.renew_deadline_s < lease_s
    assert 2 * pace.request_s <= pace.renew_deadline_s
