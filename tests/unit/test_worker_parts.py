"""Values that all keys share are read once a second, and at once while there is none."""

from __future__ import annotations

import pytest

from common.model.errors import SourceUnavailableError
from common.state.epoch import Published
from tests.fakes.clock import FakeClock
from worker.parts import published, recent


class Table:
    """Answers with what it holds, and counts how often it was asked."""

    def __init__(self, value: str | None) -> None:
        self.value = value
        self.reads = 0
        self.fault: Exception | None = None

    def read(self) -> str | None:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return self.value


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_value_is_read_once_a_second(clock: FakeClock) -> None:
    """A round trip a key for what changes a few times a day would cost every run."""
    table = Table("one")
    get = recent(table.read, clock=clock)
    assert table.reads == 0  # nobody asked yet
    assert [get(), get()] == ["one", "one"]
    clock.advance(1.0)
    assert get() == "one"
    assert table.reads == 1


def test_a_value_is_read_again_after_a_second(clock: FakeClock) -> None:
    """A worker that never saw the next epoch would write what a newer one has to rewrite."""
    table = Table("one")
    get = recent(table.read, clock=clock)
    get()
    table.value = "two"
    clock.advance(1.01)
    assert get() == "two"
    clock.advance(0.9)  # the second counts from the second read
    assert get() == "two"
    assert table.reads == 2


def test_a_missing_value_is_looked_for_at_once(clock: FakeClock) -> None:
    """Publishing the first database wakes every image: a kept None would fail them all."""
    table = Table(None)
    get = recent(table.read, clock=clock)
    assert get() is None
    table.value = "db1"
    assert get() == "db1"
    assert get() == "db1"
    assert table.reads == 2


def test_a_value_that_went_away_is_noticed_and_its_return_too(clock: FakeClock) -> None:
    """After a flush of Redis nothing is announced until the matcher does it again."""
    table = Table("db1")
    get = recent(table.read, clock=clock)
    get()
    table.value = None
    clock.advance(2)
    assert get() is None
    table.value = "db1"
    assert get() == "db1"


def test_a_read_that_fails_is_neither_kept_nor_covered_up(clock: FakeClock) -> None:
    """The error decides what becomes of the key; an old value would hide that Redis is away."""
    table = Table("one")
    get = recent(table.read, clock=clock)
    get()
    clock.advance(2)
    table.fault = SourceUnavailableError("no Redis")
    with pytest.raises(SourceUnavailableError):
        get()
    table.fault = None
    assert get() == "one"
    assert table.reads == 3


def test_an_answer_is_as_old_as_its_question(clock: FakeClock) -> None:
    """What took long to read was true when it was asked for, not when it arrived."""
    table = Table("one")

    def slow() -> str | None:
        value = table.read()
        clock.advance(0.8)
        return value

    get = recent(slow, clock=clock)
    get()
    clock.advance(0.3)
    table.value = "two"
    assert get() == "two"


def test_that_no_epoch_is_published_is_not_remembered() -> None:
    """Rows come right behind the first one: a run that settles under 0 would be run again."""
    answers = [Published(0, ""), Published(1, "d"), Published(2, "d")]
    get = published(lambda: answers.pop(0))
    assert [get().number for _ in range(3)] == [0, 1, 1]
