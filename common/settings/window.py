"""A time window that comes back: five fields of cron say when it opens, a duration how long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from common.model.errors import shorten
from common.reports.duration import parse_go_duration

# Minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_FIELD_COUNT = 5
_SUNDAY = 7
_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?")
_FORM = "write five fields of cron and a duration, such as 0 22 * * 1-5 6h"
_LONGEST_S = 7 * 86_400.0
_LONGEST_DAYS = 8  # that a window which is open may have begun before today
# 29 February comes back after eight years at most (1896, 1904): what has not by then never will.
_EVERY_DAY = 8 * 366 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When something may happen, in UTC.

    As in cron, a day counts when day of the month or day of the week says so, if both are given.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None  # of the month; None: `*`
    months: frozenset[int]
    weekdays: frozenset[int] | None  # 0: Sunday; None: `*`
    duration_s: float

    def is_open(self, now_s: float) -> bool:
        """Whether it is open; `now_s` is Unix seconds, as below."""
        return self.opened_at(now_s) is not None

    def opened_at(self, now_s: float) -> float | None:
        """Return when it was opened last, if that was less than its duration ago."""
        today = datetime.fromtimestamp(now_s, tz=UTC).date()
        for back in range(_LONGEST_DAYS):
            past = [at for at in self._openings(today - timedelta(days=back)) if at <= now_s]
            if past:
                return past[-1] if now_s < past[-1] + self.duration_s else None
        return None

    def opens_next(self, now_s: float) -> float | None:
        """Return when it is opened after `now_s`; None: never (30 February)."""
        today = datetime.fromtimestamp(now_s, tz=UTC).date()
        for ahead in range(_EVERY_DAY):
            for at in self._openings(today + timedelta(days=ahead)):
                if at > now_s:
                    return at
        return None

    def _openings(self, day: date) -> list[float]:
        """Return the openings of a day, in their order."""
        if not self._counts(day):
            return []
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        return [
            midnight + 3600.0 * hour + 60.0 * minute
            for hour in sorted(self.hours)
            for minute in sorted(self.minutes)
        ]

    def _counts(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        by_date = self.days is None or day.day in self.days
        by_weekday = self.weekdays is None or day.isoweekday() % _SUNDAY in self.weekdays
        if self.days is None or self.weekdays is None:
            return by_date and by_weekday
        return by_date or by_weekday


def read_window(text: str) -> Window | None:
    """Return the window; empty: None, always. Raises ValueError with the form that is wanted."""
    if not text:
        return None
    *fields, duration = text.split() if text.isascii() else [""]
    duration_s = parse_go_duration(duration)
    if len(fields) != _FIELD_COUNT or duration_s is None:
        raise ValueError(f"is {shorten(text)!r}; {_FORM}")
    if not 0 < duration_s <= _LONGEST_S:
        raise ValueError(f"has {shorten(duration)!r}; write a duration up to 168h")
    minutes, hours, days, months, weekdays = (
        _field(field, low, high) for field, (low, high) in zip(fields, _RANGES, strict=True)
    )
    return Window(
        minutes=minutes,
        hours=hours,
        days=None if fields[2] == "*" else days,
        months=months,
        weekdays=None if fields[4] == "*" else frozenset(day % _SUNDAY for day in weekdays),
        duration_s=duration_s,
    )


def _field(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"has {shorten(part)!r}; {_FORM}")
        first, last, step = match[1], match[2], int(match[3] or 1)
        begin = int(first) if first else low
        # As cron reads it: `5/10` begins at 5 and goes on to the end.
        end = int(last) if last else begin if first and not match[3] else high
        if not low <= begin <= end <= high or step == 0:
            raise ValueError(f"has {shorten(part)!r}; numbers go from {low} to {high} here")
        found.update(range(begin, end + 1, step))
    return frozenset(found)
