"""Sweeps over 10,000 workloads that may ask for so many keys a second, in the watcher's loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.key import RowKey, WorkKey
from common.queue.contract import Add, Lane
from tests import builders as b
from tests.fakes.watch_tables import FakeTables
from tests.folding import folded
from tests.watcher_stage import Action, Stage, rest
from watcher.allowance import BURST_KEYS, KEYS_PER_S, Allowance
from watcher.inbox import BATCH_CHANGES
from watcher.stream.change import Change
from watcher.sweeper import SLICE_KEYS, Ports, Sweep

MANY = 10_000
IDLE_S = 0.2  # the loop's wait for changes while a sweep is held


@cache
def _workloads(count: int) -> tuple[Change, ...]:
    return tuple(b.upsert(b.replica_set(f"web-{n}"), kind="ReplicaSet") for n in range(count))


def _turns(stage: Stage, count: int) -> list[Action]:
    """Let so many idle turns of the loop pass."""
    return [stage.later(IDLE_S)] * count


def _load(stage: Stage) -> list[Action]:
    """Load 10,000 workloads, and go on to where the first sweep begins."""
    loading = [stage.put(*_workloads(MANY)), *[rest] * (MANY // BATCH_CHANGES + 1)]
    return [*loading, stage.synced(), rest, rest]


def _bulk(tables: FakeTables) -> list[WorkKey]:
    return [add.key for add in tables.adds if add.lane is Lane.BULK]


# --- the allowance --------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 2_000)), max_size=30))
def test_no_time_lets_more_pass_than_its_seconds_and_one_burst(
    waits: list[tuple[float, int]],
) -> None:
    """In every stretch of time, however long nothing was asked for before it."""
    now_s = 100.0
    allowance, spent = Allowance(now_s=now_s), list[tuple[float, int]]()
    for wait_s, wanted in waits:
        now_s += wait_s
        keys = min(wanted, allowance.left(now_s=now_s))
        allowance.spend(keys)
        spent.append((now_s, keys))
    for at, (begin_s, _) in enumerate(spent):
        total = 0
        for end_s, keys in spent[at:]:
            total += keys
            assert total <= BURST_KEYS + KEYS_PER_S * (end_s - begin_s) + 1


def test_a_clock_that_stands_still_or_goes_back_lets_nothing_more_pass() -> None:
    """Monotonic clocks do not; a wrong one must not open the gates."""
    allowance = Allowance(now_s=100.0)
    allowance.spend(allowance.left(now_s=100.0))
    assert allowance.left(now_s=100.0) == 0
    assert allowance.left(now_s=50.0) == 0


# --- a sweep --------------------------------------------------------------------------------------


class _Measured(FakeTables):
    """Notes the largest call, and how many keys are read."""

    largest = 0
    read_keys = 0

    def fingerprints(self, keys: Sequence[RowKey]) -> dict[RowKey, str]:
        self.largest = max(self.largest, len(keys))
        self.read_keys += len(keys)
        return dict(super().fingerprints(keys))

    def members(self, keys: Sequence[WorkKey]) -> list[bool]:
        self.largest = max(self.largest, len(keys))
        return super().members(keys)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.sets(st.integers(0, 59)),
    st.sets(st.integers(0, 59)),
)
def test_a_capped_sweep_asks_for_what_an_uncapped_one_does(
    allowances: list[int], waiting: set[int], settled: set[int]
) -> None:
    """Whatever each slice may ask for: every key once, and none that waits or is settled."""
    cluster, tables = folded(*_workloads(60)), FakeTables()
    keys = list(cluster.prints)
    for numbers, work in ((settled, True), (waiting - settled, False)):
        adds = [Add(key=keys[n], row=cluster.row(keys[n])) for n in sorted(numbers)]
        tables.add(adds, fence=0)
        if work:
            tables.work()
    tables.adds.clear()
    sweep = Sweep(
        Ports(
            queue=tables,
            rows=tables,
            settled=tables,
            known=cluster,
            references=tables,
            images=tables.images,
        ),
        fence=0,
        epoch=0,
        now_s=0,
    )
    for allowed in [*allowances, *[7] * 60]:
        before = len(tables.adds)
        more = sweep.step(allowed)
        assert len(tables.adds) - before <= allowed
        if not more:
            break
    assert not more
    left = [key for n, key in enumerate(keys) if n not in waiting | settled]
    assert [add.key for add in tables.adds] == left
    assert sweep.tally.workloads == 60


def test_what_exceeds_the_allowance_is_read_once_more_and_not_again_and_again() -> None:
    """A slice of 500 keys, of which one a slice may be asked for, is not 125,000 reads."""
    cluster, tables = folded(*_workloads(60)), _Measured()
    sweep = Sweep(
        Ports(
            queue=tables,
            rows=tables,
            settled=tables,
            known=cluster,
            references=tables,
            images=tables.images,
        ),
        fence=0,
        epoch=0,
        now_s=0,
    )
    while sweep.step(1):
        pass
    assert len(tables.adds) == 60
    assert tables.read_keys <= 2 * 60


# --- the loop -------------------------------------------------------------------------------------


@contextmanager
def _sent_by(stage: Stage) -> Iterator[list[list[Add]]]:
    """Yield what each turn sends, filled while the loop runs."""
    turns: list[list[Add]] = []
    turn, seen = stage.watcher._turn, 0

    def counted() -> int:
        nonlocal seen
        taken = turn()
        turns.append(stage.tables.adds[seen:])
        seen = len(stage.tables.adds)
        return taken

    stage.watcher._turn = counted  # type: ignore[method-assign] # each turn is looked at
    yield turns


def test_a_fresh_event_in_the_middle_of_a_capped_sweep_goes_out_at_once() -> None:
    """In the very turn in which it comes, before the sweep's slice, and in the fresh lane."""
    stage = Stage(tables=_Measured())
    change = b.upsert(b.replica_set("hot", b.container("app", "hot:1")), kind="ReplicaSet")
    with _sent_by(stage) as turns:
        stage.run(*_load(stage), *_turns(stage, 3), stage.put(change), *_turns(stage, 110))
    at, sent = next(
        (at, turn[0]) for at, turn in enumerate(turns) if turn and turn[0].lane is Lane.FRESH
    )
    assert sent.key == b.key("ReplicaSet", "hot")
    assert sum(len(turn) for turn in turns[:at]) < MANY / 2, "the sweep goes on"
    assert len(set(_bulk(stage.tables))) == len(_bulk(stage.tables)) == MANY
    assert stage.kinds().count("swept") == 1
    assert max(len(turn) for turn in turns) <= SLICE_KEYS
    assert isinstance(stage.tables, _Measured)
    assert stage.tables.largest <= SLICE_KEYS
    assert stage.tables.read_keys <= 2 * (MANY + 1), "each key is judged twice at most"


def test_a_held_sweep_neither_spins_nor_asks_redis_anything() -> None:
    """Until there is something worth a call, the loop waits for changes as if nothing went on."""
    stage = Stage()
    calls: list[int] = []

    def look() -> None:
        calls.append(stage.tables.calls)

    stage.run(*_load(stage), *[rest] * 3, look, *[rest] * 50, look)
    assert len(stage.tables.adds) == BURST_KEYS
    assert calls[0] == calls[1]
    assert not stage.watcher._busy


@pytest.mark.parametrize("new_term", [True, False])
def test_the_rate_holds_however_often_a_sweep_is_begun_again(*, new_term: bool) -> None:
    """Redis restarts, or the Lease is lost and won: everything is swept, and nothing is twice."""
    stage = Stage()
    numbers = iter(range(2, 1_000))

    def begin_again() -> None:
        stage.now_s += IDLE_S
        if new_term:
            stage.seat.win(next(numbers))
        else:
            stage.tables.life = f"life-{next(numbers)}"

    began_s: list[float] = []
    stage.run(
        *_load(stage),
        lambda: began_s.append(stage.now_s),
        *[begin_again, *[stage.later(IDLE_S), *[rest] * 12] * 5] * 5,
    )
    seconds = stage.now_s - began_s[0]
    assert len(stage.tables.adds) <= BURST_KEYS + KEYS_PER_S * (seconds + IDLE_S)
    assert len(stage.tables.adds) > KEYS_PER_S * (seconds - 1)
    assert len(set(_bulk(stage.tables))) == len(_bulk(stage.tables))


@pytest.mark.parametrize("worked", [True, False])
def test_the_next_leader_asks_for_what_remains_and_for_nothing_that_was_done(
    *, worked: bool
) -> None:
    """A leader is lost in the middle of a sweep; its allowance and its place in it go with it."""
    first = Stage()
    first.run(*_load(first), *_turns(first, 10), first.seat.lose, *_turns(first, 3))
    asked = set(_bulk(first.tables))
    assert 1_000 < len(asked) < MANY / 2
    if worked:
        first.tables.work()
    first.tables.adds.clear()
    second = Stage(tables=first.tables)
    second.run(*_load(second), *_turns(second, 110))
    again = _bulk(second.tables)
    assert set(again) == set(second.cluster.prints) - asked
    assert len(again) == MANY - len(asked)
    assert second.kinds().count("swept") == 1


def test_other_settings_in_the_middle_of_a_sweep_bring_back_what_was_settled_before() -> None:
    """Trap 26. Capped and in bulk; what still waits runs under the new settings anyhow."""
    first = Stage()
    first.run(*_load(first), *_turns(first, 5))
    settled = set(_bulk(first.tables))
    first.tables.work()
    first.run(*_turns(first, 5))
    waiting = set(first.tables.waiting)
    first.tables.adds.clear()
    second = Stage(tables=first.tables, digest="other settings")
    with _sent_by(second) as turns:
        second.run(*_load(second), *_turns(second, 110))
    assert waiting
    assert settled
    assert set(_bulk(second.tables)) == set(second.cluster.prints) - waiting
    assert len(second.tables.adds) == MANY - len(waiting)
    assert max(len(turn) for turn in turns) <= BURST_KEYS
    causes = {add.key: add.cause for add in second.tables.adds}
    assert {causes[key] for key in settled} == {"EpochChanged"}


def test_a_flush_in_the_middle_of_a_sweep_brings_everything_back() -> None:
    """Trap 32. What was asked for is lost with the rest: the sweep that follows asks for all."""
    stage = Stage()
    before: list[int] = []

    def flush() -> None:
        before.append(len(stage.tables.adds))
        stage.tables.work()
        stage.tables.flush()

    stage.run(*_load(stage), *_turns(stage, 10), flush, *_turns(stage, 110))
    assert 0 < before[0] < MANY / 2
    assert set(stage.tables.waiting) == set(stage.cluster.prints)
    # Between the flush and the look that notices it, a second, the old sweep asks for some.
    asked_after = stage.tables.adds[before[0] :]
    assert len(asked_after) == len({add.key for add in asked_after}) == MANY
    assert {add.lane for add in asked_after} == {Lane.BULK}
