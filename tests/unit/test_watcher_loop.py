"""The watcher's loop, turn by turn: loading, leading, outages, lives of Redis, the end."""

from __future__ import annotations

import pytest
import structlog

from common.model.errors import DefectError, StaleFenceError
from tests import builders as b
from tests.watcher_stage import RESOURCES, Stage, rest
from watcher.stream.change import Change, Op

WEB = b.key("ReplicaSet", "web")


def _web(*modifiers: b.Modifier) -> Change:
    return b.upsert(b.replica_set("web", *modifiers), kind="ReplicaSet")


def test_nothing_is_sent_before_everything_is_loaded() -> None:
    """Half a cluster would look like a cluster of which half was deleted."""
    stage = Stage()
    seen: list[tuple[int, bool]] = []

    def look() -> None:
        seen.append((stage.tables.calls, stage.watcher.ready))

    stage.run(
        stage.put(_web()),
        rest,
        stage.put(Change(resource="replicasets", op=Op.SYNCED)),
        rest,
        look,
        stage.put(Change(resource="pods", op=Op.SYNCED)),
        *[rest] * 8,
        look,
    )
    assert seen[0] == (0, False)
    assert seen[1][1]
    assert stage.watcher.missing == frozenset()
    assert WEB in stage.tables.waiting


def test_changes_are_sent_with_the_fence_that_was_taken() -> None:
    """Trap 24. Without an election a higher fence ends the watcher at its next write."""
    stage = Stage()
    stage.seat.is_shared = False

    def depose() -> None:
        stage.tables.take()
        stage.inbox.put(_web())

    with pytest.raises(StaleFenceError):
        stage.run(stage.synced(), *[rest] * 5, depose, rest, rest)
    assert WEB not in stage.tables.stored


def test_a_change_is_not_lost_when_redis_is_away_while_it_comes() -> None:
    """Trap 1. Neither an outage at the start nor one in the middle loses anything."""
    stage = Stage()
    stage.run(
        stage.synced(),
        stage.tables.go_away,
        *[rest] * 3,
        stage.put(_web()),
        stage.tables.come_back,
        *[rest] * 3,
        stage.tables.go_away,
        stage.put(_web(b.container("app", "app:2"))),
        rest,
        stage.tables.come_back,
        stage.later(10),
        *[rest] * 3,
    )
    assert stage.tables.workload(WEB).containers[0].image == "app:2"


@pytest.mark.parametrize("flushed", [True, False])
def test_another_life_of_redis_is_swept(*, flushed: bool) -> None:
    """Trap 1 and 32. What was sent before may be lost; the sweep derives it again."""
    stage = Stage()

    def lose() -> None:
        stage.tables.work()
        if flushed:
            stage.tables.flush()
        else:
            stage.tables.waiting.clear()
            stage.tables.settled_rows.clear()
            stage.tables.life = "life-2"

    stage.run(
        stage.put(_web()),
        stage.synced(),
        *[rest] * 6,
        lose,
        *[step for _ in range(5) for step in (stage.later(2), rest, rest)],
        *[rest] * 4,
    )
    assert stage.kinds().count("swept") == 2
    assert WEB in stage.tables.waiting
    assert stage.tables.epoch == 1


def test_a_sweep_that_is_asked_for_is_done() -> None:
    """`sluice` asks, waits for its number and shows the outcome."""
    stage = Stage()

    def ask() -> None:
        stage.tables.requested = 3

    stage.run(stage.synced(), *[rest] * 5, ask, stage.later(2), *[rest] * 4)
    assert stage.tables.swept == 3


def test_relists_and_undecodable_objects_become_facts() -> None:
    """Trap 23. Counted, told, and the stream goes on with the next change."""
    stage = Stage()
    stage.run(
        stage.synced(),
        *[rest] * 5,
        stage.put(
            Change(resource="replicasets", op=Op.UNDECODABLE, key="shop/web"),
            Change(resource="pods", op=Op.RELISTED),
            b.upsert(b.pod("tool")),
        ),
        rest,
        stage.later(2),
        rest,
    )
    told = [(fact.kind, fact.key) for fact in stage.tables.facts]
    assert ("undecodable", str(WEB)) in told
    assert ("relisted", "") in told
    assert b.key("Pod", "tool") in stage.tables.stored


def test_an_informer_that_died_ends_the_watcher() -> None:
    """A watcher that is deaf in one ear must not look healthy."""
    stage = Stage()

    def die() -> None:
        stage.alive = False

    with pytest.raises(DefectError):
        stage.run(stage.synced(), *[rest] * 4, die, stage.later(2), rest)


def test_an_informer_that_dies_while_everything_is_loaded_ends_the_watcher() -> None:
    """Otherwise it would load for ever."""
    stage = Stage()
    stage.alive = False
    with pytest.raises(DefectError):
        stage.run(rest, rest)


def test_a_stop_while_loading_ends_without_a_write() -> None:
    """Ctrl-C in the first second."""
    stage = Stage()
    stage.run(stage.put(_web()), rest)
    assert stage.tables.calls == 0
    assert not stage.watcher.ready
    assert stage.watcher.missing == set(RESOURCES)


def test_changes_that_were_taken_are_sent_in_the_same_turn() -> None:
    """A stop between taking and sending would leave them to the next watcher's first sweep."""
    stage = Stage()
    stage.run(stage.synced(), *[rest] * 5, stage.put(_web()))
    assert WEB in stage.tables.stored


def test_counters_tell_what_became_of_changes() -> None:
    """Events in, keys passed, keys sent."""
    stage = Stage()
    stage.run(stage.synced(), *[rest] * 5, stage.put(_web(), _web(b.noise(3))), rest)
    value = stage.registry.get_sample_value
    assert value("sluice_watcher_keys_passed_total") == 1
    assert value("sluice_watcher_keys_sent_total", {"result": "new"}) == 1
    assert value("sluice_watcher_sweeps_total", {"result": "done"}) == 1


def test_loading_that_takes_long_says_what_is_missing() -> None:
    """A resource that we may not list is otherwise a watcher that does nothing, silently."""
    stage = Stage()
    with structlog.testing.capture_logs() as lines:
        stage.run(rest, stage.later(20), rest, stage.later(5), rest)
    told = [line for line in lines if line["event"] == "still loading"]
    assert [line["missing"] for line in told] == [sorted(RESOURCES)]


def test_the_loop_tells_how_long_it_is_silent_and_what_waits() -> None:
    """`/healthz` and a gauge are made of it."""
    stage = Stage()
    assert stage.watcher.silent_s == 0
    stage.now_s = 61.0
    assert stage.watcher.silent_s == 61
    stage.run(
        stage.synced(), *[rest] * 5, stage.tables.go_away, stage.put(_web()), stage.later(2), rest
    )
    assert stage.watcher.pending == 1
    assert stage.watcher.silent_s == 0


def test_objects_that_cannot_be_read_leave_a_line_a_minute() -> None:
    """A key queued and no row, and nothing said why; a thousand of them must not fill the log."""
    stage = Stage()

    def odd(name: str) -> Change:
        return Change(resource="replicasets", op=Op.UNDECODABLE, key=f"shop/{name}")

    with structlog.testing.capture_logs() as lines:
        stage.run(
            stage.synced(),
            stage.put(odd("a"), odd("b"), odd("c")),
            *[rest] * 3,
            stage.later(61),
            stage.put(odd("d")),
            *[rest] * 3,
        )
    told = [line for line in lines if line["event"] == "an object cannot be read"]
    assert [(line["name"], line["others_before"]) for line in told] == [
        ("shop/a", 0),
        ("shop/d", 2),
    ]


def test_only_a_watcher_that_leads_leaves_signs_of_life() -> None:
    """One that hangs, is stopped, or stands by must be told from one that leads and is idle."""
    stage = Stage()
    stage.run(stage.synced(), *[rest] * 5, stage.later(2), rest)
    signs = stage.tables.signs
    assert signs > 0
    stage.run(stage.seat.lose, *[stage.later(2), rest] * 3)
    assert stage.tables.signs == signs
