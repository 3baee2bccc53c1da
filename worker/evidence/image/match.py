"""Matches: which vulnerabilities an inventory has under the current database. Milliseconds each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Protocol

from common.model.errors import SluiceError, SourceUnavailableError, TransientError
from common.model.image import DETAILS, Finding, Inventory, Layers, Match
from worker.evidence.image.findings import findings_of
from worker.evidence.image.twirp import UNAVAILABLE, Token, TrivyServerClient

# What Trivy's command line sends for an image, but for licences, which matching does not read.
OPTIONS = {
    "scanners": ["vuln"],
    "pkg_types": ["os", "library"],
    "pkg_relationships": ["unknown", "root", "workspace", "direct", "indirect"],
    "vuln_severity_sources": ["auto"],
}
# Calls at once: enough to keep a server busy while we read the answer before.
_CALLS = 4
_MAX_ROUNDS = 5  # a database changes once in hours: twice during one match is already odd


class Matcher(Protocol):
    """Whatever matches an inventory against the vulnerability database."""

    def match(self, inventory: Inventory) -> Match:
        """Return the findings of `inventory` and the database version that gave them.

        Raises `SourceUnavailableError` when the match server does not answer for longer than a
        restart takes, `LayerCacheMissingError` when it lost the layers (take stock again).
        """
        ...


class BatchMatcher(Protocol):
    """Whatever matches many inventories against one database."""

    def match_many(self, images: Sequence[Layers]) -> list[Match | SluiceError]:
        """Return the findings of each, or what is wrong with that one."""
        ...


class TwirpMatcher:
    """`trivy server` over Twirp/JSON. Thread-safe. Close it."""

    def __init__(
        self,
        server_url: str | Callable[[], str],
        *,
        token: Token = None,
        details: Collection[str] = DETAILS.keys(),
    ) -> None:
        """`server_url`: one server, or whoever knows where it is now.

        `details`: which of `DETAILS` are kept.
        """
        self._server = TrivyServerClient(server_url, token=token)
        self._lacks = tuple(sorted(DETAILS.keys() - set(details)))

    def match(self, inventory: Inventory) -> Match:
        """Match by one `Scan` call; see `Matcher.match`."""
        (found,) = self.match_many([inventory.layers])
        if isinstance(found, SluiceError):
            raise found
        return found

    def match_many(self, images: Sequence[Layers]) -> list[Match | SluiceError]:
        """Match several by one database; return the findings of each, or what is wrong with it.

        The version is read before and after. A server has one database for its whole life, so equal
        versions around the calls mean that this very database gave the answers.

        Raises SourceUnavailableError when the server is away.
        """
        before = self._server.database_version()
        for _ in range(_MAX_ROUNDS):
            answers = self._answers(images)
            after = self._server.database_version()
            if before == after:
                return [
                    answer
                    if isinstance(answer, SluiceError)
                    else Match(db_version=after, findings=answer, lacks=self._lacks)
                    for answer in answers
                ]
            before = after
        raise TransientError(
            f"the vulnerability database changed {_MAX_ROUNDS} times during one match",
            reason="DatabaseChanging",
        )

    def _answers(self, images: Sequence[Layers]) -> list[tuple[Finding, ...] | SluiceError]:
        """Ask for all of them. One that the server did not survive spares the rest the wait."""
        away: list[SluiceError] = []

        def ask(image: Layers) -> tuple[Finding, ...] | SluiceError:
            if away:
                return away[0]
            try:
                answer = self._server.call("scanner", "Scan", request_of(image))
                return findings_of(answer, self._lacks)
            except SluiceError as error:
                if isinstance(error, SourceUnavailableError) and error.reason == UNAVAILABLE:
                    away.append(error)
                return error

        return [ask(images[0])] if len(images) == 1 else list(self._callers.map(ask, images))

    @cached_property
    def _callers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_CALLS, thread_name_prefix="match")

    def close(self) -> None:
        """Close the idle connections."""
        self._server.close()


def request_of(image: Layers) -> dict[str, object]:
    """Return the body of the `Scan` call for an image."""
    return {
        "target": image.target,
        "artifact_id": image.artifact_id,
        "blob_ids": image.blob_ids,
        "options": OPTIONS,
    }
