"""Reads what should be text, a number or a date, and may have been written by somebody else.

Whoever looks at a queue looks because something is wrong: one field that a tool or a hand wrote
must not hide all the others, nor end who reads it. Total; pure but for `Foreign`, which logs.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import cast

import msgspec
import structlog
from redis.exceptions import ResponseError

from common.model.bounded import whole_number
from common.model.evidence import EVIDENCE_LIMIT_BYTES
from common.model.key import WorkKey, try_key

_log = structlog.get_logger()

# The reason of a parked key without one of ours: rq's own worker, or its maintenance, failed it.
STOCK_WORKER = "StockWorker"


# What decoding a body may raise; the second is also that of text which is no UTF-8 or no number.
UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


class Foreign:
    """Tells the log of entries that are none of ours: of the first one alone."""

    def __init__(self) -> None:
        self._told = False

    def tell(self, table: str, entry: bytes) -> None:
        """Name the entry, unless another one of its table was named."""
        if not self._told:
            self._told = True
            _log.warning("passes over what it cannot read", table=table, entry=text_of(entry)[:256])


def inflate(packed: bytes, limit_bytes: int = EVIDENCE_LIMIT_BYTES) -> bytes:
    """Return what was compressed; raise zlib.error for what is damaged, or larger than the limit.

    A few kilobytes that somebody wrote must not fill the memory of all who read them.
    """
    unpacking = zlib.decompressobj()
    content = unpacking.decompress(packed, limit_bytes)
    if not unpacking.eof:
        raise zlib.error(f"cut off, or more than {limit_bytes} bytes")
    return content


def text_of(value: bytes | None) -> str:
    """Return the text; what is no UTF-8 is replaced."""
    return (value or b"").decode(errors="replace")


def key_of(value: bytes | None) -> WorkKey | None:
    """Return the work key; None for what is none, as a newer version may have left it."""
    return try_key(text_of(value))


def count_of(value: bytes | None) -> int:
    """Return the number; 0 for what is none."""
    return whole_number(text_of(value)) or 0


def unix_of(value: bytes | None) -> float:
    """Return the Unix seconds of a date as rq writes it; 0 for what is none."""
    with contextlib.suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text_of(value)).timestamp()
    return 0.0


def fields_of(answer: object, width: int) -> Sequence[bytes | None]:
    """Return what HMGET answered; as many absent fields for what is no hash. Raises other errors.

    For the hash of a single job: of thousands, one that somebody wrote over must not hide the rest.
    """
    if isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer):
        return (None,) * width
    return cast("Sequence[bytes | None]", _checked(answer))


def score_of(answer: object) -> float:
    """Return what ZSCORE answered; 0 for no member. Raises errors."""
    return cast("float | None", _checked(answer)) or 0.0


def _checked(answer: object) -> object:
    if isinstance(answer, Exception):
        raise answer
    return answer


def failure_of(value: bytes | None) -> tuple[str, str]:
    """Return reason and message of a job's last failure; rq compresses what it writes there."""
    with contextlib.suppress(zlib.error):
        value = inflate(value or b"")
    reason, _, message = text_of(value).partition(": ")
    return reason, message
