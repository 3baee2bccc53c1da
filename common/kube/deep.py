"""JSON nested deeper than msgspec follows: tenants can store it, so it must not end a thread.

A custom resource may keep unknown fields a thousand levels deep, and the API server repeats their
shape in `managedFields`. What we read stands at most a dozen levels deep; the rest is cut. Pure.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

# Twice what the deepest field that we read needs, a list's items included.
DEPTH_LIMIT = 32
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode; raises msgspec.DecodeError as the decoder does, and no RecursionError."""
    try:
        return decoder.decode(data)
    except RecursionError:
        return decoder.decode(pruned(data))


def pruned(data: bytes) -> bytes:
    """Return JSON with every array and object below 32 levels replaced by null.

    Total: text that is no JSON comes out as some text that is no deeper.
    """
    kept: list[bytes] = []
    depth = 0
    start = 0  # of the piece that is being kept; meaningless below the limit
    for token in _TOKEN.finditer(data):
        match token[0]:
            case b"{" | b"[":
                depth += 1
                if depth == DEPTH_LIMIT + 1:
                    kept.append(data[start : token.start()] + b"null")
            case b"}" | b"]":
                if depth == DEPTH_LIMIT + 1:
                    start = token.end()
                depth -= 1
            case _:  # a string: brackets in it are none
                pass
    if depth <= DEPTH_LIMIT:
        kept.append(data[start:])
    return b"".join(kept)
