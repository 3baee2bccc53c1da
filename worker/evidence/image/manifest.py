"""What an index, a manifest and a configuration say: which image is whose, and its layers.

Pure: reads bytes that `registry` fetched. Chooses a platform's image as Trivy does
(go-containerregistry: the first entry whose OS and architecture are equal, and the variant where
one was asked for), or the two would speak of different images.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from common.model.bounded import UNREADABLE
from common.model.errors import (
    BadReferenceError,
    DamagedImageError,
    NoPlatformError,
    TerminalError,
    TransferDamagedError,
    shorten,
)
from common.model.refs import ImageDigest, parse_digest

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

_NOT_AN_IMAGE = "it is an artifact, not an image"
_CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)

# No kernel runs an image with more: an overlay stacks 500 (OVL_MAX_STACK), and one digest may stand
# for several.
_MAX_LAYERS = 1_000

T = TypeVar("T")


class Layer(msgspec.Struct, frozen=True, kw_only=True, rename={"media_type": "mediaType"}):
    """One layer as the manifest names it: compressed."""

    digest: str
    size: int = 0
    media_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSeen:
    """One image of one platform, as the registry keeps it; every digest was checked."""

    index_digest: str  # of the index that was asked for; empty: a manifest was
    manifest_digest: str
    config_digest: str
    layers: tuple[Layer, ...]
    diff_ids: tuple[str, ...]  # of the layers unpacked, in their order
    manifest: bytes = field(repr=False)
    config: bytes = field(repr=False)  # may hold anybody's environment: never to be stored
    indexes: tuple[bytes, ...] = field(default=(), repr=False)  # on the way to it, outermost first


class _Platform(msgspec.Struct, frozen=True):
    os: str = ""
    architecture: str = ""
    variant: str = ""


class _Entry(msgspec.Struct, frozen=True, rename={"media_type": "mediaType"}):
    digest: str = ""
    media_type: str = ""
    platform: _Platform | None = None


class _Index(msgspec.Struct, frozen=True):
    manifests: tuple[_Entry, ...] = ()


class _Manifest(msgspec.Struct, frozen=True):
    config: _Entry = _Entry()
    layers: tuple[Layer, ...] = ()


class _RootFs(msgspec.Struct, frozen=True):
    diff_ids: tuple[str, ...] = ()


class _Config(msgspec.Struct, frozen=True):
    rootfs: _RootFs = _RootFs()


class _Kind(msgspec.Struct, frozen=True, rename={"media_type": "mediaType"}):
    media_type: str = ""
    manifests: msgspec.Raw = msgspec.Raw(b"null")
    layers: msgspec.Raw = msgspec.Raw(b"null")


# What an entry without a platform is for, to go-containerregistry.
_DEFAULT = _Platform(os="linux", architecture="amd64")


def digest_of(body: bytes) -> ImageDigest:
    """Return the digest under which a registry keeps the document."""
    return ImageDigest(f"sha256:{hashlib.sha256(body).hexdigest()}")


def checked(body: bytes, digest: str, *, what: str) -> bytes:
    """Return `body` if its digest is `digest`; raise TransferDamagedError otherwise."""
    if digest_of(body) != digest:
        raise TransferDamagedError(f"the {what} arrived damaged: its digest is not {digest}")
    return body


def stated_type(body: bytes) -> str:
    """Return the media type that the document gives itself; empty: none."""
    return _decoded(body, _Kind, "manifest").media_type


def is_index(body: bytes) -> bool:
    """Say whether the document lists images; raises DamagedImageError when it is no image at all.

    By its media type, and by what it holds where it states none: OCI leaves the type out.
    """
    kind = _decoded(body, _Kind, "manifest")
    if kind.media_type in INDEX_TYPES:
        return True
    if kind.media_type in MANIFEST_TYPES:
        return False
    listing, holding = bytes(kind.manifests) != b"null", bytes(kind.layers) != b"null"
    if kind.media_type or not (listing or holding):
        raise DamagedImageError(_NOT_AN_IMAGE, reason="NotAnImage")
    return listing


def entry_for(body: bytes, platform: str) -> ImageDigest:
    """Return the digest of the index' entry for `platform` (`linux-arm-v7`).

    Raises NoPlatformError, which lists what there is.
    """
    entries = _decoded(body, _Index, "index").manifests
    os, _, rest = platform.partition("-")
    architecture, _, variant = rest.partition("-")
    for entry in entries:
        given = entry.platform or _DEFAULT
        if (given.os, given.architecture) != (os, architecture):
            continue
        if not variant or given.variant == variant:
            return _digest(entry.digest)
    there = sorted({f"{one.os}-{one.architecture}" for e in entries if (one := e.platform)})
    raise NoPlatformError(
        f"the index holds no image for {platform}; it has {', '.join(there[:8]) or 'none'}"
    )


def config_of(manifest: bytes) -> ImageDigest:
    """Return the digest of the image's configuration."""
    return _digest(_decoded(manifest, _Manifest, "manifest").config.digest)


def layers_of(manifest: bytes) -> tuple[ImageDigest, ...]:
    """Return the digests of the image's layers, in their order.

    Raises TerminalError (`ImageTooLarge`) for more than anybody could run.
    """
    layers = _decoded(manifest, _Manifest, "manifest").layers
    if len(layers) > _MAX_LAYERS:
        raise TerminalError(
            f"it has {len(layers)} layers; no more than {_MAX_LAYERS} are looked at",
            reason="ImageTooLarge",
        )
    return tuple(_digest(layer.digest) for layer in layers)


def packed_bytes(manifest: bytes) -> int:
    """Return how large the image's layers are as they are pulled, each once."""
    layers = _decoded(manifest, _Manifest, "manifest").layers
    return sum({layer.digest: max(0, layer.size) for layer in layers}.values())


def seen(manifest: bytes, config: bytes, *, index_digest: str, digest: str) -> ManifestSeen:
    """Return what both documents say together.

    Raises DamagedImageError where they do not fit: a layer without the name of its content, or a
    name that is no digest; `NotAnImage` for what only travels as images do, such as a chart.
    """
    read = _decoded(manifest, _Manifest, "manifest")
    if read.config.media_type not in ("", *_CONFIG_TYPES):
        raise DamagedImageError(_NOT_AN_IMAGE, reason="NotAnImage")
    diff_ids = _decoded(config, _Config, "configuration").rootfs.diff_ids
    if len(diff_ids) != len(read.layers):
        raise DamagedImageError(
            f"the manifest has {len(read.layers)} layers, the configuration {len(diff_ids)}"
        )
    for name in (*diff_ids, *layers_of(manifest)):
        _digest(name)
    return ManifestSeen(
        index_digest=index_digest,
        manifest_digest=digest,
        config_digest=read.config.digest,
        layers=read.layers,
        diff_ids=diff_ids,
        manifest=manifest,
        config=config,
    )


def _digest(text: str) -> ImageDigest:
    try:
        return parse_digest(text)
    except BadReferenceError as exc:
        raise DamagedImageError(f"a part's digest is none: {shorten(repr(text))}") from exc


def _decoded(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE as exc:
        raise DamagedImageError(f"the {what} cannot be read") from exc
