"""Matches the cluster's own software: the packages are handed to the match server, then scanned.

As `trivy sbom --server` does, without the program: one blob of packages under a name that follows
from them, which the server keeps in its cache of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Protocol

import msgspec

from common.model.canonical import content_hash
from common.model.clusterrow import KbomPackage
from common.model.errors import TransientError
from common.model.image import Match
from worker.evidence.image.findings import findings_of
from worker.evidence.image.match import OPTIONS
from worker.evidence.image.twirp import Token, TrivyServerClient

_MAX_ROUNDS = 5  # as for images: a database changes once in hours
_BLOB_SCHEMA = 2  # Trivy's BlobJSONSchemaVersion; another one would count as missing


class ClusterMatch(msgspec.Struct, frozen=True, kw_only=True):
    """The findings, and the Trivy that found them."""

    trivy_version: str
    match: Match


class ClusterMatcher(Protocol):
    """Whatever matches packages against the vulnerability database."""

    def match(self, target: str, packages: Iterable[KbomPackage]) -> ClusterMatch:
        """Return the findings of the packages; raises as `Matcher.match` does."""
        ...


class TwirpClusterMatcher:
    """`trivy server` over Twirp/JSON. Thread-safe."""

    def __init__(self, server_url: str | Callable[[], str], *, token: Token = None) -> None:
        """`server_url`: one server, or whoever knows where it is now."""
        self._server = TrivyServerClient(server_url, token=token)

    def match(self, target: str, packages: Iterable[KbomPackage]) -> ClusterMatch:
        """Match by two calls. The version is read before and after, as for images."""
        blob = _blob(packages)
        name = f"sha256:{content_hash(blob):0<64}"
        request = {
            "target": target,
            "artifact_id": name,
            "blob_ids": [name],
            "options": OPTIONS,
        }
        self._server.database_version()  # raises where there is none
        before = self._server.version()
        for _ in range(_MAX_ROUNDS):
            self._server.call("cache", "PutBlob", {"diff_id": name, "blob_info": blob})
            answer = self._server.call("scanner", "Scan", request)
            after = self._server.version()
            if before == after and after.database is not None:
                match = Match(db_version=after.database.updated_at, findings=findings_of(answer))
                return ClusterMatch(trivy_version=after.trivy, match=match)
            before = after
        raise TransientError(
            f"the vulnerability database changed {_MAX_ROUNDS} times during one match",
            reason="DatabaseChanging",
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._server.close()


def _blob(packages: Iterable[KbomPackage]) -> Mapping[str, object]:
    """Return the packages as Trivy keeps what it finds: an application for each type."""
    by_type = groupby(sorted(packages), key=attrgetter("type"))
    return {
        "schema_version": _BLOB_SCHEMA,
        "applications": [
            {"type": kind, "packages": [_package(one) for one in found]} for kind, found in by_type
        ],
    }


def _package(package: KbomPackage) -> Mapping[str, object]:
    return {
        "id": f"{package.name}@{package.version}",
        "name": package.name,
        "version": package.version,
        "identifier": {"purl": package.purl, "bom_ref": package.purl},
    }
