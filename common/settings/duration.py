"""Go's durations (`1h30m`, `250ms`), as trivy-operator's settings and annotations write them.

Pure. Seconds are floats: a microsecond is the finest that any setting means.
"""

from __future__ import annotations

import re

from common.model.errors import shorten

_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_UNITS_S["h"] = 3600.0
_TERM = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LIMIT_S = 2**63 / 1e9  # Go holds nanoseconds in an int64: about 292 years


def go_duration_s(text: str) -> float:
    """Return the seconds of a Go duration that is not negative.

    Raises ValueError for everything that Go's time.ParseDuration refuses, and for negative ones.
    """
    if text in ("0", "+0", "-0"):
        return 0.0
    body = text[1:] if text[:1] in ("+", "-") else text
    terms = _TERM.findall(body)
    if not body or "".join(amount + unit for amount, unit in terms) != body:
        raise ValueError(f"is {shorten(text)!r}; write a Go duration such as 30s, 5m or 24h")
    total_s = sum(float(amount) * _UNITS_S[unit] for amount, unit in terms)
    if text.startswith("-") and total_s > 0:
        raise ValueError(f"is {shorten(text)!r}; a negative duration means nothing here")
    if total_s >= _LIMIT_S:
        raise ValueError(f"is {shorten(text)!r}; the longest Go duration is 292 years")
    return total_s


def go_duration(seconds: float) -> str:
    """Return whole seconds as Go prints them: `24h0m0s`, `5m0s`, `0s`.

    A fraction of a second is dropped: report lifetimes have none.
    """
    minutes, rest_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest_s}s"
    return f"{minutes}m{rest_s}s" if minutes else f"{rest_s}s"
