"""How long a reader lets events gather before it reads on. Pure.

Waking a thread costs ten times what an event costs, and at hundreds of events a second each one
would wake two. So after something for which the reader had to wait, which is passed on at once, it
rests a moment, and then finds what came meanwhile together. Where something comes in every rest, as
status changes of a large cluster do, the rests become longer.
"""

from __future__ import annotations

# An event that is not the first of a burst comes this much later: after a quiet time, and where
# events never end. Reports are made in seconds.
REST_S = 0.05
LONGEST_S = 0.3
_GROWTH = 1.25  # of a rest after one that brought something
# What may gather: the kernel holds a few times as much, so the server never has to wait for us.
_BURST_BYTES = 256 * 1024
# Reading what is there already takes 0.02 to 0.1 ms.
_WAITED_S = 0.0005
_SHORTEST_S = 0.001
_FULL = 1 / _GROWTH  # so that a rest that grows does not bring more than may gather


def next_rest_s(rest_s: float, *, gathered: bool) -> float:
    """Return how long to rest after a rest that brought something, or nothing."""
    return min(LONGEST_S, rest_s * _GROWTH) if gathered else REST_S


class Pace:
    """The pace of one stream; `after` every piece of it."""

    __slots__ = ("_burst_bytes", "_gathered", "_rest_s")

    def __init__(self) -> None:
        self._rest_s = REST_S
        self._burst_bytes = 0  # the last piece that was waited for, and what came with it
        self._gathered = False  # whether anything came in the last rest

    def after(self, size_bytes: int, *, waited_s: float) -> float:
        """Return how many seconds to rest after a piece for which the reader waited; 0: none.

        Rests become shorter while more gathers in one than may.
        """
        if waited_s < _WAITED_S:
            self._burst_bytes += size_bytes
            self._gathered = True
            return 0.0
        share = self._burst_bytes / _BURST_BYTES
        if share > _FULL:
            self._rest_s = max(_SHORTEST_S, self._rest_s * _FULL / share)
        else:
            self._rest_s = next_rest_s(self._rest_s, gathered=self._gathered)
        self._burst_bytes, self._gathered = size_bytes, False
        return self._rest_s
