"""The watcher in an election: it stands by, leads, is deposed, and leads again."""

from __future__ import annotations

import pytest
import structlog

from common.model.errors import DefectError
from common.queue.contract import Add
from tests import builders as b
from tests.watcher_stage import Stage, rest
from watcher.inbox import BATCH_CHANGES
from watcher.stream.change import Change, Op

WEB = b.key("ReplicaSet", "web")


def _web(*modifiers: b.Modifier) -> Change:
    return b.upsert(b.replica_set("web", *modifiers), kind="ReplicaSet")


def _standing_by() -> Stage:
    stage = Stage()
    stage.seat.lose()
    return stage


def test_a_standby_folds_and_writes_nothing() -> None:
    """It is warm: when it wins there is nothing to load, and until then it is silent."""
    stage = _standing_by()
    stage.tables.publish("d", fence=0)
    stage.run(
        stage.synced(),
        rest,
        stage.put(_web(), Change(resource="pods", op=Op.RELISTED)),
        *[stage.later(2)] * 5,
    )
    assert WEB in stage.cluster.prints
    assert (stage.tables.fence, stage.tables.adds, stage.tables.facts) == (0, [], [])
    assert (stage.watcher.ready, stage.watcher.leads) == (True, False)


def test_a_standby_is_ready_once_redis_answers() -> None:
    """A rollout goes on when the new one could lead, and stops when it could not."""
    stage = _standing_by()
    seen: list[bool] = []

    def look() -> None:
        seen.append(stage.watcher.ready)

    stage.run(
        stage.tables.go_away,
        stage.synced(),
        *[stage.later(2)] * 3,
        look,
        stage.tables.come_back,
        *[stage.later(2)] * 2,
        look,
    )
    assert seen == [False, True]


def test_where_nobody_leads_a_standby_is_not_ready() -> None:
    """It is about to lead itself; who asks for its findings before that gets none."""
    stage = _standing_by()
    stage.seat.other = ""
    stage.run(stage.synced(), *[stage.later(2)] * 3)
    assert not stage.watcher.ready


def test_who_wins_takes_a_fence_and_asks_for_what_nobody_did() -> None:
    """Changes that came while it stood by were another's; those that nobody sent are swept up."""
    stage = _standing_by()
    stage.tables.publish("d", fence=0)

    def done_by_the_other() -> None:
        stage.tables.add([Add(key=WEB, row=stage.cluster.row(WEB))], fence=0)
        stage.tables.work()

    stage.run(
        stage.synced(),
        rest,
        stage.put(_web()),
        rest,
        done_by_the_other,
        stage.put(b.upsert(b.pod("tool"))),
        rest,
        stage.seat.win,
        *[rest] * 6,
    )
    assert stage.watcher.leads
    assert stage.tables.fence == 1
    assert [str(add.key) for add in stage.tables.adds] == [str(WEB), str(b.key("Pod", "tool"))]


def test_who_lost_writes_nothing_more_and_keeps_folding() -> None:
    """Trap 24. No request tells it: its own clock, or the Lease as it is now, does."""
    stage = Stage()
    stage.run(
        stage.synced(),
        *[rest] * 5,
        stage.seat.lose,
        stage.put(_web()),
        *[stage.later(2)] * 3,
    )
    assert stage.tables.adds == []
    assert WEB in stage.cluster.prints
    assert not stage.watcher.leads


def test_the_seat_is_asked_after_the_wait_and_before_the_write() -> None:
    """Trap 24. A process that is stopped while it waits must not write when it goes on."""
    stage = Stage()

    def stopped_while_waiting() -> None:
        stage.inbox.before_get = stage.seat.lose
        stage.inbox.put(_web())

    stage.run(stage.synced(), *[rest] * 5, stopped_while_waiting, rest)
    assert stage.tables.adds == []


def test_a_new_term_without_a_gap_is_a_new_fence() -> None:
    """It may have been somebody else's in between, too short for us to see."""
    stage = Stage()
    stage.run(stage.synced(), *[rest] * 5, lambda: stage.seat.win(2), *[rest] * 4)
    assert stage.watcher.leads
    assert stage.tables.fence == 2


def test_a_higher_fence_makes_it_resign_and_stand_by() -> None:
    """Trap 24. It does not end, and does not fight: it leads again when it wins again."""
    stage = Stage()

    def depose() -> None:
        stage.tables.take()
        stage.inbox.put(_web())

    stage.run(
        stage.synced(),
        *[rest] * 5,
        depose,
        rest,
        lambda: stage.seat.win(2),
        *[rest] * 6,
    )
    assert stage.seat.resigned == [1]
    assert stage.tables.fence == 3
    assert [add.key for add in stage.tables.adds] == [WEB]


def test_a_fence_taken_between_ours_and_the_epoch_makes_it_resign() -> None:
    """Trap 24. The epoch is a write of the watcher's too."""
    stage = _standing_by()
    take = stage.tables.take

    def overtaken() -> int:
        fence = take()
        take()
        return fence

    stage.tables.take = overtaken  # type: ignore[method-assign] # the one call of this test
    stage.run(stage.synced(), rest, stage.seat.win, *[rest] * 3)
    assert stage.seat.resigned == [2]
    assert (stage.watcher.leads, stage.tables.epoch) == (False, 0)


def test_it_leads_only_when_its_fold_has_caught_up() -> None:
    """A first sweep over an older cluster would ask for what was done already."""
    stage = _standing_by()
    pods = [b.upsert(b.pod(f"tool-{number}")) for number in range(5 * BATCH_CHANGES)]
    fences: list[int] = []

    def look() -> None:
        fences.append(stage.tables.fence)

    stage.run(
        stage.synced(), rest, stage.put(*pods), stage.seat.win, look, rest, look, *[rest] * 2, look
    )
    assert fences == [0, 0, 1]


def test_redis_that_is_away_when_it_wins_is_asked_again() -> None:
    """Meanwhile changes are folded as before."""
    stage = _standing_by()
    stage.run(
        stage.synced(),
        rest,
        stage.tables.go_away,
        stage.seat.win,
        stage.put(_web()),
        *[stage.later(10)] * 3,
        stage.tables.come_back,
        *[stage.later(10)] * 6,
    )
    assert stage.watcher.leads
    assert [add.key for add in stage.tables.adds] == [WEB]


def test_redis_that_is_away_when_it_wins_is_not_asked_in_every_turn() -> None:
    """Many watchers of one Redis must not press it when it comes back."""
    stage = _standing_by()
    calls: list[int] = []

    def look() -> None:
        calls.append(stage.tables.calls)

    stage.run(
        stage.synced(), rest, stage.tables.go_away, stage.seat.win, rest, look, *[rest] * 20, look
    )
    assert calls[1] == calls[0]


@pytest.mark.parametrize("leading", [True, False])
def test_the_seat_hears_of_redis_only_while_it_answers(*, leading: bool) -> None:
    """A leader that cannot reach Redis gives the Lease back; a candidate does not stand."""
    stage = Stage() if leading else _standing_by()
    heard: list[int] = []

    def look() -> None:
        heard.append(len(stage.seat.reached))

    stage.run(
        stage.synced(),
        *[stage.later(2)] * 5,
        look,
        stage.tables.go_away,
        *[stage.later(2)] * 5,
        look,
        stage.tables.come_back,
        *[stage.later(2)] * 3,
        look,
    )
    assert heard[0] > 0
    assert heard[1] == heard[0]
    assert heard[2] > heard[1]


def test_a_candidate_that_died_ends_the_watcher() -> None:
    """It would stand by for ever and look healthy."""
    stage = Stage()
    stage.seat.alive = False
    with pytest.raises(DefectError, match="candidate"):
        stage.run(rest, rest)


def test_findings_are_served_until_another_leads() -> None:
    """An outage of Redis or API server deposes the leader; dashboards must not go blank for it."""
    stage = _standing_by()
    seen: list[bool] = []

    def look() -> None:
        seen.append(stage.watcher.led_last)

    stage.run(
        stage.synced(),
        *[stage.later(2)] * 2,
        look,  # never led
        stage.seat.win,
        *[stage.later(2)] * 2,
        look,  # leads
        lambda: stage.seat.lose(""),
        *[stage.later(2)] * 2,
        look,  # nobody followed
        stage.seat.lose,
        *[stage.later(2)] * 2,
        look,  # somebody did
    )
    assert seen == [False, True, True, False]


def test_a_leader_that_works_with_another_redis_is_told() -> None:
    """Its standby would wait for ever, and its workers with it."""
    stage = _standing_by()
    seen: list[str] = []

    def look() -> None:
        seen.append(stage.watcher.fault)

    with structlog.testing.capture_logs() as lines:
        stage.run(
            stage.synced(),
            *[stage.later(20)] * 3,
            look,
            *[stage.later(20)] * 3,
            look,
            lambda: setattr(stage.tables, "epoch", 1),
            stage.later(2),
            rest,
            look,
        )
    assert seen == ["", "other leads, and keeps no tables in this Redis", ""]
    assert [line["leader"] for line in lines if "another redis" in line["event"]] == ["other"]
