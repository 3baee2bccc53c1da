"""Packs an image into the archive that `ctr images import` reads: an OCI layout in a tar. Pure.

Source: OCI image specification 1.1, image layout.
"""

from __future__ import annotations

from sandbox import oci

_NAME = "io.containerd.image.name"  # containerd takes the whole reference from this annotation


def archive(image: oci.Image, reference: str) -> bytes:
    """Return the archive of `image`, to be known as `reference`."""
    pointer = image.manifest.descriptor(
        annotations={_NAME: reference},
        platform={"architecture": image.platform.architecture, "os": image.platform.os},
    )
    files: dict[str, str | bytes | oci.Executable] = {
        "oci-layout": oci.json_bytes({"imageLayoutVersion": "1.0.0"}),
        "index.json": oci.json_bytes({"schemaVersion": 2, "manifests": [pointer]}),
    }
    for blob in (image.manifest, *image.blobs):
        files[f"blobs/{blob.digest.replace(':', '/')}"] = blob.body
    return oci.tar(files)
