"""Text for people: columns, ages, shares. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_MINUTE_S = 60
_HOUR_S = 3_600
_DAY_S = 86_400


def columns(rows: Sequence[Sequence[str]], *, head: Sequence[str] = ()) -> str:
    """Return rows as left-aligned columns, two blanks apart; the last one is not padded.

    A cell is one line, whatever stands in it: a registry's message may hold line breaks.
    """
    table = [[" ".join(cell.split()) for cell in row] for row in ([head, *rows] if head else rows)]
    if not table:
        return ""
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
    return "\n".join(lines)


def age(seconds: float | None) -> str:
    """Return an age in at most two units: `5s`, `3m20s`, `2h5m`, `4d3h`; None: `-`."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
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
