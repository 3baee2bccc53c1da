"""When a window is open: as cron reads the five fields, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.settings.window import Window, read_window

DAY_S = 86_400.0


def _window(text: str) -> Window:
    window = read_window(text)
    assert window is not None
    return window


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("window", "now", "is_open"),
    [
        ("0 22 * * * 6h", "2026-11-26 22:00", True),
        ("0 22 * * * 6h", "2026-11-27 03:59", True),  # it passes midnight
        ("0 22 * * * 6h", "2026-11-27 04:00", False),
        ("0 22 * * * 6h", "2026-11-26 21:59", False),
        ("0 22 * * 5 30h", "2026-11-28 22:30", True),  # a Friday's
        ("0 22 * * 5 30h", "2026-11-29 03:59", True),
        ("0 22 * * 5 30h", "2026-11-29 04:00", False),
        ("0 0 1 * 0 1h", "2026-11-29 00:30", True),  # a Sunday, or the first: either counts
        ("0 0 1 * 0 1h", "2026-12-01 00:30", True),
        ("0 0 1 * 0 1h", "2026-12-02 00:30", False),
        ("0 0 29 2 * 168h", "2028-03-07 00:30", False),
        ("0 0 29 2 * 168h", "2028-03-06 23:30", True),
    ],
)
def test_a_window_is_open_for_its_duration(window: str, now: str, is_open: bool) -> None:  # noqa: FBT001 # a column
    """Whoever pays for traffic by the hour counts on it."""
    assert _window(window).is_open(_at(now)) is is_open


def test_a_window_knows_when_it_opens_next() -> None:
    """What would expire before that must be looked at now."""
    nightly = _window("0 22 * * * 6h")
    assert nightly.opens_next(_at("2026-11-26 22:00")) == _at("2026-11-27 22:00")
    assert nightly.opens_next(_at("2026-11-26 21:59")) == _at("2026-11-26 22:00")
    leap = _window("5,10 4 29 2 * 1h")
    assert leap.opens_next(_at("2026-01-01 00:00")) == _at("2028-02-29 04:05")
    assert leap.opens_next(_at("2028-02-29 04:05")) == _at("2028-02-29 04:10")
    assert _window("0 0 30 2 * 1h").opens_next(_at("2026-01-01 00:00")) is None


@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    weekdays=st.sets(st.integers(0, 6), min_size=1),
    hours=st.integers(1, 24),
    now_s=st.floats(0, 4e9),
)
def test_an_opening_is_the_last_one(
    minute: int, hour: int, weekdays: set[int], hours: int, now_s: float
) -> None:
    """Open means opened less than a duration ago; and no opening lies between it and the next."""
    days = ",".join(map(str, weekdays))
    window = _window(f"{minute} {hour} * * {days} {hours}h")
    opened, following = window.opened_at(now_s), window.opens_next(now_s)
    assert following is not None
    assert 0 < following - now_s <= 7 * DAY_S
    if opened is None:
        before = window.opens_next(now_s - hours * 3600)
        assert before == following
    else:
        assert 0 <= now_s - opened < hours * 3600
        assert window.opens_next(opened) == following
