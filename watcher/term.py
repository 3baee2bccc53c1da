"""One term of leading, from the fence to the end: feed and sweeps, under one fence."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from common.model.errors import TransientError
from common.model.facts import Fact
from watcher.decide.affected import affected
from watcher.feed import Feed
from watcher.fold.cluster import Cluster
from watcher.fold.delta import FoldFact
from watcher.lead import Lead
from watcher.rounds import Ledger, Rounds

_log = structlog.get_logger()

# Facts that Redis could not take yet; they explain, they decide nothing.
_MAX_FACTS = 1000
# Of the looks, which come every second: silence is a fault after 30 s.
_TELL_EVERY = 5


class Term:
    """Belongs to the watcher's thread. What it has not sent when it ends, the next sweep finds."""

    def __init__(
        self, number: int, lead: Lead, *, feed: Feed, rounds: Rounds, ledger: Ledger
    ) -> None:
        """Begin with a sweep over everything: it asks for what nobody sent in between."""
        self.number = number
        self._lead = lead
        self._feed = feed
        self._rounds = rounds
        self._ledger = ledger
        self._facts: list[Fact] = []
        self._looks = 0
        rounds.begin()

    @property
    def busy(self) -> bool:
        """Whether there is work besides changes, and Redis takes it."""
        return self._rounds.busy and not self._feed.failing

    @property
    def pending(self) -> int:
        """How many keys Redis has not taken yet."""
        return self._feed.pending

    def work(
        self, facts: Sequence[FoldFact], cluster: Cluster, *, now_s: float, draw: float
    ) -> None:
        """Send what a batch of changes asks for, and sweep a chunk.

        Raises StaleFenceError when another watcher leads.
        """
        self._feed.wish(affected(facts, cluster, epoch=self._lead.epoch))
        self._feed.flush(now_s=now_s, draw=draw)
        if not self._feed.failing:
            self._rounds.step(self._lead)

    def look(self) -> bool:
        """Look at Redis' life and at what others ask for; return whether Redis answered.

        When it does not, the next look does it all. Raises StaleFenceError.
        """
        answered = False
        try:
            changed = self._lead.check()
            answered = True
            if changed:
                self._feed.forget_memory()
                self._rounds.demand()
            self._rounds.look()
            self._ledger.append(self._facts)
            self._facts = []
            # Last: in a Redis that is full the rest of a look still goes its way.
            if self._looks % _TELL_EVERY == 0:
                self._lead.tell()
            self._looks += 1
        except TransientError as exc:
            _log.debug("look skipped", reason=exc.reason)
        return answered

    def note(self, fact: Fact) -> None:
        """Keep a fact for the ledger."""
        if len(self._facts) < _MAX_FACTS:
            self._facts.append(fact)
