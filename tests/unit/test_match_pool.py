"""The matcher's duties beside its server."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from common.model.errors import SourceUnavailableError
from common.model.facts import Fact
from common.state.database import DatabaseRow
from worker.match_pool import Publisher, follow_requests


@dataclass
class FakeTable:
    """The database row; Redis can be away."""

    rows: list[DatabaseRow] = field(default_factory=list)
    away: bool = False

    def current(self) -> DatabaseRow | None:
        if self.away:
            raise SourceUnavailableError("redis away")
        return self.rows[-1] if self.rows else None

    def publish(self, row: DatabaseRow) -> int:
        if self.away:
            raise SourceUnavailableError("redis away")
        self.rows.append(row)
        return 7


@dataclass
class FakeLedger:
    """Facts."""

    facts: list[Fact] = field(default_factory=list)

    def append(self, facts: list[Fact]) -> None:
        self.facts += facts


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


def publisher() -> tuple[Publisher, FakeTable, FakeLedger]:
    table, ledger = FakeTable(), FakeLedger()
    return Publisher(table, ledger, now_s=lambda: 5.0), table, ledger


def test_a_new_version_is_a_fact_with_the_one_before() -> None:
    """History must tell when which database came."""
    made, table, ledger = publisher()
    serve = made.announcements().on_database
    serve("v1", "http://m", "0.76.0")
    serve("v1", "http://m", "0.76.0")
    serve("v2", "http://m", "0.76.0")
    assert [fact.data["version"] for fact in ledger.facts] == ["v1", "v2"]
    assert ledger.facts[1].data["previous"] == "v1"
    assert table.rows[-1].checked_at == 5.0


def test_what_redis_did_not_hear_is_told_again() -> None:
    """A database that nobody knows of would leave every report stale."""
    made, table, ledger = publisher()
    table.away = True
    made.announcements().on_database("v1", "http://m", "0.76.0")
    assert table.rows == []
    table.away = False
    made.repeat()
    made.repeat()
    assert [row.version for row in table.rows] == ["v1"]
    assert len(ledger.facts) == 1


def test_a_redis_that_lost_its_data_is_told_again() -> None:
    """Trap 32's other half: without the row every image waits for the next look, in an hour."""
    made, table, _ = publisher()
    made.announcements().on_database("v1", "http://m", "0.76.0")
    table.rows.clear()
    made.repeat()
    made.repeat()
    assert [row.version for row in table.rows] == ["v1"]


def test_nothing_is_told_before_there_is_a_database() -> None:
    """An empty announcement would queue every image for nothing."""
    made, table, ledger = publisher()
    made.repeat()
    assert table.rows == []
    assert ledger.facts == []


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
