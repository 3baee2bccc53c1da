"""The feed: nothing is lost while Redis is away, and nothing is sent twice for nothing."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from common.model.errors import StaleFenceError
from common.model.workload import WorkloadRow
from common.queue.contract import AddResult, Lane
from tests import builders as b
from tests.fakes.watch_tables import FakeTables
from tests.folding import folded
from watcher.decide.affected import Forget, Want, Wish, affected
from watcher.feed import BATCH_KEYS, Feed, merged, retry_delay_s
from watcher.fold.cluster import Cluster
from watcher.stream.change import Change

WEB = b.key("ReplicaSet", "web")


class _Tally:
    def __init__(self) -> None:
        self.passed_keys = self.sent_keys = self.suppressed_keys = 0

    def passed(self, keys: int) -> None:
        self.passed_keys += keys

    def sent(self, result: AddResult) -> None:
        self.sent_keys += result.new + result.duplicate

    def suppressed(self, keys: int) -> None:
        self.suppressed_keys += keys


class _Stage:
    """A fold, the tables and a feed between them."""

    def __init__(self, *changes: Change) -> None:
        self.cluster: Cluster = folded()
        self.tables = FakeTables(fence=1)
        self.tally = _Tally()
        self.feed = Feed(self.tables, self.cluster, self.tally, fence=1)
        self.now_s = 0.0
        self.apply(changes)

    def apply(self, changes: Iterable[Change]) -> None:
        facts = self.cluster.apply(changes)
        self.feed.wish(affected(facts, self.cluster, epoch=1))

    def flush(self, *, later_s: float = 0.0) -> bool:
        self.now_s += later_s
        return self.feed.flush(now_s=self.now_s, draw=0.5)

    def sent(self) -> list[tuple[str, str]]:
        return [(add.key.shown, add.cause) for add in self.tables.adds]


def _web(*modifiers: b.Modifier) -> Change:
    return b.upsert(b.replica_set("web", *modifiers), kind="ReplicaSet")


def _image(number: int) -> b.Modifier:
    return b.container("app", f"app:{number}")


def test_row_and_key_go_in_one_call() -> None:
    """A row without its key would suppress nothing, a key without its row would find nothing."""
    stage = _Stage(_web())
    assert stage.flush()
    (add,) = stage.tables.adds
    assert (add.key, add.lane) == (WEB, Lane.FRESH)
    assert add.row == stage.cluster.row(WEB)
    assert stage.tables.calls == 1


def test_changes_of_one_key_are_one_add_with_the_last_row() -> None:
    """Level-based: the key says what to look at, never what happened."""
    stage = _Stage(_web())
    for number in range(20):
        stage.apply([_web(_image(number))])
    stage.flush()
    (add,) = stage.tables.adds
    assert isinstance(add.row, WorkloadRow)
    assert add.row.containers[0].image == "app:19"


def test_no_change_is_lost_while_redis_is_away() -> None:
    """Trap 1. Wishes wait, one per workload however often it changes, and go out afterwards."""
    stage = _Stage()
    stage.tables.go_away()
    for number in range(50):
        name = f"web-{number % 5}"
        stage.apply([b.upsert(b.replica_set(name, _image(number)), kind="ReplicaSet")])
        assert not stage.flush(later_s=1.0)
    assert stage.feed.pending == 5
    assert stage.feed.failing
    stage.tables.come_back()
    assert stage.flush(later_s=10.0)
    assert {key.name for key in stage.tables.stored} == {f"web-{n}" for n in range(5)}
    rows = [row for row in stage.tables.stored.values() if isinstance(row, WorkloadRow)]
    assert {row.containers[0].image for row in rows} == {f"app:{n}" for n in range(45, 50)}


def test_a_reply_that_is_lost_sends_the_batch_again() -> None:
    """Nobody knows whether the call happened; adds may be repeated."""
    stage = _Stage(_web())
    stage.tables.lose_reply = True
    assert not stage.flush()
    assert stage.flush(later_s=10.0)
    assert stage.feed.pending == 0
    assert len(stage.tables.adds) == 2


def test_a_row_is_sent_again_where_a_reply_was_lost_although_it_is_that_of_before() -> None:
    """Redis stored the row between, and only we know that it is not true any more."""
    stage = _Stage(_web(_image(1)))
    stage.flush()
    stage.tables.lose_reply = True
    stage.apply([_web(_image(2))])
    assert not stage.flush()
    stage.apply([_web(_image(1))])
    assert stage.flush(later_s=10.0)
    assert stage.tables.workload(WEB).containers[0].image == "app:1"


def test_a_workload_is_back_where_the_reply_to_its_end_was_lost() -> None:
    """The same with a row that Redis deleted."""
    stage = _Stage(_web())
    stage.flush()
    stage.tables.lose_reply = True
    stage.apply([b.delete(b.replica_set("web"), kind="ReplicaSet")])
    assert not stage.flush()
    stage.apply([_web()])
    assert stage.flush(later_s=10.0)
    assert WEB in stage.tables.stored


def test_redis_is_not_asked_again_before_the_wait_is_over() -> None:
    """A thread that tries at every change would do nothing else."""
    stage = _Stage(_web())
    stage.tables.go_away()
    stage.flush()
    calls = stage.tables.calls
    for _ in range(100):
        assert not stage.flush()
    assert stage.tables.calls == calls


def test_a_row_that_was_sent_before_is_not_sent_again() -> None:
    """A change that is undone while nothing is tried asks for nothing."""
    stage = _Stage(_web(_image(1)))
    stage.flush()
    stage.tables.go_away()
    stage.apply([b.upsert(b.replica_set("other"), kind="ReplicaSet")])
    stage.flush()
    stage.apply([_web(_image(2))])
    stage.flush()  # too early after the failure
    stage.apply([_web(_image(1))])
    stage.tables.come_back()
    assert stage.flush(later_s=10.0)
    assert [add.key for add in stage.tables.adds] == [WEB, b.key("ReplicaSet", "other")]
    assert stage.tally.suppressed_keys == 1


def test_another_life_of_redis_makes_what_was_sent_prove_nothing() -> None:
    """Trap 1. Memory may suppress work only as long as the data that it speaks of is there."""
    stage = _Stage(_web(_image(1)))
    stage.flush()
    stage.apply([_web(_image(2))])
    stage.apply([_web(_image(1))])
    stage.feed.forget_memory()
    stage.flush()
    assert len(stage.tables.adds) == 2


def test_a_deleted_report_is_sent_although_the_row_was_sent_before() -> None:
    """The row is the same and the work is not."""
    report = b.report("VulnerabilityReport", "r", b.about("ReplicaSet", "web"), b.stamped())
    stage = _Stage(_web(), b.upsert(report, kind="VulnerabilityReport"))
    stage.flush()
    stage.apply([b.delete(report, kind="VulnerabilityReport")])
    stage.flush()
    assert stage.sent()[-1] == (WEB.shown, "ReportDeleted")


def test_a_workload_that_is_gone_is_forgotten_and_made_again_is_added() -> None:
    """The later fate decides, also when both come in one batch."""
    stage = _Stage(_web())
    stage.flush()
    stage.apply([b.delete(b.replica_set("web"), kind="ReplicaSet")])
    stage.flush()
    assert stage.tables.stored == {}
    assert stage.tables.waiting[WEB].cause == "gone"
    stage.apply([_web(b.with_uid("second"))])
    stage.flush()
    assert stage.tables.workload(WEB).uid == "second"


def test_gone_and_made_again_while_redis_is_away_is_one_add() -> None:
    """A row that lives must never be forgotten."""
    stage = _Stage(_web())
    stage.flush()
    stage.tables.go_away()
    stage.apply([b.delete(b.replica_set("web"), kind="ReplicaSet")])
    stage.flush()
    stage.apply([_web(b.with_uid("second"))])
    stage.tables.come_back()
    stage.flush(later_s=10.0)
    assert stage.tables.workload(WEB).uid == "second"
    assert "gone" not in {add.cause for add in stage.tables.waiting.values()}


def test_an_undecodable_object_is_sent_without_a_row() -> None:
    """Trap 23. The table keeps the row that was readable last."""
    stage = _Stage()
    stage.feed.wish([Want(key=WEB, lane=Lane.FRESH, cause="Undecodable")])
    stage.flush()
    (add,) = stage.tables.adds
    assert add.row is None


def test_a_deposed_watcher_writes_nothing_and_says_so() -> None:
    """Trap 24. Another watcher took a higher fence: this one must end."""
    stage = _Stage(_web())
    stage.tables.take()
    with pytest.raises(StaleFenceError):
        stage.flush()
    assert stage.tables.stored == {}


def test_many_keys_go_in_calls_of_bounded_size() -> None:
    """One call of a script holds Redis up for everybody."""
    names = [f"web-{number}" for number in range(BATCH_KEYS * 2 + 1)]
    stage = _Stage(*(b.upsert(b.replica_set(name), kind="ReplicaSet") for name in names))
    assert stage.flush()
    assert stage.tables.calls == 3
    assert len(stage.tables.stored) == len(names)


@pytest.mark.parametrize(
    ("before", "after", "lane", "cause"),
    [
        ((Lane.BULK, "RowChanged"), (Lane.FRESH, "RowChanged"), Lane.FRESH, "RowChanged"),
        ((Lane.FRESH, "RowChanged"), (Lane.BULK, "RowChanged"), Lane.FRESH, "RowChanged"),
        ((Lane.FRESH, "ReportDeleted"), (Lane.FRESH, "RowChanged"), Lane.FRESH, "ReportDeleted"),
        ((Lane.FRESH, "RowChanged"), (Lane.FRESH, "ReportEdited"), Lane.FRESH, "ReportEdited"),
    ],
)
def test_two_wishes_for_a_key_keep_the_urgent_lane_and_the_stronger_cause(
    before: tuple[Lane, str], after: tuple[Lane, str], lane: Lane, cause: str
) -> None:
    """A deleted report must be made again even if the row turns out to be an old one."""
    made = merged(_want(*before), _want(*after))
    assert made == _want(lane, cause)


def test_a_later_fate_replaces_an_earlier_one() -> None:
    """Forgotten, then made again; made, then forgotten."""
    want, forget = _want(Lane.FRESH, "RowChanged"), Forget(key=WEB)
    assert merged(want, forget) == forget
    assert merged(forget, want) == want
    assert merged(None, want) == want


def _want(lane: Lane, cause: str) -> Wish:
    return Want(key=WEB, lane=lane, cause=cause)


@pytest.mark.parametrize("failures", [1, 2, 7, 10_000])
def test_a_wait_grows_up_to_its_cap_and_never_vanishes(failures: int) -> None:
    """An hour of outage must not overflow, nor stretch the wait beyond what users bear."""
    assert 0.05 <= retry_delay_s(failures, draw=0.0) <= retry_delay_s(failures, draw=0.999) <= 5.0
