"""The feed: from wishes to the work queue, in fenced calls that store row and key together.

Level-based: a wish says which key, and the row is built when it is sent, so any number of changes
of one key is one row. While Redis does not answer, wishes stay here (at most one per workload) and
are tried again; nothing is lost but time. What was sent before may keep an equal row from being
sent again, in the same life of Redis only, and the sweep contradicts it: only the completion of a
run settles anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import structlog

from common.model.clusterrow import Row
from common.model.errors import TransientError
from common.model.key import RowKey
from common.queue.contract import Add, AddResult, Lane
from watcher.decide.affected import Forget, Living, Want, Wish
from watcher.fold.byrowkey import ByRowKey

_log = structlog.get_logger()

# One call of a script blocks Redis for about a millisecond at this size.
BATCH_KEYS = 256
_BASE_S = 0.1
# Redis is tried at least this often: changes pile up here, and users wait for them.
_CAP_S = 5.0
_MAX_EXPONENT = 16  # 2.0 ** 16 times the base is far beyond the cap


class Queue(Protocol):
    """The work queue's side for watchers; raises TransientError, StaleFenceError."""

    def add(self, adds: Sequence[Add], *, fence: int | None = None) -> AddResult:
        """Queue keys and store the rows that come with them."""

    def forget(self, keys: Sequence[RowKey], *, fence: int) -> None:
        """Delete rows; queue the keys, so that a worker cleans up."""


class Rows(Living, Protocol):
    """Rows as they are now."""

    def row(self, key: RowKey) -> Row | None:
        """Return the row of a key; None: there is none."""


class Tally(Protocol):
    """Counts what became of wishes."""

    def passed(self, keys: int) -> None:
        """Count keys that the folds and decisions let through."""

    def sent(self, result: AddResult) -> None:
        """Count what became of keys that were sent."""

    def suppressed(self, keys: int) -> None:
        """Count keys whose row was sent before."""


@dataclass(slots=True, kw_only=True)
class _Outage:
    """How long Redis has not answered."""

    failures: int = 0
    retry_at_s: float = float("-inf")  # monotonic


def retry_delay_s(failures: int, *, draw: float) -> float:
    """Return the wait after so many failures in a row (1: the first); `draw` is in [0, 1).

    Exponential up to 5 s, half of it spread: many watchers of one Redis must not come together.
    """
    full = min(_CAP_S, _BASE_S * 2.0 ** min(failures - 1, _MAX_EXPONENT))
    return full * (0.5 + draw / 2)


class Feed:
    """Owns the wishes that are not sent yet. One thread."""

    def __init__(self, queue: Queue, rows: Rows, tally: Tally, *, fence: int) -> None:
        """`fence` is the watcher's; a higher one elsewhere makes `flush` raise StaleFenceError."""
        self._queue = queue
        self._rows = rows
        self._tally = tally
        self._fence = fence
        self._pending: dict[RowKey, Wish] = {}
        self._sent: ByRowKey[str] = ByRowKey()  # fingerprint of the last row sent
        self._outage = _Outage()

    @property
    def pending(self) -> int:
        """How many keys wait to be sent."""
        return len(self._pending)

    @property
    def failing(self) -> bool:
        """Whether the last try to send failed."""
        return self._outage.failures > 0

    def wish(self, wishes: Iterable[Wish]) -> None:
        """Take wishes in; several for one key become one."""
        count = 0
        for wish in wishes:
            count += 1
            self._pending[wish.key] = merged(self._pending.get(wish.key), wish)
        self._tally.passed(count)

    def forget_memory(self) -> None:
        """Redis lives another life: what was sent before proves nothing any more."""
        self._sent.clear()

    def flush(self, *, now_s: float, draw: float) -> bool:
        """Send what is pending, unless Redis failed a moment ago; return whether all is sent.

        `now_s` is monotonic. Raises StaleFenceError when another watcher leads.
        """
        if now_s < self._outage.retry_at_s:
            return not self._pending
        try:
            while self._pending:
                self._send(list(islice(self._pending.values(), BATCH_KEYS)))
        except TransientError as exc:
            self._note_failure(exc, now_s=now_s, draw=draw)
            return False
        self._outage = _Outage()
        return True

    def _send(self, batch: list[Wish]) -> None:
        """Send one batch; it is pending until Redis has all of it."""
        gone = {one.key for one in batch if isinstance(one, Forget) and not self._lives(one.key)}
        adds = {one.key: self._add(one) for one in batch if one.key not in gone}
        wanted = [add for add in adds.values() if add is not None]
        # Until the answer is there nobody knows what Redis holds: it may have stored this, and by
        # the next try the row may be that of before again.
        for one in batch:
            if adds.get(one.key) is not None or one.key in gone:
                self._sent.pop(one.key, None)
        if wanted:
            self._tally.sent(self._queue.add(wanted, fence=self._fence))
        if gone:
            self._queue.forget(sorted(gone), fence=self._fence)
        self._tally.suppressed(len(adds) - len(wanted))
        for one in batch:
            del self._pending[one.key]
            self._remember(one.key)

    def _add(self, wish: Wish) -> Add | None:
        """Return what to send for a wish, with the row as it is now; None: it was sent before."""
        key = wish.key
        if isinstance(wish, Want) and wish.only_if_new and self._known(key):
            return None
        cause = wish.cause if isinstance(wish, Want) else "RowChanged"
        lane = wish.lane if isinstance(wish, Want) else Lane.FRESH
        return Add(key=key, lane=lane, row=self._rows.row(key), cause=cause)

    def _lives(self, key: RowKey) -> bool:
        return key in self._rows.prints

    def _known(self, key: RowKey) -> bool:
        sent = self._sent.get(key)
        return sent is not None and sent == self._rows.prints.get(key)

    def _remember(self, key: RowKey) -> None:
        print_ = self._rows.prints.get(key)
        if print_ is None:
            self._sent.pop(key, None)
        else:
            self._sent[key] = print_

    def _note_failure(self, error: TransientError, *, now_s: float, draw: float) -> None:
        outage = self._outage
        outage.failures += 1
        outage.retry_at_s = now_s + retry_delay_s(outage.failures, draw=draw)
        if outage.failures == 1:  # an outage may last an hour: one line when it begins
            _log.warning("redis refuses changes; they wait", reason=error.reason, error=str(error))


def merged(before: Wish | None, wish: Wish) -> Wish:
    """Return one wish for two of the same key: the urgent lane wins, the later fate decides. Pure.

    A wish that does not depend on the row being new keeps that, with its cause.
    """
    if not isinstance(before, Want) or not isinstance(wish, Want):
        return wish
    told = wish if before.only_if_new else before
    return Want(key=wish.key, lane=min(before.lane, wish.lane), cause=told.cause)
