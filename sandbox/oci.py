"""Builds what an OCI registry stores: layers, configs, manifests, indexes, artifacts.

Promise: equal input makes equal bytes, so digests stay the same from run to run. (Between machines
they may differ: the compressed form depends on zlib's version.)
Pure: nothing here talks to a registry (`upload` does). Source: OCI image specification 1.1.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import orjson

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

# Every file and every config carries this moment; the clock would make new digests in each run.
CREATED = "2026-11-01T00:00:00Z"
_MTIME_S = 1_793_491_200  # the same moment
_SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A file's content that gets the mode 0755."""

    content: bytes


Files = Mapping[str, str | bytes | Executable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Bytes with their media type."""

    media_type: str
    body: bytes

    @property
    def digest(self) -> str:
        """The name under which registries know it."""
        return digest_of(self.body)

    def descriptor(self, **more: object) -> dict[str, object]:
        """Return how a manifest or an index points at it."""
        return {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.body),
            **more,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One file system layer: its compressed blob and the digest of the plain tar."""

    blob: Blob
    diff_id: str
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where an image runs."""

    architecture: str = "amd64"
    variant: str = ""
    os: str = "linux"

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


AMD64 = Platform()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A manifest with everything that it points at, or an artifact of the same shape."""

    manifest: Blob
    blobs: tuple[Blob, ...]
    platform: Platform = AMD64

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return self.manifest.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One name for several platforms."""

    manifest: Blob
    images: tuple[Image, ...]

    @property
    def digest(self) -> str:
        """The index's digest."""
        return self.manifest.digest


def digest_of(body: bytes) -> str:
    """Return `sha256:` and the hexadecimal hash."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def json_bytes(value: object) -> bytes:
    """Encode with sorted keys, so that equal values have equal digests."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def layer(files: Files, created_by: str) -> Layer:
    """Pack `files` (path without leading slash → content) with all their parent folders."""
    return layer_of_tar(tar(files), created_by)


def layer_of_tar(raw: bytes, created_by: str) -> Layer:
    """Make a layer of a finished tar; also of bytes that are none, for broken samples."""
    blob = Blob(media_type=LAYER_TYPE, body=gzip.compress(raw, mtime=0))
    return Layer(blob=blob, diff_id=digest_of(raw), created_by=created_by)


def tar(files: Files) -> bytes:
    """Return a tar of `files`: root owns everything, names sorted, folders before their content."""
    buffer = io.BytesIO()
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folders | set(files)):
            info = tarfile.TarInfo(path)
            info.mtime = _MTIME_S
            if path in folders:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
                continue
            content, info.mode = _content(files[path])
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _content(file: str | bytes | Executable) -> tuple[bytes, int]:
    match file:
        case Executable(content=content):
            return content, 0o755
        case str():
            return file.encode(), 0o644
        case bytes():
            return file, 0o644


def image(  # noqa: PLR0913 # what a Dockerfile can say
    layers: Sequence[Layer],
    *,
    entrypoint: Sequence[str] = (),
    env: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    user: str = "",
    platform: Platform = AMD64,
) -> Image:
    """Return the image of `layers`, bottom first; `env` holds `NAME=value` lines."""
    settings: dict[str, object] = {
        "Env": [_SEARCH_PATH, *env],
        "Entrypoint": list(entrypoint),
        "User": user,
    }
    config = {
        "architecture": platform.architecture,
        "os": platform.os,
        **({"variant": platform.variant} if platform.variant else {}),
        "created": CREATED,
        "config": settings | ({"Labels": dict(labels)} if labels else {}),
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
        "history": [{"created": CREATED, "created_by": each.created_by} for each in layers],
    }
    return of_blobs(
        Blob(media_type=CONFIG_TYPE, body=json_bytes(config)),
        [each.blob for each in layers],
        platform=platform,
    )


def of_blobs(config: Blob, blobs: Sequence[Blob], *, platform: Platform = AMD64) -> Image:
    """Return a manifest over a ready config and layers, whatever they hold."""
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.descriptor(),
        "layers": [each.descriptor() for each in blobs],
    }
    manifest = Blob(media_type=MANIFEST_TYPE, body=json_bytes(body))
    return Image(manifest=manifest, blobs=(config, *blobs), platform=platform)


def with_layer(below: Image, above: Layer) -> Image:
    """Return `below` with one more layer on top."""
    config_blob, *blobs = below.blobs
    config = orjson.loads(config_blob.body)
    config["rootfs"]["diff_ids"].append(above.diff_id)
    config["history"].append({"created": CREATED, "created_by": above.created_by})
    grown = Blob(media_type=CONFIG_TYPE, body=json_bytes(config))
    return of_blobs(grown, [*blobs, above.blob], platform=below.platform)


def artifact(layer_blob: Blob, *, config_type: str, title: str) -> Image:
    """Return something that is no image (a database, a chart) as `oras` would push it."""
    config = Blob(media_type=config_type, body=b"{}")
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": config_type,
        "config": config.descriptor(),
        "layers": [layer_blob.descriptor(annotations={"org.opencontainers.image.title": title})],
    }
    manifest = Blob(media_type=MANIFEST_TYPE, body=json_bytes(body))
    return Image(manifest=manifest, blobs=(config, layer_blob))


def index(images: Sequence[Image]) -> Index:
    """Return the multi-platform index over `images`."""
    body = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [each.manifest.descriptor(platform=_platform(each)) for each in images],
    }
    manifest = Blob(media_type=INDEX_TYPE, body=json_bytes(body))
    return Index(manifest=manifest, images=tuple(images))


def _platform(each: Image) -> dict[str, str]:
    where = each.platform
    variant = {"variant": where.variant} if where.variant else {}
    return {"architecture": where.architecture, "os": where.os, **variant}
