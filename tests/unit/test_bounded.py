"""Numbers in text from outside: a number within bounds, or none, and never an error."""

from __future__ import annotations

from datetime import datetime

import pytest

from common.model.bounded import whole_number
from common.reports.duration import parse_go_duration
from common.state.readable import count_of
from watcher.fold.read import seconds


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), (str(2**63 - 1), 2**63 - 1), (str(2**63), None), ("9" * 5000, None)]
    + [(text, None) for text in ("", "-1", "+1", " 1", "1_0", "1.0", "1e3", "²", "٣", "x")],
)
def test_a_number_is_read_within_63_bits(text: str, number: int | None) -> None:
    """`int` raises for 5,000 digits, and msgpack for what it made of 20."""
    assert whole_number(text) == number


def test_a_bound_may_be_lower() -> None:
    """An epoch's is."""
    assert (whole_number("8", at_most=8), whole_number("9", at_most=8)) == (8, None)


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"x", b"9" * 5000])
def test_a_count_that_is_none_is_0(value: bytes | None) -> None:
    """In Redis anybody may have written it."""
    assert count_of(value) == 0


@pytest.mark.parametrize("text", ["9" * 5000 + "s", "1." + "9" * 5000 + "s"])
def test_a_lifetime_of_too_many_digits_is_none(text: str) -> None:
    """The annotation is anybody's; the worker that reads it must not fail for it."""
    assert parse_go_duration(text) is None


def test_a_time_at_the_end_of_the_calendar_is_none() -> None:
    """Without a zone it is local, and year 1 or 9999 may lie outside of what the platform knows."""
    assert seconds(datetime(1, 1, 1)) <= 0  # noqa: DTZ001 - what a body without a zone gives
