"""How long a reader lets events gather before it reads on. Pure.

Waking a thread costs several times what an event costs, and at hundreds of events a second each one
would wake two. So after something for which the reader had to wait, which is passed on at once, it
rests a moment, and then finds what came meanwhile together.
"""

from __future__ import annotations

# As long as the fold's own rest: an event that is not the first of a burst comes this much later.
REST_S = 0.05
# What may gather: the kernel holds a few times as much, so the server never has to wait for us.
_BURST_BYTES = 256 * 1024
# Reading what is there already takes 0.02 to 0.1 ms.
_WAITED_S = 0.0005
_SHORTEST_S = 0.001


class Pace:
    """The pace of one stream; `after` every piece of it."""

    __slots__ = ("_burst_bytes", "_rest_s")

    def __init__(self) -> None:
        self._rest_s = REST_S
        self._burst_bytes = 0

    def after(self, size_bytes: int, *, waited_s: float) -> float:
        """Return how many seconds to rest after a piece for which the reader waited; 0: none.

        Rests become shorter while more gathers in one than may, and longer again after that.
        """
        if waited_s < _WAITED_S:
            self._burst_bytes += size_bytes
            return 0.0
        share = self._burst_bytes / _BURST_BYTES
        if share:
            self._rest_s = min(REST_S, max(_SHORTEST_S, self._rest_s / share))
        self._burst_bytes = size_bytes
        return self._rest_s
