"""The settings of ConfigMaps that the leading watcher published: taken at the start, then followed.

A worker whose settings changed ends this life in good order (it drains, and gives back the rest)
and begins another one. It goes by what is published and not by ConfigMaps of its own reading, so
that all work with the same and none needs a right to them. A table that is gone, with Redis' data,
says nothing: what held holds on.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import structlog

from common.model.errors import SettingsError, SluiceError
from common.model.overlay import EMPTY, Overlay
from common.settings.operator_keys import SETTABLE
from common.settings.overlay import adopt
from common.settings.parse import parse
from common.settings.table import BY_NAME
from common.settings.value import Settings

_log = structlog.get_logger()

LOOK_S = 1.0  # as the epoch is looked at
_LAST_LOOK_S = 2.0


class Overlays(Protocol):
    """What is published; raises SluiceError."""

    def digest(self) -> str:
        """Return its digest; empty: nothing is."""

    def current(self) -> Overlay | None:
        """Return it; None: nothing is, or nothing that can be read."""


def concerning(pools: Sequence[str]) -> frozenset[str]:
    """Return the names of settings that a worker of these pools reads. Pure.

    None reads what the watcher's rows tell, and who only serves matches projects no report.
    """
    rows = [BY_NAME[name] for name in SETTABLE if not BY_NAME[name].shapes_rows]
    if tuple(pools) == ("match",):
        rows = [row for row in rows if not row.shapes_reports]
    return frozenset(row.name for row in rows)


class Followed:
    """`begin` once; then `look` from one thread."""

    def __init__(self, table: Overlays, texts: Mapping[str, str], *, pools: Sequence[str]) -> None:
        """`texts` is the environment, files read."""
        self._table = table
        self._texts = texts
        self._names = concerning(pools)
        self._seen = ""  # the digest that was looked at last
        self._running = EMPTY

    def begin(self) -> Settings:
        """Return the settings that count now. Raises SluiceError where Redis does not answer.

        What was published for another version of ours, perhaps, counts for nothing: until the
        watcher is of this one, this worker stands back, for its generation is another.
        """
        self._running = self._table.current() or EMPTY
        self._seen = self._running.digest
        try:
            return adopt(self._texts, self._running)
        except SettingsError as exc:
            _log.error("the published settings cannot be read", error=str(exc))
            return parse(self._texts)

    def look(self) -> bool:
        """Return whether other settings are published that matter here. Raises SluiceError."""
        digest = self._table.digest()
        if digest == self._seen:
            return False
        published = self._table.current()
        if published is None:
            return False
        self._seen = digest
        return published.digest_of(self._names) != self._running.digest_of(self._names)

    @contextlib.contextmanager
    def until(self, stop: threading.Event, renew: Callable[[], None]) -> Iterator[None]:
        """Look during the block until `stop` is set; call `renew` when something changed."""
        thread = threading.Thread(
            target=self._follow, args=(stop, renew), name="settings", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(_LAST_LOOK_S)

    def _follow(self, stop: threading.Event, renew: Callable[[], None]) -> None:
        while not stop.wait(LOOK_S):
            try:
                if self.look():
                    renew()
                    return
            except SluiceError as exc:
                _log.debug("settings not looked at", reason=exc.reason)
