"""Keeps the status page's numbers: read on a thread of its own, only while somebody looks.

A page never waits for Redis: it shows the last look and how old that is. Only the first page after
a quiet time waits, at most a second, so that it is not an old one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Self

import structlog

from common.model.errors import SluiceError, TransientError
from common.ops.refusals import REDIS_REFUSED
from common.overview.view import Overview
from watcher.status.answer import Seen, Unread

_log = structlog.get_logger()

_EVERY_S = 2.0
_SLOWEST_S = 30.0
# Reading takes at most a tenth of the time, so that a big cluster's page does not slow the watcher.
_REST_FACTOR = 9.0
_WATCHED_S = 60.0  # since the last page: then nobody looks any more
_PATIENCE_S = 1.0
_CLOSE_S = 1.0  # a read that Redis does not answer ends later, with the process


class Lookout:
    """Looks while pages are asked for. `look` on any thread."""

    def __init__(
        self,
        gather: Callable[[], Overview],
        *,
        monotonic: Callable[[], float],
        quiet: Callable[[], object] = lambda: None,
    ) -> None:
        """`quiet` is called when nobody looks any more, on the thread that reads."""
        self._gather = gather
        self._monotonic = monotonic
        self._quiet = quiet
        self._changed = threading.Condition()
        self._asked_at_s = float("-inf")
        self._turns = 0
        self._overview: Overview | None = None
        self._read_at_s = 0.0
        self._unread: Unread | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)
        self._thread.start()

    def look(self) -> Seen:
        """Return the last look; waits a second at most, and only when nobody looked lately."""
        with self._changed:
            before, quiet = self._turns, not self._watched()
            self._asked_at_s = self._monotonic()
            self._changed.notify_all()
            if quiet or not self._turns:
                self._changed.wait_for(lambda: self._turns > before, timeout=_PATIENCE_S)
            age_s = self._monotonic() - self._read_at_s
            return Seen(overview=self._overview, age_s=age_s, unread=self._unread)

    def close(self) -> None:
        """End the thread, within a second if Redis answers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watched(self) -> bool:
        return self._monotonic() - self._asked_at_s < _WATCHED_S

    def _run(self) -> None:
        while self._wait_for_somebody():
            began_s = self._monotonic()
            found = self._read()
            took_s = self._monotonic() - began_s
            with self._changed:
                self._keep(found)
                # Time that passed without an answer cost nobody anything.
                cost_s = 0.0 if isinstance(found, Unread) and found.away else took_s
                rest_s = min(max(_EVERY_S, _REST_FACTOR * cost_s), _SLOWEST_S)
                self._changed.wait_for(lambda: self._closed, timeout=rest_s)
            if not self._watched():
                self._rest()

    def _rest(self) -> None:
        """Let go of what is big: the list of workloads of a big cluster has some megabytes."""
        with self._changed:
            if self._overview is not None:
                self._overview = replace(self._overview, roster=None)
        self._quiet()

    def _wait_for_somebody(self) -> bool:
        """Return once somebody looks; False: closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._watched())
            return not self._closed

    def _keep(self, found: Overview | Unread) -> None:
        self._turns += 1
        if isinstance(found, Overview):
            self._overview, self._unread = found, None
            self._read_at_s = self._monotonic()
        else:
            self._unread = found
        self._changed.notify_all()

    def _read(self) -> Overview | Unread:
        try:
            return self._gather()
        except SluiceError as exc:
            away = isinstance(exc, TransientError) and exc.reason != REDIS_REFUSED
            return Unread(away=away, message=str(exc))
        except Exception:  # noqa: BLE001 # a row of a newer version: told on the page, tried again
            if self._unread is None:
                _log.exception("status page: the tables cannot be read")
            return Unread(away=False, message="unexpected content; the watcher's log says more")
