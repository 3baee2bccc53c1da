"""Tags to digests: asks a registry what a reference means now. Nothing is ever pulled here."""

from __future__ import annotations

from typing import Protocol

from common.model.refs import ImageDigest, ImageReference


class Registry(Protocol):
    """Whatever knows what a reference means now."""

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None = None, *, insecure: bool
    ) -> ImageDigest:
        """Return the digest of the manifest or index that `reference` names.

        With a digest in it the registry is asked all the same: the answer proves that the
        credentials may pull it. Raises `ImageNotFoundError`, `UnauthorizedError`,
        `RateLimitedError` (with the wait that the registry asked for), `SourceUnavailableError`.
        """
        ...


class HttpRegistry:
    """The distribution API over HTTP(S)."""

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None = None, *, insecure: bool
    ) -> ImageDigest:
        """Ask by HEAD, then by GET where HEAD is not served; see `Registry.resolve`."""
        raise NotImplementedError
