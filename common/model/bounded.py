"""Numbers and keys out of text that others write: within bounds, or none. Pure, total.

`int` raises ValueError for more than 4,300 digits, and a number beyond 64 bits for whoever packs it
later; both would end a process for what somebody wrote into an annotation or a hash.
"""

from __future__ import annotations

# What decoding bytes that others wrote may raise: no document of that kind, no UTF-8 in it (msgspec
# has an error of its own for the first alone; both are ValueErrors), or nested without end.
UNREADABLE = (ValueError, RecursionError)

# A stamp may raise the published epoch so far: 35,000 years of one change of settings a second.
TAKEN_UP_EPOCH_LIMIT = 2**40
# The highest epoch there is: above what a stamp can do, as many changes again. Far below 2 ** 53,
# from where Redis' Lua skips numbers. The same stands in `epoch.lua`.
EPOCH_LIMIT = 2**41

_LIMIT = 2**63 - 1
_DIGITS = 19  # of 63 bits


def whole_number(text: str, *, at_most: int = _LIMIT) -> int | None:
    """Return a number without sign, at most of 63 bits; None for text that is none."""
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS:
        return None
    number = int(text)
    return number if number <= at_most else None
