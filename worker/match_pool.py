"""The match pool's duties beside the server: announce its database, look for newer on request.

Redis may be away: what could not be told is told again at the next check, and the last word wins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from common.model.errors import SluiceError, shorten
from common.model.key import ImageKey
from common.model.spread import turn_s
from common.queue.contract import Add, AddResult, Lane
from common.state.database import DatabaseRow, FailedLook
from worker.matcher import Announcements

_log = structlog.get_logger()

_LOOK_S = 0.5  # how soon `sluice database check` is noticed
_ALIVE_S, _DEAD_S = 5.0, 20.0  # a sign of life; four missing ones
_BATCH = 512  # keys of one call: keeps each script under a few milliseconds
_CHECK_S = 600.0  # a download of the whole database over a slow line


class Published(Protocol):
    """The database row."""

    def current(self) -> DatabaseRow | None:
        """Return what was published last."""

    def publish(self, row: DatabaseRow) -> int:
        """Store it; a changed version queues every image. Return how many."""

    def note_look(self, failed: FailedLook | None) -> None:
        """Keep what became of a look; None: it succeeded."""


class FirstTrust(Protocol):
    """Which Trivy is trusted."""

    def begin(self, version: str, *, now_s: float) -> None:
        """Trust `version` where none is yet."""


class Requests(Protocol):
    """Requests for a look."""

    def requested(self) -> int:
        """Return the number of the last request."""

    def answered(self) -> int:
        """Return the number of the last one that was answered."""

    def answer(self, number: int) -> None:
        """Say that a look after request `number` is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """What this matcher serves, since it looked last."""

    version: str
    server_url: str
    trivy_version: str
    checked_at: float


class Publisher:
    """Publishes what is served, and keeps it published.

    One row in Redis says where everybody matches. The matcher that stands in it renews it; another
    one takes it over when it has a newer database, or when the row's owner gives no sign of life.
    `announcements` are called from the matcher's thread, `repeat` from any other.
    """

    def __init__(self, table: Published, trust: FirstTrust, *, now_s: Callable[[], float]) -> None:
        self._table = table
        self._trust = trust
        self._now_s = now_s
        self._lock = threading.Lock()
        self._served: _Served | None = None  # None: no database yet
        self._told = False  # whether Redis heard of what is served

    def announcements(self, on_layers_lost: Callable[[], None]) -> Announcements:
        """Return the callbacks for the matcher."""
        return Announcements(
            on_database=self._serve,
            on_failure=_failed,
            on_look=self._looked,
            on_layers_lost=on_layers_lost,
        )

    def repeat(self) -> None:
        """Tell Redis what it has not heard, or has lost with its data; raises what it raises.

        Without a row every image would wait for the next look, which may be an hour away.
        """
        with self._lock:
            served = self._served
            if served is None:
                return
            current, now = self._table.current(), self._now_s()
            if not _must_publish(served, current, told=self._told, now=now):
                return
            self._told = False
            queued = self._table.publish(_row(served, now))
            self._trust.begin(served.trivy_version, now_s=now)
            self._told = True
        if current is None or current.version != served.version:
            _log.info("database announced", version=served.version, queued=queued)

    def _serve(self, version: str, server_url: str, trivy_version: str) -> None:
        try:
            with self._lock:
                # Of this machine until Redis answers: it only tells when we looked.
                self._told = False
                self._served = _Served(
                    version=version,
                    server_url=server_url,
                    trivy_version=trivy_version,
                    checked_at=self._checked_at(),
                )
            self.repeat()
        except SluiceError as error:
            _log.warning("database not announced yet", version=version, error=str(error))

    def _looked(self, error: SluiceError | None) -> None:
        """Tell users what a look failed of: a database that grows old is nobody's failure else."""
        try:
            failed = None
            if error is not None:
                _log.warning("database check failed", reason=error.reason, error=str(error))
                failed = FailedLook(
                    reason=error.reason, message=shorten(str(error)), at=self._now_s()
                )
            self._table.note_look(failed)
        except SluiceError as away:
            _log.debug("redis away", error=str(away))

    def _checked_at(self) -> float:
        """Return Redis' time; 0 while Redis is away."""
        try:
            return self._now_s()
        except SluiceError:
            return 0.0


class Images(Protocol):
    """The image table."""

    def keys(self) -> list[ImageKey]:
        """Return every image that has a record or a user."""


class Adding(Protocol):
    """The queue, as far as keys are added."""

    def add(self, adds: Sequence[Add]) -> AddResult:
        """Queue the keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeue:
    """Queues every image to be analysed again: in bulk, spread, so that no registry notices.

    What is known about an image stays until it was analysed again.
    """

    images: Images
    queue: Adding
    over_s: float
    cause: str

    def __call__(self) -> None:
        """Queue them; raises what Redis raises, and may be called again."""
        known = self.images.keys()
        adds = [
            Add(
                key=key,
                lane=Lane.BULK,
                delay_s=turn_s(key, over_s=self.over_s),
                cause=self.cause,
            )
            for key in known
        ]
        for start in range(0, len(adds), _BATCH):
            self.queue.add(adds[start : start + _BATCH])
        _log.info("images queued", cause=self.cause, images=len(adds), over_s=self.over_s)


def _must_publish(served: _Served, current: DatabaseRow | None, *, told: bool, now: float) -> bool:
    """Decide whether the row must be written. Pure."""
    if current is None:
        return True
    if current.server_url == served.server_url:
        return not told or now - current.alive_at >= _ALIVE_S
    return served.version > current.version or now - current.alive_at >= _DEAD_S


def _row(served: _Served, now: float) -> DatabaseRow:
    return DatabaseRow(
        version=served.version,
        server_url=served.server_url,
        trivy_version=served.trivy_version,
        checked_at=served.checked_at or now,
        alive_at=now,
    )


def _failed(error: SluiceError) -> None:
    """Log it; the matcher starts the server again by itself."""
    _log.warning("match server not started", reason=error.reason, error=str(error))


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
