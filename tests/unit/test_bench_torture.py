"""The torture's oracle, and its table of mutants: what it would say, without any process."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.bench import torture_mutants, torture_oracle
from tests.bench.torture import count_rows, fault_rows, mutants_row
from tests.bench.torture_diary import Diary, Event, Kind, pulse
from tests.bench.torture_ground import ROOT
from tests.bench.torture_mutants import MUTANTS, SAID, Mutant
from tests.bench.torture_oracle import Stored
from tests.bench.torture_play import PLAYS
from tests.bench.torture_scene import Findings
from tests.bench.torture_tree import patch

LEASE_S = 1.0


def told(*lines: tuple[float, Kind, int, int], settled: bool = True) -> list[Event]:
    """Return events of the key `k`: time, kind, process and token; runs see version 1."""
    return [
        Event(kind=kind, at=at, pid=pid, key="k", token=token, version=1, settled=settled)
        for at, kind, pid, token in lines
    ]


def whole(
    begin: float, end: float, pid: int, token: int, verdict: Kind = "accepted"
) -> list[Event]:
    """Return a run from claim to verdict."""
    return told(
        (begin, "claimed", pid, token),
        (begin, "began", pid, token),
        (end, "ended", pid, token),
        (end, "completing", pid, token),
        (end + 0.01, verdict, pid, token),
    )


def excuse(pid: int, at: float, until: float, *, lost_log: bool = False) -> Event:
    return Event(kind="excuse", at=at, pid=pid, until=until, lost_log=lost_log)


def doubled(*events: Event) -> list[str]:
    return torture_oracle.doubled(sorted(events, key=lambda one: one.at), lease_s=LEASE_S)


# --- doubled


def test_runs_one_after_the_other_are_well() -> None:
    assert doubled(*whole(0, 1, 7, 1), *whole(1.1, 2, 8, 2)) == []


def test_runs_at_the_same_time_are_not() -> None:
    """Whoever is refused: the second one must not have begun."""
    (found,) = doubled(*whole(0, 3, 7, 1, "refused"), *whole(1, 2, 8, 2))
    assert "at the same time" in found


def test_a_worker_that_could_not_renew_excuses_the_run_that_it_was_in() -> None:
    """It was stopped for longer than the lease, and its completion was refused."""
    events = [*whole(0, 3, 7, 1, "refused"), *whole(1.5, 2, 8, 2)]
    assert doubled(*events, excuse(7, 0.1, 2.5)) == []
    assert doubled(*events, excuse(0, 0.1, 2.5)) == []
    assert doubled(*events, excuse(8, 0.1, 2.5)), "another one's sleep is none"
    assert doubled(*events, excuse(7, 0.1, 0.4)), "a nap is none"
    assert doubled(*events, excuse(7, 1.6, 4.0)), "a sleep after the second began is none"


def test_a_worker_that_woke_must_not_begin_what_it_had_claimed() -> None:
    """The excuse is over when it begins, so it must know better."""
    sleeper = told(
        (0, "claimed", 7, 1),
        (2.6, "began", 7, 1),
        (2.8, "ended", 7, 1),
        (2.8, "completing", 7, 1),
        (2.9, "refused", 7, 1),
    )
    assert doubled(*sleeper, *whole(1.5, 3, 8, 2), excuse(7, 0.1, 2.5))


def test_a_completion_after_the_key_was_claimed_by_another_must_be_refused() -> None:
    events = [*whole(0, 3, 7, 1), *whole(1.5, 2, 8, 2), excuse(7, 0.1, 2.5)]
    (found,) = doubled(*events)
    assert "accepted after the second was claimed" in found


def test_a_lost_log_excuses_claims_of_its_last_second_only() -> None:
    """What was claimed before is still on record after the restart."""
    cut = excuse(0, 0.5, 1.2, lost_log=True)
    assert doubled(*whole(0.6, 3, 7, 1, "refused"), *whole(1.5, 2, 8, 2), cut) == []
    assert doubled(*whole(-9, 3, 7, 1, "refused"), *whole(1.5, 2, 8, 2), cut)


def test_a_token_is_given_out_once() -> None:
    """Even a lost log excuses none."""
    cut = excuse(0, 0.5, 1.2, lost_log=True)
    (found,) = doubled(*whole(0.6, 1.4, 7, 1, "refused"), *whole(1.5, 2, 8, 1), cut)
    assert "token 1 was given out twice" in found


def test_a_killed_process_runs_no_longer() -> None:
    begun = told((0, "claimed", 7, 1), (0, "began", 7, 1))
    killed = Event(kind="killed", at=1.0, pid=7)
    assert doubled(*begun, killed, *whole(1.5, 2, 8, 2)) == []
    assert doubled(*begun, *whole(1.5, 2, 8, 2))


# --- lost


def lost(*events: Event, wanted: int = 1) -> list[str]:
    return torture_oracle.lost(events, {"k": wanted})


def test_a_change_is_lost_when_no_run_saw_it() -> None:
    assert lost(*whole(0, 1, 7, 1)) == []
    assert lost(*whole(0, 1, 7, 1), wanted=2) == ["k: version 2 was never seen"]
    assert lost() == ["k: version 1 was never seen"]


@pytest.mark.parametrize(
    ("verdict", "seen"), [("accepted", True), ("unknown", True), ("refused", False)]
)
def test_a_run_whose_end_was_refused_has_seen_nothing(verdict: Kind, *, seen: bool) -> None:
    """The queue will run it again; if it does not, the change is lost."""
    assert (lost(*whole(0, 1, 7, 1, verdict)) == []) is seen


def test_a_run_that_failed_has_seen_nothing() -> None:
    events = told(
        (0, "claimed", 7, 1),
        (0, "began", 7, 1),
        (1, "ended", 7, 1),
        (1, "completing", 7, 1),
        (1.1, "accepted", 7, 1),
        settled=False,
    )
    assert lost(*events)


def test_a_run_that_ended_but_was_never_reported_has_seen_nothing() -> None:
    """A worker that was killed just then; the key runs again."""
    assert lost(*told((0, "claimed", 7, 1), (0, "began", 7, 1), (1, "ended", 7, 1)))


# --- follow-ups, unanswered


def test_runs_are_counted() -> None:
    events = [*whole(0, 1, 7, 1), *whole(2, 3, 7, 2)]
    assert torture_oracle.follow_ups(events, {"k": 2}) == []
    assert torture_oracle.follow_ups(events, {"k": 1}) == ["k: 2 runs instead of 1"]
    assert torture_oracle.follow_ups([], {"k": 1}) == ["k: 0 runs instead of 1"]


def test_an_answer_may_be_on_its_way_into_the_diary() -> None:
    """Redis has ended the claim, its worker has not said so yet."""
    waiting = told((0, "claimed", 7, 1), (1, "completing", 7, 1))
    assert torture_oracle.unanswered(waiting, {7})
    assert not torture_oracle.unanswered(waiting, {8})
    assert not torture_oracle.unanswered([*waiting, *told((2, "refused", 7, 1))], {7})


# --- stale


def state(object_version: str, version: int, epoch: int = 1) -> Stored:
    return Stored(name="k", object_version=object_version, version=version, epoch=epoch)


def test_a_report_never_goes_back() -> None:
    assert torture_oracle.stale([state("1", 1), state("2", 2), state("3", 2)], [], {}) == []
    assert torture_oracle.stale([state("1", 2), state("2", 1)], [], {})
    assert torture_oracle.stale([state("1", 1, 2), state("2", 1, 1)], [], {})


def test_a_stamp_names_the_generation_of_its_writer() -> None:
    """Old content under the new number would stand for ever."""
    wrote = Event(kind="stored", at=0, pid=7, key="k", object_version="5")
    history = [state("5", 1, epoch=2)]
    assert torture_oracle.stale(history, [wrote], {7: frozenset({2, 3})}) == []
    assert torture_oracle.stale(history, [wrote], {7: frozenset({1})})
    assert torture_oracle.stale(history, [wrote], {}) == []


# --- the diary


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    diary = Diary(tmp_path)

    def write() -> None:
        for _ in range(50):
            diary.note("claimed", key="k" * 200)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(diary.events()) == diary.count("claimed") == 200
    diary.close()


def test_a_process_that_stood_still_says_so(tmp_path: Path) -> None:
    """Nobody else need have noticed: a busy machine is excuse enough."""
    diary = Diary(tmp_path)
    with pulse(diary, allowed_s=0.0):
        while not diary.count("excuse"):
            time.sleep(0.01)
    first = diary.events()[0]
    assert first.until > first.at
    diary.close()


# --- the mutants


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_guard_stands_where_its_mutant_takes_it_out(mutant: Mutant) -> None:
    """Who moves a guard moves its mutant: one that patches nothing is one that is missed."""
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.guard) == 1
    assert mutant.guard != mutant.instead
    assert mutant.scene in PLAYS


def test_a_mutant_is_one_replaced_text(tmp_path: Path) -> None:
    mutant = MUTANTS[0]
    file = tmp_path / mutant.file
    file.parent.mkdir(parents=True)
    file.write_text(f"before {mutant.guard} after")
    patch(tmp_path, mutant)
    assert file.read_text() == f"before {mutant.instead} after"
    with pytest.raises(ValueError, match="has its guard 0 x"):
        patch(tmp_path, mutant)


def test_there_are_enough_of_them_and_each_oracle_has_some() -> None:
    """An oracle that never had to speak may be dumb."""
    assert len(MUTANTS) >= 10
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert {mutant.oracle for mutant in MUTANTS} == set(SAID)


def test_the_docs_show_the_table() -> None:
    text = (ROOT / "docs" / "torture.md").read_text(encoding="utf-8")
    assert torture_mutants.table() in text
    assert all(f"`{scene}`" in text for scene in PLAYS)


# --- the rows


def test_faults_of_all_scenes_and_runs_are_summed_up() -> None:
    turns = [
        {"one": Findings(lost=["a"]), "other": Findings(lost=["b"], counts={"runs": 4})},
        {"one": Findings(stale=["c"], counts={"runs": 2})},
    ]
    rows = {row["case"]: row for row in fault_rows(turns)}
    assert (rows["lost"]["ours"], rows["lost"]["spread"]) == (2, [0, 2])
    assert rows["lost"]["beside"] == "a"
    assert rows["stale-writes"]["ours"] == 1
    assert {"lost", "doubled", "stale-writes"} <= rows.keys()
    assert all(row["goal"] == 0 for row in rows.values())
    (counted,) = count_rows(turns)
    assert (counted["case"], counted["ours"], counted["goal"]) == ("runs", 4, None)


def test_missed_mutants_are_named() -> None:
    assert mutants_row([])["ours"] == 0
    assert mutants_row(["no fence"])["beside"] == "no fence"
