"""Asks a registry what a reference means now, and which layers an image has. Pulls no layer."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from common.model.errors import (
    BadReferenceError,
    DamagedImageError,
    ImageNotFoundError,
    RateLimitedError,
    SluiceError,
    SourceUnavailableError,
    TerminalError,
    UnauthorizedError,
    shorten,
)
from common.model.hiding import without
from common.model.refs import DEFAULT_REGISTRY, ImageDigest, ImageReference, parse_digest
from worker.evidence.failures import scrub
from worker.evidence.image import manifest
from worker.evidence.image.access import Access
from worker.evidence.image.docker_config import Credential, credential_in
from worker.evidence.image.manifest import ManifestSeen
from worker.evidence.image.registry_http import Opened, RegistryHttp, Reply, said
from worker.evidence.image.registry_token import (
    Challenge,
    basic,
    bearer,
    parse_challenge,
    token_request,
)

_ACCEPT = {"Accept": ", ".join((*manifest.INDEX_TYPES, *manifest.MANIFEST_TYPES))}
_MAX_DEPTH = 3  # of an index in an index; nobody nests them, and a loop cannot be made of digests
# Docker Hub's images carry one host in their names, its API has another.
_API_HOST = {DEFAULT_REGISTRY: "registry-1.docker.io"}
_REFUSAL_BYTES = 16 * 1024  # of an answer's text; what is shown of it is far shorter
_OK, _PARTIAL, _UNAUTHORIZED, _SERVER = 200, 206, 401, 500
_CLOSED = (401, 403)
_BASIC = Challenge(scheme="basic")
_NO_HEAD = (400, 405, 501)  # what HEAD gets where only GET is served


class Registry(Protocol):
    """Whatever knows what a reference means now."""

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None = None, *, access: Access
    ) -> ImageDigest:
        """Return the digest of the manifest or index that `reference` names, asked by `access`.

        With a digest in it the registry is asked all the same: the answer proves that the
        credentials may pull it. Raises `ImageNotFoundError`, `UnauthorizedError`,
        `RateLimitedError` (with the wait that the registry asked for), `SourceUnavailableError`.
        """
        ...


class Questions(Registry, Protocol):
    """A registry that tells which configuration an image has, too."""

    def manifest(
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
    ) -> ManifestSeen:
        """Return manifest and configuration of the platform's image in `digest`."""
        ...


class HttpRegistry:
    """The distribution API over HTTP(S). Holds nothing, not even tokens. Thread-safe."""

    def ping(self, access: Access) -> None:
        """Ask for a sign of life, without credentials; a refusal is one.

        Raises `SourceUnavailableError` after 20 s of silence, or for a 5xx.
        """
        reply = _http(access).exchange("GET", "/v2/", {})
        if reply.status >= _SERVER:
            raise SourceUnavailableError(
                f"{access.host} answers {reply.status}", reason="RegistryUnavailable"
            )

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None = None, *, access: Access
    ) -> ImageDigest:
        """Ask by HEAD, then by GET where HEAD does not tell; see `Registry.resolve`.

        HEAD is no pull in the registries' accounts: Docker Hub counts only GET.
        """
        inquiry = _Inquiry(access, reference, credential_in(docker_config, access.host))
        reply = inquiry.ask("HEAD")
        if reply.status == _OK:
            digest = reference.digest or reply.headers.get("Docker-Content-Digest") or ""
            with contextlib.suppress(BadReferenceError):  # an old registry; the body tells
                return parse_digest(digest)
        elif reply.status not in _NO_HEAD:
            raise inquiry.refusal(reply)
        reply = inquiry.ask("GET")
        if reply.status != _OK:
            raise inquiry.refusal(reply)
        return ImageDigest(f"sha256:{hashlib.sha256(reply.body).hexdigest()}")

    def outline(
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
    ) -> tuple[bytes, ...]:
        """Return the manifest of the platform's image in `digest`, and before it its indexes.

        They name the layers. What `manifest` says of its arguments and errors holds here too.
        """
        inquiry = _Inquiry(access, reference.pinned(digest), credential_in(config, access.host))
        return _outline(inquiry, digest, platform, {})

    def manifest(  # noqa: PLR0913 - what is asked, by which way
        self,
        reference: ImageReference,
        digest: str,
        *,
        config: bytes | None,
        platform: str,
        access: Access,
        known: Sequence[bytes] = (),
    ) -> ManifestSeen:
        """Return the manifest and configuration of the platform's image in `digest`.

        `digest` may be an index's or a manifest's; a manifest is taken whatever its platform, as
        Trivy does. Each document is asked for once, those that are `known` not at all, and its
        digest checked. `config` is a docker config. Raises what `resolve` raises, and
        NoPlatformError, DamagedImageError, TransferDamagedError.
        """
        inquiry = _Inquiry(access, reference.pinned(digest), credential_in(config, access.host))
        *indexes, body = _outline(
            inquiry, digest, platform, {manifest.digest_of(one): one for one in known}
        )
        configuration = inquiry.read("blobs", manifest.config_of(body))
        found = manifest.seen(
            body,
            configuration,
            index_digest=digest if indexes else "",
            digest=manifest.digest_of(body),
        )
        return dataclasses.replace(found, indexes=tuple(indexes))

    def blobs(
        self, reference: ImageReference, docker_config: bytes | None = None, *, access: Access
    ) -> Blobs:
        """Return the way to the blobs of one image's repository."""
        return Blobs(_Inquiry(access, reference, credential_in(docker_config, access.host)))


class Blobs:
    """The blobs of one repository. Thread-safe; it keeps the proof that the registry asked for."""

    def __init__(self, inquiry: _Inquiry) -> None:
        self._inquiry = inquiry

    def open(self, digest: str, part: tuple[int, int] | None = None) -> Opened:
        """Ask for a blob, or for its bytes from the first to the last of `part`.

        The status is 206 for a part, 200 for the whole, which a registry may send all the same.
        Raises what `Registry.resolve` raises. Close the answer's body.
        """
        try:
            return self._inquiry.open(digest, part)
        except TerminalError as exc:
            if part is None or exc.reason != "RegistryRefused":
                raise
        return self._inquiry.open(digest, None)  # one that knows no parts


def _outline(
    inquiry: _Inquiry, digest: str, platform: str, known: Mapping[str, bytes]
) -> tuple[bytes, ...]:
    found = []
    for _ in range(1 + _MAX_DEPTH):
        found.append(known.get(digest) or inquiry.read("manifests", digest))
        if not manifest.is_index(found[-1]):
            return tuple(found)
        digest = manifest.entry_for(found[-1], platform)
    raise DamagedImageError(f"indexes are nested deeper than {_MAX_DEPTH}")


def _http(access: Access) -> RegistryHttp:
    host = _API_HOST.get(access.host, access.host)
    return RegistryHttp(host, plain=access.plain, verify=access.verify)


class _Inquiry:
    """Questions about one reference, with the proof that the first answer asked for."""

    def __init__(
        self, access: Access, reference: ImageReference, credential: Credential | None
    ) -> None:
        self._http = _http(access)
        self._repository = access.repository
        self._reference = reference
        self._credential = credential
        self._authorization = ""
        self._proving = threading.Lock()

    def ask(self, method: str) -> Reply:
        """Ask what the reference means."""
        return self._ask(method, "manifests", self._reference.digest or self._reference.tag)

    def read(self, kind: str, digest: str) -> bytes:
        """Return a document whose digest is known."""
        reply = self._ask("GET", kind, digest)
        if reply.status != _OK:
            raise self.refusal(reply)
        return manifest.checked(reply.body, digest, what=kind.removesuffix("s"))

    def open(self, digest: str, part: tuple[int, int] | None) -> Opened:
        """Ask for a blob; a proof that ran out meanwhile is asked for again."""
        shown = self._authorization
        opened = self._open(digest, part, shown)
        if opened.status == _UNAUTHORIZED:
            proof = self._renewed(shown, opened)
            if proof != shown:
                opened.body.close()
                opened = self._open(digest, part, proof)
        if opened.status in (_OK, _PARTIAL):
            return opened
        with opened.body:
            raise self.refusal(said(opened))

    def refusal(self, reply: Reply) -> SluiceError:
        """Return what an answer other than the one hoped for means."""
        shown = self._authorization.rpartition(" ")[2]
        known = (shown, *(self._credential.secrets if self._credential else ()))
        if reply.status in _CLOSED and self._credential is None:
            return UnauthorizedError(
                f"the registry refuses our credentials for {self._reference.pull_name}: there are "
                "none; no pull secret of the workload or its service account is for it"
            )
        return _refusal(self._reference, reply, known)

    def _renewed(self, shown: str, refused: Reply | Opened) -> str:
        """Return a new proof, if the registry asked for one; the one that was `shown` ran out.

        Whoever it leads us to may not ask: we would hand our credential to a place of his choice.
        """
        if refused.elsewhere:
            return shown
        # Without a challenge (nginx in front of a registry) go-containerregistry, and so Trivy,
        # sends user and password; the two must agree on who may pull.
        challenge = parse_challenge(refused.headers.get("WWW-Authenticate") or "") or _BASIC
        with self._proving:  # an image's layers are asked for at once
            if self._authorization == shown:
                self._authorization = self._proof(challenge)
            return self._authorization

    def _open(self, digest: str, part: tuple[int, int] | None, authorization: str) -> Opened:
        headers = {"Authorization": authorization} if authorization else {}
        if part is not None:
            headers["Range"] = f"bytes={part[0]}-{part[1]}"
        return self._http.open(f"/v2/{self._repository}/blobs/{digest}", headers)

    def _ask(self, method: str, kind: str, name: str) -> Reply:
        shown = self._authorization
        reply = self._send(method, kind, name)
        if reply.status == _UNAUTHORIZED and self._renewed(shown, reply) not in ("", shown):
            return self._send(method, kind, name)
        return reply

    def _send(self, method: str, kind: str, name: str) -> Reply:
        headers = dict(_ACCEPT) if kind == "manifests" else {}
        if self._authorization:
            headers["Authorization"] = self._authorization
        return self._http.exchange(method, f"/v2/{self._repository}/{kind}/{name}", headers)

    def _proof(self, challenge: Challenge) -> str:
        """Return the header that answers the challenge, empty where we have nothing to answer."""
        if challenge.scheme == "basic":
            return basic(self._credential) if self._credential else ""
        wanted = token_request(
            challenge,
            self._credential,
            scope=f"repository:{self._repository}:pull",
            secure=self._http.scheme == "https",
        )
        if challenge.scheme != "bearer" or wanted is None:
            return ""
        headers = {"Authorization": wanted.authorization} if wanted.authorization else {}
        method = "GET" if wanted.form is None else "POST"
        reply = self._http.fetch(method, wanted.url, headers, wanted.form)
        if reply.status != _OK:
            raise self.refusal(reply)
        return bearer(reply.body) or ""


def _refusal(reference: ImageReference, reply: Reply, known: Sequence[str]) -> SluiceError:
    """Return the error; `known` are the secrets that the answer may repeat."""
    name = reference.pull_name
    match reply.status:
        case status if status in _CLOSED:
            return UnauthorizedError(f"the registry refuses our credentials for {name}")
        case 404:
            return ImageNotFoundError(f"the registry does not know {name}")
        case 429:
            return RateLimitedError(
                f"{reference.registry} asks us to slow down", retry_after_s=reply.retry_after_s
            )
        case status if status >= _SERVER:
            return SourceUnavailableError(
                f"{reference.registry} answers {status}",
                reason="RegistryUnavailable",
                retry_after_s=reply.retry_after_s,
            )
        case status:
            body = reply.body[:_REFUSAL_BYTES].decode(errors="replace")
            text = shorten(scrub(without(body, known)))
            return TerminalError(
                f"{reference.registry} answers {status} for {name}: {text}",
                reason="RegistryRefused",
            )
