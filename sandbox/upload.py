"""Pushes content to an OCI registry over plain http, and only what is missing there.

Promise: a name is written last, after everything that it leads to. Blocking; one connection a
`Registry`; not thread-safe. For registries on this machine: no https, no token exchange.
Source: OCI distribution specification 1.1.
"""

from __future__ import annotations

import http.client
from base64 import b64encode
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from common.model.errors import SourceUnavailableError, UnauthorizedError, shorten
from sandbox.oci import INDEX_TYPE, MANIFEST_TYPE, Blob, Image, Index

# Tells our own requests from the product's and the kubelet's in a registry's access log.
USER_AGENT = "sandbox-push"
_TIMEOUT_S = 30.0  # a registry on loopback answers in milliseconds; this ends a hang
_OK, _CREATED, _ACCEPTED, _NOT_FOUND = 200, 201, 202, 404
_REFUSED = (401, 403)


class _Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Registry:
    """One registry at `address` (`host:port`). Close it, or use it as a context manager."""

    def __init__(self, address: str, *, username: str = "", password: str = "") -> None:
        self.address = address
        self._connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
        token = b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {"User-Agent": USER_AGENT}
        if username:
            self._headers["Authorization"] = f"Basic {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def digest(self, repository: str, reference: str) -> str | None:
        """Return what a tag or a digest leads to; None: nothing of that name is there."""
        accept = {"Accept": f"{INDEX_TYPE}, {MANIFEST_TYPE}"}
        answer = self._ask("HEAD", f"/v2/{repository}/manifests/{reference}", headers=accept)
        if answer.status == _NOT_FOUND:
            return None
        self._expect(answer, _OK, f"{repository}:{reference}")
        return answer.headers["Docker-Content-Digest"]

    def push(self, repository: str, content: Image | Index, *tags: str) -> str:
        """Push `content` under its digest and `tags`; return the digest.

        A tag that already leads there costs one request. Raises SourceUnavailableError and
        UnauthorizedError.
        """
        absent = [tag for tag in tags if self.digest(repository, tag) != content.digest]
        if tags and not absent:
            return content.digest
        match content:
            case Index(images=images):
                for each in images:
                    self.push(repository, each)
            case Image(blobs=blobs):
                for blob in blobs:
                    self.put_blob(repository, blob)
        for name in (content.digest, *absent):
            self.put_manifest(repository, name, content.manifest)
        return content.digest

    def put_blob(self, repository: str, blob: Blob) -> None:
        """Upload one blob unless it is there."""
        path = f"/v2/{repository}/blobs/"
        if self._ask("HEAD", path + blob.digest).status == _OK:
            return
        begun = self._ask("POST", path + "uploads/")
        self._expect(begun, _ACCEPTED, repository)
        place = urlsplit(begun.headers["Location"])
        query = f"{place.query}&" if place.query else ""
        target = f"{place.path}?{query}digest={blob.digest}"
        binary = {"Content-Type": "application/octet-stream"}
        self._expect(self._ask("PUT", target, body=blob.body, headers=binary), _CREATED, repository)

    def put_manifest(self, repository: str, reference: str, manifest: Blob) -> None:
        """Store a manifest or an index under a tag or its digest."""
        path = f"/v2/{repository}/manifests/{reference}"
        typed = {"Content-Type": manifest.media_type}
        answer = self._ask("PUT", path, body=manifest.body, headers=typed)
        self._expect(answer, _CREATED, f"{repository}:{reference}")

    def _ask(
        self, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> _Answer:
        try:
            self._connection.request(method, path, body, {**self._headers, **(headers or {})})
            response = self._connection.getresponse()
            return _Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as exc:
            self._connection.close()  # the next request opens a fresh one
            raise SourceUnavailableError(f"registry {self.address} does not answer: {exc}") from exc

    def _expect(self, answer: _Answer, status: int, what: str) -> None:
        if answer.status == status:
            return
        cause = shorten(answer.body.decode(errors="replace"))
        text = f"registry {self.address} answers {answer.status} for {what}: {cause}"
        if answer.status in _REFUSED:
            raise UnauthorizedError(text)
        raise SourceUnavailableError(text)
