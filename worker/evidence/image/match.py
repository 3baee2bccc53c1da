"""Matches: which vulnerabilities an inventory has under the current database. Milliseconds each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from common.model.image import Inventory, Match


class Matcher(Protocol):
    """Whatever matches an inventory against the vulnerability database."""

    def match(self, inventory: Inventory) -> Match:
        """Return the findings of `inventory` and the database version that gave them.

        Raises `SourceUnavailableError` when the match server does not answer for longer than a
        restart takes, `LayerCacheMissingError` when it lost the layers (take stock again).
        """
        ...


class TwirpMatcher:
    """`trivy server` over Twirp/JSON. Thread-safe; one kept-alive connection per thread."""

    def __init__(self, server_url: str | Callable[[], str], *, token: str | None = None) -> None:
        self._server_url = server_url
        self._token = token

    def match(self, inventory: Inventory) -> Match:
        """Match by one `Scan` call; see `Matcher.match`."""
        raise NotImplementedError
