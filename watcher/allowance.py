"""How many keys a sweep may ask for now: so many a second, and a burst after a rest.

A token bucket. Pure: who asks says what time it is.
"""

from __future__ import annotations

# 64 workers whose runs take 100 ms make 600 a second, so no worker ever waits for a sweep; and
# Redis takes twenty times as many adds, so neither a fresh key nor a claim waits for one either.
# After a change of the settings or a flush, 50,000 workloads are asked for within a minute.
KEYS_PER_S = 1_000
# What a cluster of a few hundred workloads needs, at once. More than two idle turns of the
# watcher's loop (0.2 s each) bring, so that none of it is lost while the loop sleeps.
BURST_KEYS = 500
# Less is not worth a call of Redis: a tenth of a second's.
WORTH_KEYS = 100


class Allowance:
    """What is left. One thread."""

    def __init__(self, *, now_s: float) -> None:
        """Begin full; `now_s` is monotonic, here and below."""
        self._keys = float(BURST_KEYS)
        self._at_s = now_s

    def left(self, *, now_s: float) -> int:
        """Return how many keys may be asked for."""
        self._keys = min(BURST_KEYS, self._keys + KEYS_PER_S * max(0.0, now_s - self._at_s))
        self._at_s = now_s
        return int(self._keys)

    def spend(self, keys: int) -> None:
        """Note that so many were asked for, after `left`."""
        self._keys -= keys
