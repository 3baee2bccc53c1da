"""Ages and counts for people. Pure."""

from __future__ import annotations

_MINUTE_S = 60
_HOUR_S = 3_600
_DAY_S = 86_400
# What is longer is no time of ours: somebody wrote it, and it may be infinite.
_LONGEST_S = 36_500 * _DAY_S


def age(seconds: float | None) -> str:
    """Return an age in at most two units: `5s`, `3m20s`, `2h5m`, `4d3h`; None: `-`. Total.

    Of more than a hundred years it returns a hundred.
    """
    if seconds is None:
        return "-"
    whole = round(min(max(0.0, seconds), _LONGEST_S))
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return _two(whole, _MINUTE_S, "m", 1, "s")
    if whole < _DAY_S:
        return _two(whole, _HOUR_S, "h", _MINUTE_S, "m")
    return _two(whole, _DAY_S, "d", _HOUR_S, "h")


def _two(whole: int, big_s: int, big: str, small_s: int, small: str) -> str:
    count, rest_s = divmod(whole, big_s)
    rest = rest_s // small_s
    return f"{count}{big}{rest}{small}" if rest else f"{count}{big}"


def counted(number: int, noun: str) -> str:
    """Return `1 key`, `2 keys`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percent(part: int, whole: int) -> str:
    """Return the share rounded down: 1,999 of 2,000 is not `100%`. `whole` is not 0."""
    return f"{part * 100 // whole}%"
