"""Reads what should be text, a number or a date, and may have been written by somebody else.

Whoever looks at a queue looks because something is wrong: one field that a tool or a hand wrote
must not hide all the others. Pure, total.
"""

from __future__ import annotations

import contextlib
import zlib
from datetime import datetime

from common.model.bounded import whole_number

# The reason of a parked key without one of ours: rq's own worker, or its maintenance, failed it.
STOCK_WORKER = "StockWorker"


def text_of(value: bytes | None) -> str:
    """Return the text; what is no UTF-8 is replaced."""
    return (value or b"").decode(errors="replace")


def count_of(value: bytes | None) -> int:
    """Return the number; 0 for what is none."""
    return whole_number(text_of(value)) or 0


def unix_of(value: bytes | None) -> float:
    """Return the Unix seconds of a date as rq writes it; 0 for what is none."""
    with contextlib.suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text_of(value)).timestamp()
    return 0.0


def failure_of(value: bytes | None) -> tuple[str, str]:
    """Return reason and message of a job's last failure; rq compresses what it writes there."""
    with contextlib.suppress(zlib.error):
        value = zlib.decompress(value or b"")
    reason, _, message = text_of(value).partition(": ")
    return reason, message
