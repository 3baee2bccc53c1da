"""Text for people: columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence


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
