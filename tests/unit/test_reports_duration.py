"""Durations as Go prints and reads them."""

from __future__ import annotations

import pytest

from common.reports.duration import go_duration, parse_go_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (1, "1s"),
        (59.9, "59s"),
        (60, "1m0s"),
        (300, "5m0s"),
        (3600, "1h0m0s"),
        (86_400, "24h0m0s"),
        (432_000, "120h0m0s"),
        (86_399, "23h59m59s"),
        (-5, "0s"),
    ],
)
def test_seconds_are_printed_as_go_prints_them(seconds: float, text: str) -> None:
    """trivy-operator reads this annotation with Go's parser and shows it with Go's printer."""
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86_400),
        ("24h0m0s", 86_400),
        ("1h30m", 5400),
        ("0s", 0),
        ("0", 0),
        ("-0", 0),
        ("+5m", 300),
        ("-5m", -300),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("250ms", 0.25),
        ("5us", 5e-6),
        ("5µs", 5e-6),
        ("5μs", 5e-6),
        ("7ns", 7e-9),
        ("1m1m", 120),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    """Whoever edits the annotation writes what Go's documents allow."""
    assert parse_go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "h", "1d", "5 m", "1h 30m", "--5m", "+", ".", ".s", "1e3s", "∞", "٣s", "9999999999h"],
)
def test_what_go_refuses_is_none(text: str) -> None:
    """Anybody may edit an annotation: bad text is an answer, never an exception."""
    assert parse_go_duration(text) is None


def test_the_longest_duration_is_gos() -> None:
    """Go holds nanoseconds in 63 bits."""
    assert parse_go_duration("9223372036854775807ns") is not None
    assert parse_go_duration("9223372036854775808ns") is None
