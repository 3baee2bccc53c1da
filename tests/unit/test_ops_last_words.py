"""What is told of a child that ended: its last line, which names the cause and the remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ops.process import ending

LONG = "x" * 300


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], ""),
        (["", "  "], ""),
        (["one", "two"], "one two"),
        (["one", "two", ""], "one two"),
        ([LONG, "set SLUICE_REDIS_URL"], "set SLUICE_REDIS_URL"),
        (["before", LONG, "set X"], "set X"),  # no gap in what is told
        (["a  b\tc"], "a b c"),
    ],
)
def test_the_last_line_is_told_before_those_above_it(lines: list[str], told: str) -> None:
    """Three lines of log cut off the sentence with the remedy that came after them."""
    assert ending(lines) == told


def test_of_a_last_line_that_is_too_long_the_end_is_told() -> None:
    """Our messages end with what to do."""
    told = ending([f"{LONG}; set SLUICE_REDIS_URL"])
    assert told.endswith("; set SLUICE_REDIS_URL")
    assert told.startswith("…x")
    assert len(told) == 256


@given(st.lists(st.text(max_size=400), max_size=4))
def test_it_is_one_line_that_fits_and_ends_as_the_output_did(lines: list[str]) -> None:
    """Foreign text is as long as its writer likes."""
    told = ending(lines)
    assert len(told) <= 256
    assert told == " ".join(told.split()) or told.startswith("…")
    words = " ".join(" ".join(lines).split())
    assert words.endswith(told.removeprefix("…"))
