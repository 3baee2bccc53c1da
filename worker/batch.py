"""What a loop holds between two claims: keys not begun, the one that runs, ends not yet reported.

The loop works through it. While a run takes long, the heartbeat's thread reports what ended and
gives back the rest, under the lock (`Loop.relieve`); between two runs it touches nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from common.model.facts import Fact
from common.queue.contract import Claim, Finished, Outcome

# A batch should last about this long: what a loop holds, no other loop can take.
BATCH_S = 0.05


class Batch:
    """Claims of one call, and their ends."""

    def __init__(self, claims: Iterable[Claim] = ()) -> None:
        self.lock = threading.Lock()
        self.rest = deque(claims)
        self.running: Claim | None = None
        self.began_s = 0.0  # when the running one did
        self.runs: list[tuple[Claim, Outcome]] = []  # ended since the last report
        self.facts: list[Fact] = []
        self.since_s = 0.0  # when the first of them began
        self.resent = False  # a report of them may have arrived: its reply was lost
        # Ended after that: for a report of their own.
        self._later: list[tuple[Claim, Finished]] = []
        self.owed = False  # what was not begun may still be on record for us
        self.refused = False  # an end was not valid: Redis lost our claims, or gave them away
        self.marked = False  # Redis names the next key as running: the mark must move when it ends

    def begin(self, now_s: float) -> Claim:
        """Take the next one; from now on `relieve` may act."""
        with self.lock:
            if not self.runs:
                self.since_s = now_s
            self.running, self.began_s = self.rest.popleft(), now_s
            return self.running

    def end(self, claim: Claim, finished: Finished) -> None:
        """Note the end of the running one; waits while `relieve` acts."""
        with self.lock:
            if self.resent:
                self._later.append((claim, finished))
            else:
                self._note(claim, finished)
            self.running = None

    def _note(self, claim: Claim, finished: Finished) -> None:
        self.runs.append((claim, finished.outcome))
        self.facts.extend(finished.facts)

    def stuck(self, now_s: float, long_s: float) -> Claim | None:
        """Return the running one if it has taken `long_s` and something waits for its end."""
        if self.running is None or now_s - self.began_s < long_s:
            return None
        return self.running if self.rest or self.runs or self.owed else None

    def take_rest(self) -> list[Claim]:
        """Return what was not begun, which then is nobody's here."""
        taken = list(self.rest)
        self.rest.clear()
        return taken

    def forget(self) -> None:
        """Drop the ends: they are told, or will never be."""
        self.runs.clear()
        self.facts.clear()
        self.resent = False
        for claim, finished in self._later:
            self._note(claim, finished)
        self._later.clear()


def batch_for(mean_s: float, most: int) -> int:
    """Return how many keys to claim when a run takes `mean_s`: about `BATCH_S` worth of them."""
    return most if mean_s * most <= BATCH_S else max(1, int(BATCH_S / mean_s))
