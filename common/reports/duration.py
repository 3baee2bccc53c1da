"""Go's durations (`24h0m0s`), as the annotation `report-ttl` holds them. Pure, total."""

from __future__ import annotations

import re
from fractions import Fraction

_NS = 1_000_000_000
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5
    "μs": 1_000,  # U+03BC: Go reads both
    "ms": 1_000_000,
    "s": _NS,
    "m": 60 * _NS,
    "h": 3_600 * _NS,
}
_TERM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LIMIT_NS = 2**63  # Go holds nanoseconds in an int64
# Nobody writes a longer one; of more than 4,300 digits Python makes no number.
_LENGTH_LIMIT = 256


def go_duration(seconds: float) -> str:
    """Return whole seconds as Go prints them: `24h0m0s`, `5m0s`, `0s`.

    A fraction is dropped and a negative number is 0: lifetimes have neither.
    """
    minutes, rest_s = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest_s}s"
    return f"{minutes}m{rest_s}s" if minutes else f"{rest_s}s"


def parse_go_duration(text: str) -> float | None:
    """Return the seconds of a Go duration, or None for what Go's ParseDuration refuses.

    Anybody may edit an annotation, so bad text is an answer here and no error. Longer than 256
    characters counts as bad too.
    """
    if text in ("0", "+0", "-0"):
        return 0.0
    sign = -1 if text.startswith("-") else 1
    body = text[1:] if text[:1] in ("+", "-") else text
    terms = _TERM.findall(body) if len(text) <= _LENGTH_LIMIT else ()
    if not terms or "".join(amount + unit for amount, unit in terms) != body:
        return None
    total_ns = sum(_amount(amount) * _UNITS_NS[unit] for amount, unit in terms)
    if total_ns >= _LIMIT_NS:
        return None
    return float(sign * total_ns / _NS)


def _amount(text: str) -> Fraction:
    """Read `1`, `1.5`, `1.` or `.5` exactly."""
    return Fraction(text.rstrip(".") if not text.startswith(".") else f"0{text}")
