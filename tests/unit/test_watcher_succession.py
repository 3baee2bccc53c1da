"""Between two leaders: how far each has read, and that the next one does not know less."""

from __future__ import annotations

import pytest
import structlog

from common.model.errors import SourceUnavailableError
from common.queue.contract import Add
from tests import builders as b
from tests.fakes.watch_tables import FakeTables
from tests.watcher_stage import Stage, rest
from watcher.position import Announced, Position
from watcher.stream.change import Change, Op
from watcher.succession import PATIENCE_S

WEB = b.key("ReplicaSet", "web")
TOOL = b.key("Pod", "tool")
STREAMS = [("pods", ""), ("replicasets", "shop"), ("replicasets", "dev"), ("nodes", "")]


def told(resource: str, key: str, version: int, op: Op = Op.UPSERT) -> Change:
    """Return a change of which only its place and version matter."""
    return Change(resource=resource, op=op, key=key, version=version)


# --- the position


def test_each_stream_has_a_position_of_its_own() -> None:
    """A version of one namespace's stream says nothing about another's."""
    position = Position(STREAMS)
    position.note(
        [
            told("pods", "shop/a", 7),
            told("pods", "dev/b", 9, Op.DELETE),
            told("replicasets", "shop/web", 4),
            told("nodes", "n1", 3),
        ]
    )
    assert position.newest == {"pods": 9, "replicasets/shop": 4, "nodes": 3}
    assert position.lacking({"pods": 9, "replicasets/shop": 5, "replicasets/dev": 1}) == [
        "replicasets/shop",
        "replicasets/dev",
    ]


def test_a_position_never_goes_back_but_with_a_reading_of_everything() -> None:
    """Events may come twice; an etcd that was restored counts from an older version."""
    position = Position(STREAMS)
    position.note([told("pods", "shop/a", 9), told("pods", "shop/a", 7)])
    assert position.newest == {"pods": 9}
    assert position.lacking({"pods": 9}) == []
    position.note([told("pods", "", 5, Op.RELISTED)])
    assert position.newest == {}
    assert position.lacking({"pods": 5}) == []
    assert position.lacking({"pods": 6}) == ["pods"]
    position.note([told("pods", "shop/a", 6)])
    assert position.take_news() == {"pods": 6}


def test_the_end_of_a_reading_is_a_position_though_nothing_was_read() -> None:
    """The last thing that happened there may have been a deletion."""
    position = Position(STREAMS)
    position.note([told("replicasets", "dev", 20, Op.SYNCED)])
    assert position.lacking({"replicasets/dev": 20}) == []


def test_the_end_of_a_reading_is_asked_of_nobody() -> None:
    """It is the whole server's version; a stream where nothing happens never reaches it.

    Seen: the second term of a watcher that had read jobs a moment before its follower waited 60 s.
    """
    position = Position(STREAMS)
    position.note([told("replicasets", "dev", 20, Op.SYNCED)])
    assert position.newest == {}
    assert position.take_news() == {}


def test_streams_that_are_not_followed_are_not_waited_for() -> None:
    """The leader before had other settings."""
    position = Position(STREAMS)
    assert position.lacking({"jobs": 5, "replicasets": 5, "replicasets/test": 5}) == []


def test_a_version_that_is_no_number_is_not_known() -> None:
    """Kubernetes promised numbers as late as 1.35."""
    position = Position(STREAMS)
    position.note([told("pods", "shop/a", 0)])
    assert position.newest == {}


# --- what is announced


def test_what_was_read_is_told_before_a_row_is_written() -> None:
    """In the other order a crash leaves a row of which the next leader knows nothing."""
    tables, position = FakeTables(), Position(STREAMS)
    position.note([told("pods", "shop/a", 7)])
    tables.seen = {"jobs": 3}
    queue = Announced(tables, tables, position, fence=0)
    assert tables.seen == {"pods": 7}, "all of it, and nothing of before"
    position.note([told("pods", "shop/a", 8)])
    tables.lose_reply = True
    with pytest.raises(SourceUnavailableError):
        queue.add([Add(key=WEB)], fence=0)  # it dies here, as far as it can tell
    assert (WEB in tables.waiting, tables.seen) == (True, {"pods": 8})


def test_what_redis_did_not_take_is_told_with_the_next_row() -> None:
    """The rows wait for Redis too."""
    tables, position = FakeTables(), Position(STREAMS)
    queue = Announced(tables, tables, position, fence=0)
    position.note([told("pods", "shop/a", 8)])
    tables.go_away()
    with pytest.raises(SourceUnavailableError):
        queue.add([Add(key=WEB)], fence=0)
    tables.come_back()
    position.note([told("nodes", "n1", 3)])
    queue.add([Add(key=WEB)], fence=0)
    assert tables.seen == {"pods": 8, "nodes": 3}


# --- the watcher


def _pod_at(version: int) -> Change:
    return b.upsert(b.pod("tool", b.versioned(version)))


def _behind() -> Stage:
    """Return a standby whose leader has read the Pods up to version 50, and written one's row."""
    stage = Stage()
    stage.seat.lose()
    stage.tables.publish("d", fence=0)
    other = Stage()
    other.cluster.load([_pod_at(50)])
    other.cluster.settle()
    stage.tables.add([Add(key=TOOL, row=other.cluster.row(TOOL))], fence=0)
    stage.tables.work()
    stage.tables.adds.clear()
    stage.tables.seen = {"pods": 50}
    return stage


def test_a_fold_that_lags_behind_the_leader_before_is_waited_for() -> None:
    """Trap 24. Its sweep would bury a Pod that lives, and its row with it."""
    stage = _behind()
    seen: list[tuple[int, bool]] = []
    told: list[tuple[str, ...]] = []

    def look() -> None:
        seen.append((stage.tables.fence, stage.watcher.leads))
        told.append(stage.watcher.behind)

    stage.run(
        stage.synced(),
        rest,
        stage.seat.win,
        *[rest] * 4,
        look,
        stage.put(_pod_at(50)),
        *[rest] * 6,
        look,
    )
    assert seen == [(1, False), (1, True)], "the fence comes first: what the other wrote is final"
    assert told == [("pods",), ()], "its probe says what it waits for"
    assert TOOL in stage.tables.stored
    assert stage.tables.waiting == {}, "it was done already"


def test_a_version_that_never_comes_is_not_waited_for_for_ever() -> None:
    """An etcd that was restored counts anew."""
    stage = _behind()
    with structlog.testing.capture_logs() as lines:
        stage.run(
            stage.synced(),
            rest,
            stage.seat.win,
            *[rest] * 4,
            stage.later(PATIENCE_S + 1),
            *[rest] * 4,
        )
    assert stage.watcher.leads
    assert [line["streams"] for line in lines if "although" in line["event"]] == [["pods"]]


def test_a_term_that_ends_while_its_leader_waits_writes_nothing() -> None:
    """The next term takes a fence of its own."""
    stage = _behind()
    stage.run(
        stage.synced(),
        rest,
        stage.seat.win,
        *[rest] * 3,
        stage.seat.lose,
        *[rest] * 2,
        lambda: stage.seat.win(3),
        *[rest] * 3,
    )
    assert stage.tables.fence == 2
    assert not stage.watcher.leads
    assert stage.tables.adds == []


def test_a_leader_tells_how_far_it_has_read() -> None:
    """With every batch that has consequences, and no other: noise costs no call."""
    stage = Stage()
    seen: list[dict[str, int]] = []

    def look() -> None:
        seen.append(dict(stage.tables.seen))

    stage.run(
        stage.synced(),
        *[rest] * 5,
        stage.put(_pod_at(7)),
        rest,
        look,
        stage.put(b.upsert(b.pod("tool", b.versioned(8), b.noise(1)))),
        *[rest] * 2,
        look,
    )
    assert seen == [{"pods": 7}, {"pods": 7}]


def test_a_stamp_beyond_its_bound_does_not_raise_the_epoch() -> None:
    """One stamp of 2 ** 53, which anybody may write, and no change of settings could be told."""
    stage = Stage()
    kind, about = "VulnerabilityReport", b.about("ReplicaSet", "web")
    reports = [
        b.upsert(b.report(kind, f"r{epoch}", about, b.stamped(epoch=epoch)), kind=kind)
        for epoch in (7, 2**40 + 1)
    ]
    stage.run(stage.put(*reports), stage.synced(), *[rest] * 3)
    assert stage.tables.epoch == 7
