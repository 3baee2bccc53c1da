"""The Retry-After header: seconds or a date. Pure."""

from __future__ import annotations

import email.utils

# A server, or a proxy with a broken clock, may ask for a day; we come back after two minutes.
CAP_S = 120.0


def parse_retry_after(header: str | None, *, now: float) -> float | None:
    """Return the seconds to wait, within 0 and 120; None where the header says nothing usable.

    `now` is Unix time: the header may be a date, the one place where we need the wall clock.
    """
    text = (header or "").strip()
    if text.isdecimal():
        return min(float(text), CAP_S)
    try:
        due = email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
    return min(max(due - now, 0.0), CAP_S)
