"""What the scanner is given of an image: its documents, and which layers they name.

The worker reads manifest and configuration once; the scanner serves them to Trivy from memory and
fetches layers alone. Pure; wire format, part of a job.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from worker.evidence.image.manifest import ManifestSeen


class LayerPart(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: what is fetched, and what it must unpack to."""

    digest: str  # of the blob
    size: int  # bytes of the blob
    diff_id: str  # of its content, unpacked
    # Somebody unpacked this very blob and found this content: nobody needs to do so again.
    proven: bool = False


class ImageParts(msgspec.Struct, frozen=True, kw_only=True):
    """One image of one platform. Never print it: a configuration may hold secrets."""

    documents: tuple[bytes, ...]  # indexes, manifest, configuration; each is named by its digest
    layers: tuple[LayerPart, ...]
    verify: bool = False  # every layer that is not proven must be unpacked, here or by Trivy


def parts_of(
    seen: ManifestSeen, *, contents: Mapping[str, str] | None = None, verify: bool = False
) -> ImageParts:
    """Return the parts; `contents` says by digest what layers were seen to unpack to."""
    known = contents or {}
    layers = tuple(
        LayerPart(
            digest=layer.digest,
            size=layer.size,
            diff_id=diff_id,
            proven=known.get(layer.digest) == diff_id,
        )
        for layer, diff_id in zip(seen.layers, seen.diff_ids, strict=True)
    )
    documents = (*seen.indexes, seen.manifest, seen.config)
    return ImageParts(documents=documents, layers=layers, verify=verify)
