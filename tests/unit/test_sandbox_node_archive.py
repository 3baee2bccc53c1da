"""The pause image goes to containerd in a tar that no registry has seen."""

from __future__ import annotations

import io
import tarfile

import orjson

from sandbox import oci
from sandbox.node_archive import archive

IMAGE = oci.image(
    [oci.layer({"pause": oci.Executable(content=b"\x7fELF")}, "COPY pause /")],
    entrypoint=["/pause"],
    platform=oci.Platform(architecture="arm64"),
)


def contents() -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive(IMAGE, "node.local/pause:1"))) as packed:
        files = {one.name: packed.extractfile(one) for one in packed.getmembers() if one.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def test_the_index_names_the_image_as_containerd_reads_it() -> None:
    """Containerd takes the reference from its own annotation; without it the import has no name."""
    (pointer,) = orjson.loads(contents()["index.json"])["manifests"]
    assert pointer["digest"] == IMAGE.digest
    assert pointer["annotations"] == {"io.containerd.image.name": "node.local/pause:1"}
    assert pointer["platform"] == {"architecture": "arm64", "os": "linux"}


def test_every_blob_stands_under_its_digest() -> None:
    """Containerd checks each hash and refuses the whole archive for one that is wrong."""
    found = contents()
    blobs = {name: body for name, body in found.items() if name.startswith("blobs/sha256/")}
    assert len(blobs) == 3  # manifest, configuration, layer
    for name, body in blobs.items():
        assert oci.digest_of(body) == f"sha256:{name.rpartition('/')[2]}"
    assert orjson.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
