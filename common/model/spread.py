"""Where in a span of time a key's turn comes, when all of them would come at once. Pure."""

from __future__ import annotations

import hashlib

from common.model.key import WorkKey

_BYTES = 8


def turn_s(key: WorkKey, *, over_s: float) -> float:
    """Return the seconds after which the key's turn comes, evenly spread in [0, `over_s`).

    The same for a key in every process: whoever asks, the turn is not moved.
    """
    drawn = hashlib.sha256(str(key).encode()).digest()[:_BYTES]
    share: float = int.from_bytes(drawn, "big") / 256**_BYTES
    return round(share * over_s, 3)
