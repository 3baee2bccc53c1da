"""trivy-operator's ConfigMaps: read at the start, looked at again and again, followed.

A change that says something else ends this life of the watcher in good order; the next one begins
with the new settings and publishes them. What is wrong in them changes nothing and ends nothing: it
is told, and what held before holds on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog

from common.kube.errors import DeniedError
from common.model.errors import SluiceError
from common.model.overlay import EMPTY, Overlay
from common.settings.operator_keys import MAPS
from common.settings.overlay import Chosen, choose, unread
from common.settings.parse import parse
from common.settings.value import Settings

_log = structlog.get_logger()

# Three small answers out of the API server's memory; a watch would need further rights, to list and
# to watch, and a stream each.
LOOK_S = 5.0
_FORBIDDEN = 403


class Maps(Protocol):
    """The ConfigMaps of one namespace."""

    @property
    def namespace(self) -> str:
        """Where they are."""

    def read(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return the texts of those that exist; raises an ApiError or SourceUnavailableError."""


class ConfigMapSettings:
    """`overlay` may be read on any thread; the rest belongs to one at a time."""

    def __init__(
        self,
        maps: Maps | None,
        texts: Mapping[str, str],
        *,
        last: Callable[[], Overlay | None],
    ) -> None:
        """Take `maps`, None where they are no settings, and `texts`: the environment, files read.

        `last` returns what held before this process, and may raise SluiceError.
        """
        self._maps = maps
        self._texts = texts
        self._last = last
        self._found: dict[str, dict[str, str]] | None = None  # None: they may not be read
        self._silent = False
        self.overlay = EMPTY

    def begin(self) -> Settings:
        """Read them and return the settings. Raises SluiceError where nobody answers."""
        if self._maps is None:
            return parse(self._texts)
        self._found = self._read(self._maps)
        chosen = self._chosen(self._maps, self._found, last=self._last)
        self._take(chosen.overlay)
        return chosen.settings

    def look(self) -> bool:
        """Look once more; return whether they say something else now. Raises SluiceError."""
        if self._maps is None:
            return False
        found = self._read(self._maps)
        if found == self._found:
            return False
        self._found = found
        overlay = self._chosen(self._maps, found, last=lambda: self.overlay).overlay
        if overlay.digest != self.overlay.digest:
            _log.info("settings changed", names=_changed(self.overlay, overlay))
            return True
        self._take(overlay)
        return False

    def follow(
        self, stop: threading.Event, renew: Callable[[], None], *, every_s: float = LOOK_S
    ) -> None:
        """Look until `stop` is set; call `renew` and return when they say something else."""
        while not stop.wait(every_s):
            try:
                if self.look():
                    renew()
                    return
                self._silent = False
            except SluiceError as exc:
                if not self._silent:  # an outage may last an hour: one line when it begins
                    _log.warning("configmaps not read", reason=exc.reason, error=str(exc))
                self._silent = True

    def _read(self, maps: Maps) -> dict[str, dict[str, str]] | None:
        try:
            return maps.read(MAPS)
        except DeniedError as exc:
            if exc.code != _FORBIDDEN:
                raise
            return None

    def _chosen(
        self,
        maps: Maps,
        found: dict[str, dict[str, str]] | None,
        *,
        last: Callable[[], Overlay | None],
    ) -> Chosen:
        if found is None:
            return unread(self._texts, last(), namespace=maps.namespace)
        return choose(self._texts, found, namespace=maps.namespace, last=last)

    def _take(self, overlay: Overlay) -> None:
        """Let it count, and tell what is new in it."""
        for fault in overlay.faults:
            if fault not in self.overlay.faults:
                _log.error(
                    "a ConfigMap is wrong", what=str(fault), meanwhile=overlay.holds_meanwhile
                )
        for notice in overlay.notices:
            if notice not in self.overlay.notices:
                _log.warning("setting", what=notice)
        if self.overlay.faults and not overlay.faults:
            _log.info("the ConfigMaps are right again")
        self.overlay = overlay


def _changed(before: Overlay, after: Overlay) -> list[str]:
    one, other = ({each.name: each.text for each in of.entries} for of in (before, after))
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
