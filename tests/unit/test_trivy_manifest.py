"""Indexes, manifests and configurations are read as Trivy reads them, and checked."""

from __future__ import annotations

import hashlib
import json

import pytest

from common.model.errors import DamagedImageError, NoPlatformError, TransferDamagedError
from common.model.refs import parse_reference
from tests.fakes.web import Asked, Say, Script, Web, web
from worker.evidence.image import manifest
from worker.evidence.image.access import Accesses
from worker.evidence.image.manifest import ManifestSeen
from worker.evidence.image.registry import HttpRegistry

OCI = "application/vnd.oci.image"
DIFF_ID, BLOB = "sha256:" + "d1" * 32, "sha256:" + "b1" * 32
ENTRY = "sha256:" + "e1" * 32


def digest(body: bytes) -> str:
    """Return the digest of a document."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def encode(**fields: object) -> bytes:
    """Return a document."""
    return json.dumps({"schemaVersion": 2} | fields).encode()


def entry(os: str, architecture: str, *, variant: str = "", name: str = ENTRY) -> dict[str, object]:
    """Return an index' entry."""
    platform = {"os": os, "architecture": architecture, "variant": variant}
    return {"digest": name, "platform": platform}


CONFIG = encode(rootfs={"type": "layers", "diff_ids": [DIFF_ID]}, config={"Env": ["PASSWORD=hush"]})
MANIFEST = encode(
    config={"mediaType": f"{OCI}.config.v1+json", "digest": digest(CONFIG)},
    layers=[{"mediaType": f"{OCI}.layer.v1.tar+gzip", "digest": BLOB, "size": 12}],
)
INDEX = encode(manifests=[entry("linux", "amd64", name=digest(MANIFEST))])


def ask(server: Web, name: str, *, platform: str = "linux-amd64") -> ManifestSeen:
    """Ask a server for an image."""
    reference = parse_reference(f"{server.address}/team/app:1.0")
    access = Accesses(insecure=False).of(reference)
    return HttpRegistry().manifest(reference, name, config=None, platform=platform, access=access)


def serve(*documents: bytes, damaged: bool = False) -> Script:
    """Return what a registry with these documents says, by digest."""
    known = {digest(body): body for body in documents}

    def script(asked: Asked) -> Say:
        body = known.get(asked.path.rpartition("/")[2])
        if body is None:
            return Say(status=404)
        return Say(body=body + b" " if damaged else body)

    return script


@pytest.mark.parametrize("top", [INDEX, MANIFEST])
def test_an_image_is_the_same_by_its_index_and_by_its_manifest(top: bytes) -> None:
    """Two names of one content; each document is asked for once."""
    documents = (INDEX, MANIFEST, CONFIG)
    with web(serve(*documents)) as server:
        found = ask(server, digest(top))
    assert found.index_digest == (digest(INDEX) if top == INDEX else "")
    assert (found.manifest_digest, found.config_digest) == (digest(MANIFEST), digest(CONFIG))
    assert [layer.digest for layer in found.layers] == [BLOB]
    assert found.diff_ids == (DIFF_ID,)
    assert (found.manifest, found.config) == (MANIFEST, CONFIG)
    wanted = [*([f"manifests/{digest(INDEX)}"] if top == INDEX else [])]
    wanted += [f"manifests/{digest(MANIFEST)}", f"blobs/{digest(CONFIG)}"]
    assert server.paths() == [f"GET /v2/team/app/{path}" for path in wanted]
    assert "hush" not in repr(found)


def test_what_arrives_changed_is_refused() -> None:
    """A proxy's page, or a registry that lies: Trivy itself does not look."""
    with web(serve(MANIFEST, damaged=True)) as server, pytest.raises(TransferDamagedError):
        ask(server, digest(MANIFEST))


@pytest.mark.parametrize(
    ("platform", "wanted"),
    [
        ("linux-amd64", "01"),
        ("linux-arm", "02"),  # the first, as Trivy chooses
        ("linux-arm-v7", "03"),
        ("linux-arm64", "04"),  # whatever its variant
        ("windows-amd64", "05"),
    ],
)
def test_the_entry_is_the_one_that_trivy_takes(platform: str, wanted: str) -> None:
    """Or manifest and report would be of different images."""
    names = {number: "sha256:" + number * 32 for number in ("00", "01", "02", "03", "04", "05")}
    index = encode(
        manifests=[
            entry("unknown", "unknown", name=names["00"]),  # an attestation
            {"digest": names["01"]},  # without a platform
            entry("linux", "arm", variant="v6", name=names["02"]),
            entry("linux", "arm", variant="v7", name=names["03"]),
            entry("linux", "arm64", variant="v8", name=names["04"]),
            entry("windows", "amd64", name=names["05"]),
        ]
    )
    assert manifest.entry_for(index, platform) == names[wanted]


def test_a_platform_that_is_missing_is_told_with_those_that_are_there() -> None:
    """The reader sees whether it is the node or the image."""
    index = encode(manifests=[entry("linux", "arm64"), entry("windows", "amd64")])
    with pytest.raises(NoPlatformError, match="linux-arm64, windows-amd64"):
        manifest.entry_for(index, "linux-amd64")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "DamagedImage"),
        (b"[" * 100_000, "DamagedImage"),
        (b'{"mediaType": "\xff"}', "DamagedImage"),
        (encode(), "NotAnImage"),
        (encode(mediaType="application/vnd.docker.distribution.manifest.v1+json"), "NotAnImage"),
    ],
)
def test_what_is_no_image_is_told_apart(body: bytes, reason: str) -> None:
    """Schema 1, artifacts and pages of HTML."""
    with pytest.raises(DamagedImageError) as caught:
        manifest.is_index(body)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (encode(config={"mediaType": "application/vnd.cncf.helm.config.v1+json"}), "NotAnImage"),
        (encode(config={}, layers=[{"digest": BLOB}] * 2), "DamagedImage"),
        (encode(config={}, layers=[{"digest": "../etc"}]), "DamagedImage"),
    ],
)
def test_parts_that_do_not_fit_are_no_image(body: bytes, reason: str) -> None:
    """Every layer has the name of its content, and no name is anything but a digest."""
    with pytest.raises(DamagedImageError) as caught:
        manifest.seen(body, CONFIG, index_digest="", digest=digest(body))
    assert caught.value.reason == reason


def test_indexes_in_indexes_end() -> None:
    """Each is a request: a registry must not lead us on."""
    nested = INDEX
    levels = [INDEX]
    for _ in range(3):
        nested = encode(manifests=[entry("linux", "amd64", name=digest(nested))])
        levels.append(nested)
    with web(serve(*levels, MANIFEST, CONFIG)) as server:
        assert ask(server, digest(levels[1])).index_digest == digest(levels[1])
        with pytest.raises(DamagedImageError, match="nested"):
            ask(server, digest(levels[3]))
