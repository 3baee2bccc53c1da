"""The matcher's duties beside its server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from common.model.errors import RateLimitedError, SourceUnavailableError
from common.model.key import ImageKey
from common.queue.contract import Add, AddResult, Lane
from common.state.database import DatabaseRow, FailedLook
from worker.match_pool import Publisher, Requeue, follow_requests


def _nothing() -> None:
    """Lose no layers."""


@dataclass
class FakeTable:
    """The database row; Redis can be away."""

    rows: list[DatabaseRow] = field(default_factory=list)
    away: bool = False
    trusted: str = ""
    failed: FailedLook | None = None

    def begin(self, version: str, *, now_s: float) -> None:
        self.trusted = self.trusted or version

    def current(self) -> DatabaseRow | None:
        if self.away:
            raise SourceUnavailableError("redis away")
        return self.rows[-1] if self.rows else None

    def publish(self, row: DatabaseRow) -> int:
        if self.away:
            raise SourceUnavailableError("redis away")
        self.rows.append(row)
        return 7

    def note_look(self, failed: FailedLook | None) -> None:
        if self.away:
            raise SourceUnavailableError("redis away")
        self.failed = failed


@dataclass
class FakeRequests:
    """Requests for a look; setting `stop` when the last is answered ends the test."""

    stop: threading.Event
    wanted: int = 2
    done: int = 0

    def requested(self) -> int:
        return self.wanted

    def answered(self) -> int:
        return self.done

    def answer(self, number: int) -> None:
        self.done = number
        self.stop.set()


@dataclass
class FakeClock:
    """Redis' time."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def publisher(
    table: FakeTable | None = None, clock: FakeClock | None = None
) -> tuple[Publisher, FakeTable, FakeClock]:
    table, clock = table or FakeTable(), clock or FakeClock()
    return Publisher(table, table, now_s=clock), table, clock


def test_a_look_that_finds_nothing_new_renews_the_time_of_the_look() -> None:
    """`sluice database` tells when somebody looked last."""
    made, table, clock = publisher()
    serve = made.announcements(_nothing).on_database
    serve("v1", "http://m", "0.76.0")
    clock.now += 3600
    serve("v1", "http://m", "0.76.0")
    assert (table.rows[-1].version, table.rows[-1].checked_at) == ("v1", 4600.0)


def test_a_look_that_fails_is_told_until_one_succeeds() -> None:
    """Else users see an old database, days later, and not why; Redis may be away meanwhile."""
    made, table, _ = publisher()
    looked = made.announcements(_nothing).on_look
    looked(RateLimitedError("slow down"))
    assert table.failed == FailedLook(reason="RateLimited", message="slow down", at=1000.0)
    table.away = True
    looked(None)
    table.away = False
    looked(None)
    assert table.failed is None


def test_the_row_is_kept_alive_without_moving_the_time_of_the_look() -> None:
    """Others see by it that the match server in the row still exists."""
    made, table, clock = publisher()
    made.announcements(_nothing).on_database("v1", "http://m", "0.76.0")
    for _ in range(20):
        clock.now += 1
        made.repeat()
    assert len(table.rows) == 5
    assert (table.rows[-1].checked_at, table.rows[-1].alive_at) == (1000.0, 1020.0)


def test_a_dead_matchers_row_is_taken_over() -> None:
    """Two ran on one Redis, and the one in the row was stopped: all scans failed for ever."""
    table, clock = FakeTable(), FakeClock()
    first, _, _ = publisher(table, clock)
    second, _, _ = publisher(table, clock)
    second.announcements(_nothing).on_database("v1", "http://second", "0.76.0")
    first.announcements(_nothing).on_database("v1", "http://first", "0.76.0")
    assert table.rows[-1].server_url == "http://second"
    clock.now += 30
    first.repeat()
    assert table.rows[-1].server_url == "http://first"


def test_two_matchers_do_not_fight_over_the_row() -> None:
    """Each change of version queues every image."""
    table, clock = FakeTable(), FakeClock()
    first, _, _ = publisher(table, clock)
    second, _, _ = publisher(table, clock)
    first.announcements(_nothing).on_database("v1", "http://first", "0.76.0")
    second.announcements(_nothing).on_database("v2", "http://second", "0.76.0")
    for _ in range(60):
        clock.now += 1
        first.repeat()
        second.repeat()
    assert {row.server_url for row in table.rows[1:]} == {"http://second"}


def test_what_redis_did_not_hear_is_told_again() -> None:
    """A database that nobody knows of would leave every report stale."""
    made, table, _ = publisher()
    table.away = True
    made.announcements(_nothing).on_database("v1", "http://m", "0.76.0")
    assert table.rows == []
    table.away = False
    made.repeat()
    made.repeat()
    assert [row.version for row in table.rows] == ["v1"]


def test_a_redis_that_lost_its_data_is_told_again() -> None:
    """Trap 32's other half: without the row every image waits for the next look, in an hour."""
    made, table, _ = publisher()
    made.announcements(_nothing).on_database("v1", "http://m", "0.76.0")
    table.rows.clear()
    made.repeat()
    made.repeat()
    assert [row.version for row in table.rows] == ["v1"]


def test_nothing_is_told_before_there_is_a_database() -> None:
    """An empty announcement would queue every image for nothing."""
    made, table, _ = publisher()
    made.repeat()
    assert table.rows == []


def test_one_look_answers_every_request_before_it() -> None:
    """Ten impatient users cost the registry one request."""
    made, _, _ = publisher()
    stop, looks = threading.Event(), []
    requests = FakeRequests(stop)

    def check_now(timeout_s: float) -> str:
        looks.append(timeout_s)
        return "v1"

    follow_requests(requests, check_now, made, stop)
    assert requests.done == 2
    assert len(looks) == 1


def test_a_look_that_failed_is_answered_too() -> None:
    """Else whoever asked waits for ever, and the matcher looks without pause."""
    made, _, _ = publisher()
    stop = threading.Event()
    requests = FakeRequests(stop)

    def check_now(timeout_s: float) -> str:
        raise SourceUnavailableError("registry away")

    follow_requests(requests, check_now, made, stop)
    assert requests.done == 2


@dataclass
class FakeQueue:
    """What was added; it may refuse once."""

    added: list[Add] = field(default_factory=list)

    def add(self, adds: Sequence[Add]) -> AddResult:
        self.added.extend(adds)
        return AddResult(new=len(adds))


@dataclass
class FakeImages:
    """Many images."""

    number: int

    def keys(self) -> list[ImageKey]:
        return [
            ImageKey(digest=f"sha256:{n:064x}", platform="linux-amd64", options="o")
            for n in range(self.number)
        ]


def test_lost_layers_queue_every_image_in_bulk_and_spread() -> None:
    """Trap 17's way: a thousand images at once would use up a registry's pulls of a day."""
    queue = FakeQueue()
    Requeue(images=FakeImages(1000), queue=queue, over_s=3600, cause="x")()
    delays = sorted(add.delay_s for add in queue.added)
    assert {add.lane for add in queue.added} == {Lane.BULK}
    assert len({add.key for add in queue.added}) == 1000
    assert delays[0] >= 0
    assert delays[-1] < 3600
    for minute in range(0, 3600, 600):  # 167 of each ten minutes, were they perfectly even
        assert 100 < sum(minute <= each < minute + 600 for each in delays) < 250


def test_a_keys_turn_is_the_same_for_all() -> None:
    """Who asks again does not move it."""
    first, second = FakeQueue(), FakeQueue()
    for queue in (first, second):
        Requeue(images=FakeImages(50), queue=queue, over_s=3600, cause="x")()
    assert first.added == second.added
