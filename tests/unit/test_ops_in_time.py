"""Reads that are waited for only so long: values, failures, and one that hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from common.model.errors import SourceUnavailableError
from common.ops.in_time import InTime
from tests.waiting import PATIENCE_S, eventually


def in_time(read: Callable[[], int], limit_s: float = PATIENCE_S) -> InTime[int]:
    """Return what reads numbers."""
    return InTime(read, limit_s=limit_s, name="test")


def test_every_question_reads_anew() -> None:
    """A scrape must not show the numbers of the one before."""
    numbers = iter(range(9))
    reads = in_time(lambda: next(numbers))
    assert [reads.get(), reads.get(), reads.get()] == [0, 1, 2]


def test_a_read_that_hangs_holds_nobody_up_and_is_not_begun_twice() -> None:
    """A stopped Redis must not collect a thread and a connection with every scrape."""
    begun, over = threading.Semaphore(0), threading.Event()

    def hang() -> int:
        begun.release()
        over.wait(PATIENCE_S)
        return 7

    reads = in_time(hang, limit_s=0.001)
    try:
        assert [reads.get() for _ in range(5)] == [None] * 5
        assert begun.acquire(timeout=PATIENCE_S)
        assert not begun.acquire(blocking=False)
    finally:
        over.set()
    assert eventually(lambda: reads.get() == 7), "the next ones are answered again"


def test_who_asks_meanwhile_gets_the_same_answer() -> None:
    """Two Prometheus servers scrape at the same second."""
    over, found, turns = threading.Event(), list[int | None](), list[int]()

    def slow() -> int:
        turns.append(1)
        over.wait(PATIENCE_S)
        return 7

    reads = in_time(slow)
    askers = [threading.Thread(target=lambda: found.append(reads.get())) for _ in range(3)]
    for asker in askers:
        asker.start()
    assert eventually(lambda: turns)
    over.set()
    for asker in askers:
        asker.join(PATIENCE_S)
    assert found == [7, 7, 7]


def test_a_source_that_is_away_is_an_answer_too() -> None:
    """None, at once, and no line in the log: whoever works with Redis says so already."""

    def fail() -> int:
        raise SourceUnavailableError("Redis does not answer")

    with structlog.testing.capture_logs() as lines:
        assert in_time(fail).get() is None
    assert [line["log_level"] for line in lines] == ["debug"]


def test_what_must_not_happen_is_told_once_and_breaks_nothing() -> None:
    """A row of a newer version: the page stays, and the log is not flooded by scrapes."""
    results: list[int | None] = [None, None, 4, None]

    def odd() -> int:
        result = results.pop(0)
        if result is None:
            raise ValueError("what is this")
        return result

    reads = in_time(odd)
    with structlog.testing.capture_logs() as lines:
        assert [reads.get() for _ in range(4)] == [None, None, 4, None]
    assert [line["event"] for line in lines] == ["cannot be read", "cannot be read"]
