"""Image references: what a user wrote, what a kubelet reports, what a registry is asked for.

Decides by the rules that both sides of a pull share: the grammar of the distribution project (what
a kubelet accepts) and the defaults of go-containerregistry (what Trivy and trivy-operator show), so
`nginx` is `index.docker.io/library/nginx:latest`. Pure: no network, the same answer for ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NewType

from common.model.errors import BadReferenceError, shorten

ImageDigest = NewType("ImageDigest", str)
"""`sha256:` and 64 lower-case hex digits."""

DEFAULT_REGISTRY = "index.docker.io"
DEFAULT_TAG = "latest"

# docker.io is how users write it; index.docker.io is its name in reports and credentials;
# registry-1.docker.io is the machine, which no image name carries.
_HUB_ALIASES = frozenset({"docker.io", DEFAULT_REGISTRY})

# Source: distribution/reference, grammar in reference.go; the tag is cut where a registry cuts it.
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::[0-9]{{1,5}})?")
_BARE_HEX = re.compile(r"[0-9a-f]{64}")  # an image id, never a repository
_MAX_NAME = 255  # registry and repository together, as both libraries limit it


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ImageReference:
    """One parsed reference. `parse_reference` is the only sound way to make the first of a kind."""

    registry: str  # host, port if any; Docker Hub is always `index.docker.io`
    repository: str  # with `library/` where Docker Hub implies it
    tag: str = ""  # empty only when a digest stands in its place
    digest: str = ""  # empty: the tag alone names the image

    @property
    def name(self) -> str:
        """`registry/repository`."""
        return f"{self.registry}/{self.repository}"

    @property
    def canonical(self) -> str:
        """Everything that was said, in its one spelling; parses to an equal value."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def pull_name(self) -> str:
        """What a registry is asked for: the digest where there is one, else the tag."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"

    def pinned(self, digest: str) -> ImageReference:
        """Return the same repository at `digest`, without the tag: tags move, digests do not.

        Raises BadReferenceError when `digest` is none.
        """
        return replace(self, tag="", digest=parse_digest(digest))


def parse_digest(text: str) -> ImageDigest:
    """Return `text` as a digest; raise BadReferenceError unless it is `sha256:` and 64 hex digits.

    Other algorithms exist on paper only: no registry and no kubelet hands them out.
    """
    if _DIGEST.fullmatch(text) is None:
        raise BadReferenceError(
            f"not an image digest: {shorten(repr(text))}; expected sha256:<64 hex>"
        )
    return ImageDigest(text)


def parse_reference(text: str) -> ImageReference:
    """Return the reference that `text` means.

    Raises BadReferenceError, naming the text and the part at fault.
    """
    if _DIGEST.fullmatch(text):  # kubelets take it for the id of an image on their own disk
        raise _bad(text, "repository")
    rest, at, digest_text = text.partition("@")
    digest = _checked(_DIGEST, digest_text, text=text, part="digest") if at else ""
    rest, tag = _split_tag(rest)
    if tag is not None:
        _checked(_TAG, tag, text=text, part="tag")
    host, repository = _split_host(rest)
    _checked(_HOST, host, text=text, part="registry")
    _checked(_REPOSITORY, repository, text=text, part="repository")
    if len(host) + 1 + len(repository) > _MAX_NAME or _BARE_HEX.fullmatch(rest):
        raise _bad(text, "repository")
    default_tag = "" if digest else DEFAULT_TAG
    return ImageReference(
        registry=host,
        repository=repository,
        tag=default_tag if tag is None else tag,
        digest=digest,
    )


def digest_of_image_id(image_id: str) -> ImageDigest | None:
    """Return the pullable digest in a kubelet's `imageID`, or None when it holds none.

    `repo@sha256:…` and `docker-pullable://repo@sha256:…` carry the digest of a manifest or of an
    index. A bare `sha256:…` (or `docker://sha256:…`) is the digest of the image's *configuration*,
    which no registry serves as an image: it must not be taken for a pullable one.
    """
    _, at, digest = image_id.rpartition("@")
    if not at or _DIGEST.fullmatch(digest) is None:
        return None
    return ImageDigest(digest)


def config_of_image_id(image_id: str) -> ImageDigest | None:
    """Return the digest of the configuration in a kubelet's `imageID`, or None when it holds none.

    So kubelets call images that a node got from no registry: loaded by hand, or built there.
    """
    digest = image_id.removeprefix("docker://")
    return ImageDigest(digest) if _DIGEST.fullmatch(digest) else None


def _split_tag(rest: str) -> tuple[str, str | None]:
    """Split off the tag; the last colon of `host:5000/repo` belongs to the port."""
    head, colon, last = rest.rpartition(":")
    return (head, last) if colon and "/" not in last else (rest, None)


def _split_host(rest: str) -> tuple[str, str]:
    """Split off the registry: a first part with a dot or a colon, or `localhost`."""
    first, slash, others = rest.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    host, repository = (first, others) if named else (DEFAULT_REGISTRY, rest)
    if host in _HUB_ALIASES:
        implied = "" if "/" in repository else "library/"
        return DEFAULT_REGISTRY, implied + repository
    return host, repository


def _checked(grammar: re.Pattern[str], value: str, *, text: str, part: str) -> str:
    if grammar.fullmatch(value) is None:
        raise _bad(text, part)
    return value


def _bad(text: str, part: str) -> BadReferenceError:
    return BadReferenceError(
        f"not an image reference: {shorten(repr(text))}: the {part} is not valid"
    )
