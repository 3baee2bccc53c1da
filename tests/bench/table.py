"""Shows a benchmark's JSON as a table for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = ("case", "ours", "unit", "baseline", "times better", "goal", "spread", "")
_TEXT_COLUMNS = (0, 2, 7)  # the others are numbers, and end together


def render(document: Mapping[str, Any]) -> str:
    """Return title, table and verdict."""
    machine = ", ".join(f"{name} {value}" for name, value in document["machine"].items())
    verdict = "results are right" if document["ok"] else "A RESULT IS WRONG"
    rows = [_cells(row) for row in document["rows"]]
    return "\n".join([f"{document['name']} ({machine})", *_lines([_HEAD, *rows]), verdict, "", ""])


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    baseline = "" if row["baseline"] is None else f"{_number(row['baseline'])}"
    about = row.get("beside") or row["baseline_name"] or ""
    low, high = row["spread"]
    return (
        str(row["case"]),
        _number(row["ours"]),
        str(row["unit"]),
        baseline,
        "" if row["ratio"] is None else _number(row["ratio"]),
        "" if row.get("goal") is None else _number(row["goal"]),
        f"{_number(low)} - {_number(high)} ({row['runs']})",
        str(about),
    )


def _lines(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in cells) for place in range(len(_HEAD))]
    return [
        "  ".join(
            cell.ljust(width) if place in _TEXT_COLUMNS else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _number(value: float) -> str:
    """Return three significant digits, without an exponent for what people count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
