"""Matches: which vulnerabilities an inventory has under the current database. Milliseconds each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from common.model.errors import TransientError
from common.model.image import Inventory, Match
from worker.evidence.image.findings import findings_of
from worker.evidence.image.twirp import Token, TrivyServerClient

# What Trivy's command line sends for an image, but for licences, which matching does not read.
_OPTIONS = {
    "scanners": ["vuln"],
    "pkg_types": ["os", "library"],
    "pkg_relationships": ["unknown", "root", "workspace", "direct", "indirect"],
    "vuln_severity_sources": ["auto"],
}
_MAX_ROUNDS = 5  # a database changes once in hours: twice during one match is already odd


class Matcher(Protocol):
    """Whatever matches an inventory against the vulnerability database."""

    def match(self, inventory: Inventory) -> Match:
        """Return the findings of `inventory` and the database version that gave them.

        Raises `SourceUnavailableError` when the match server does not answer for longer than a
        restart takes, `LayerCacheMissingError` when it lost the layers (take stock again).
        """
        ...


class TwirpMatcher:
    """`trivy server` over Twirp/JSON. Thread-safe. Close it."""

    def __init__(self, server_url: str | Callable[[], str], *, token: Token = None) -> None:
        """`server_url`: one server, or whoever knows where it is now."""
        self._server = TrivyServerClient(server_url, token=token)

    def match(self, inventory: Inventory) -> Match:
        """Match by one `Scan` call; see `Matcher.match`.

        The version is read before and after. A server has one database for its whole life, so equal
        versions around the call mean that this very database gave the answer.
        """
        request = {
            "target": inventory.target,
            "artifact_id": inventory.artifact_id,
            "blob_ids": inventory.blob_ids,
            "options": _OPTIONS,
        }
        before = self._server.database_version()
        for _ in range(_MAX_ROUNDS):
            answer = self._server.call("scanner", "Scan", request)
            after = self._server.database_version()
            if before == after:
                return Match(db_version=after, findings=findings_of(answer))
            before = after
        raise TransientError(
            f"the vulnerability database changed {_MAX_ROUNDS} times during one match",
            reason="DatabaseChanging",
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._server.close()
