"""The match pool's duties beside the server: announce its database, look for newer on request.

Redis may be away: what could not be told is told again at the next check, and the last word wins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from common.model.errors import SluiceError
from common.model.facts import Fact
from common.state.database import DatabaseRow
from worker.matcher import Announcements

_log = structlog.get_logger()

_LOOK_S = 0.5  # how soon `sluice database check` is noticed
_CHECK_S = 600.0  # a download of the whole database over a slow line


class Published(Protocol):
    """The database row."""

    def current(self) -> DatabaseRow | None:
        """Return what was published last."""

    def publish(self, row: DatabaseRow) -> int:
        """Store it; a changed version queues every image. Return how many."""


class Requests(Protocol):
    """Requests for a look."""

    def requested(self) -> int:
        """Return the number of the last request."""

    def answered(self) -> int:
        """Return the number of the last one that was answered."""

    def answer(self, number: int) -> None:
        """Say that a look after request `number` is over."""


class Facts(Protocol):
    """The ledger."""

    def append(self, facts: list[Fact]) -> None:
        """Append facts."""


class Publisher:
    """Publishes what is served, and publishes it again until Redis has it.

    `announcements` are called from the matcher's thread, `repeat` from any other.
    """

    def __init__(self, table: Published, ledger: Facts, *, now_s: Callable[[], float]) -> None:
        self._table = table
        self._ledger = ledger
        self._now_s = now_s
        self._lock = threading.Lock()
        self._served: tuple[str, str, str] | None = None  # None: no database yet
        self._told = False  # whether Redis heard of what is served

    def announcements(self) -> Announcements:
        """Return the callbacks for the matcher."""
        return Announcements(on_database=self._serve, on_failure=_failed)

    def repeat(self) -> None:
        """Tell Redis what it has not heard, or has lost with its data; raises what it raises.

        Without a row every image would wait for the next look, which may be an hour away.
        """
        with self._lock:
            if self._served is None or (self._told and self._table.current() is not None):
                return
            self._told = False
            self._publish(*self._served)
            self._told = True

    def _serve(self, version: str, server_url: str, trivy_version: str) -> None:
        with self._lock:
            self._served = (version, server_url, trivy_version)
            self._told = False
        try:
            self.repeat()
        except SluiceError as error:
            _log.warning("database not announced yet", version=version, error=str(error))

    def _publish(self, version: str, server_url: str, trivy_version: str) -> None:
        before = self._table.current()
        queued = self._table.publish(
            DatabaseRow(
                version=version,
                server_url=server_url,
                trivy_version=trivy_version,
                checked_at=self._now_s(),
            )
        )
        if before is None or before.version != version:
            previous = before.version if before else ""
            data = {"version": version, "previous": previous, "queued": queued}
            self._ledger.append([Fact(kind="database", data=data)])
            _log.info("database announced", version=version, previous=previous, queued=queued)


def _failed(error: SluiceError) -> None:
    """Log it; the matcher keeps the old database and comes back by itself."""
    _log.warning("database check failed", reason=error.reason, error=str(error))


def follow_requests(
    requests: Requests,
    check_now: Callable[[float], str],
    publisher: Publisher,
    stop: threading.Event,
) -> None:
    """Answer requests for a look, and repeat what Redis did not hear, until `stop`.

    One look answers every request that was made before it began.
    """
    while not stop.wait(_LOOK_S):
        try:
            publisher.repeat()
            number = requests.requested()
            if number <= requests.answered():
                continue
            try:
                check_now(_CHECK_S)
            except SluiceError as error:
                _log.warning("asked look failed", reason=error.reason, error=str(error))
            requests.answer(number)
        except SluiceError as error:
            _log.debug("redis away", error=str(error))
