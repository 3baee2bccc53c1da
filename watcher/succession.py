"""From winning the Lease to the first write: fence, epoch, and a fold that lags behind nobody.

A sweep over a cluster that is older than the rows would bring old rows back and bury the living,
and the API server that we read from may be seconds behind that of the leader before. The fence
comes first, so that what that one has read and written is final; then we wait until our fold has
read as far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from common.model.bounded import TAKEN_UP_EPOCH_LIMIT
from common.model.errors import TransientError
from watcher.feed import retry_delay_s
from watcher.fold.cluster import Cluster
from watcher.lead import Lead, LeadPorts
from watcher.position import Position
from watcher.pulse import Pulse

_log = structlog.get_logger()
_NEVER = float("-inf")

# A stream that is behind is read on within milliseconds, as a rule. After an etcd that was restored
# the versions of before are never reached: then what is doubled is a run that writes nothing.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """A lead that is not used yet."""

    number: int  # of the term
    lead: Lead
    wanted: dict[str, int]  # how far the leader before had read
    at_s: float


class Succession:
    """Belongs to the watcher's thread."""

    def __init__(
        self,
        ports: LeadPorts,
        cluster: Cluster,
        position: Position,
        *,
        digest: Callable[[], str],
        pulse: Pulse,
    ) -> None:
        """`digest` is of everything that shapes reports."""
        self._ports = ports
        self._cluster = cluster
        self._position = position
        self._digest = digest
        self._pulse = pulse
        self._taken: _Taken | None = None
        self._failures = 0  # in a row
        self._next_try_s = _NEVER
        self.behind: tuple[str, ...] = ()
        """The streams for which the lead is not used yet; may be read on any thread."""

    def lead(self, number: int) -> Lead | None:
        """Return the lead of a term once it may be used; None: ask again in the next turn.

        Waits out Redis' absence. Raises StaleFenceError.
        """
        now_s = self._pulse.monotonic()
        if self._taken is None or self._taken.number != number:
            self._taken = self._take(number, now_s) if now_s >= self._next_try_s else None
        if self._taken is None:
            return None
        taken, lacking = self._taken, self._position.lacking(self._taken.wanted)
        if lacking and now_s - taken.at_s <= PATIENCE_S:
            self.behind = tuple(lacking)
            return None
        if lacking:
            _log.warning("leads although the leader before had read further", streams=lacking)
        return taken.lead

    def failed(self, error: TransientError) -> None:
        """Note that Redis did not answer; the next try comes after a wait."""
        self._failures += 1
        if self._failures == 1:
            _log.warning("redis does not answer yet", reason=error.reason, error=str(error))
        wait_s = retry_delay_s(self._failures, draw=self._pulse.draw())
        self._next_try_s = self._pulse.monotonic() + wait_s

    def done(self) -> None:
        """Forget the lead: it is used, or its term is over."""
        self._taken, self._failures, self.behind = None, 0, ()

    def _take(self, number: int, now_s: float) -> _Taken | None:
        try:
            lead = Lead(self._ports, digest=self._digest, highest_stamp=self._highest_stamp)
            wanted = self._ports.seen.read()
        except TransientError as exc:
            self.failed(exc)
            return None
        if lacking := self._position.lacking(wanted):
            _log.info("waits until it has read as far as the leader before", streams=lacking)
        return _Taken(number=number, lead=lead, wanted=wanted, at_s=now_s)

    def _highest_stamp(self) -> int:
        """Return the highest epoch in any report's stamp that may raise ours.

        Anybody can write a stamp: without a bound, one would use up all the epochs that there are.
        """
        epochs = (report.gist.epoch for report in self._cluster.reports)
        return max((epoch for epoch in epochs if epoch <= TAKEN_UP_EPOCH_LIMIT), default=0)
