"""One byte string per value: canonical JSON and the hashes over it.

Pure, total for JSON values: equal values give equal bytes whatever the order of their keys.
"""

from __future__ import annotations

import hashlib
from typing import NewType

import orjson

ContentHash = NewType("ContentHash", str)

# 128 bits: a tenant controls pod specs and image content, so a collision must not be findable;
# 32 hex digits still fit into a label value.
_HEX_DIGITS = 32


def canonical_json(value: object) -> bytes:
    """Return `value` as JSON with sorted keys and no white space.

    Raises `orjson.JSONEncodeError` for what JSON cannot say.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(value: object) -> ContentHash:
    """Return the first 128 bits of SHA-256 over the canonical JSON, in hex.

    SHA-256 rather than xxh3 or blake2b: it resists a tenant's search and is faster than blake2b
    where the processor has SHA-NI.
    """
    return ContentHash(hashlib.sha256(canonical_json(value)).hexdigest()[:_HEX_DIGITS])
