"""Content is byte for byte what registries and runtimes expect, and the same in every run."""

from __future__ import annotations

import gzip
import io
import tarfile

import orjson
import pytest

from sandbox import oci
from sandbox.oci import Executable


def _members(raw: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return {member.name: member for member in archive.getmembers()}


def test_a_tar_lists_folders_before_what_is_in_them() -> None:
    """Container runtimes create entries in order; a file without its folder fails to unpack."""
    raw = oci.tar({"a/b/c": "x", "a-b": "y", "z": b"z"})
    names = list(_members(raw))
    assert names.index("a") < names.index("a/b") < names.index("a/b/c")
    assert set(names) == {"a", "a/b", "a/b/c", "a-b", "z"}


def test_only_executables_are_executable() -> None:
    """Trivy looks for Go's build information in executable files only, and a node must run them."""
    members = _members(oci.tar({"run": Executable(content=b"\x7fELF"), "data": "text"}))
    assert members["run"].mode == 0o755
    assert members["data"].mode == 0o644


def test_the_order_of_files_does_not_matter() -> None:
    """A digest that follows a dict's order makes every comparison of runs worthless."""
    assert oci.layer({"a": "1", "b": "2"}, "x") == oci.layer({"b": "2", "a": "1"}, "x")


def test_a_layer_is_named_twice_for_its_plain_and_its_compressed_form() -> None:
    """Runtimes check the plain digest after unpacking, registries the compressed one."""
    layer = oci.layer({"a": "1"}, "x")
    assert layer.diff_id == oci.digest_of(gzip.decompress(layer.blob.body))
    assert layer.blob.digest == oci.digest_of(layer.blob.body)
    assert layer.diff_id != layer.blob.digest


def test_a_manifest_leads_to_all_its_blobs_with_their_sizes() -> None:
    """A wrong size is refused by pulling clients."""
    image = oci.image([oci.layer({"a": "1"}, "x"), oci.layer({"b": "2"}, "y")], entrypoint=["/a"])
    manifest = orjson.loads(image.manifest.body)
    named = [manifest["config"], *manifest["layers"]]
    assert [each["digest"] for each in named] == [blob.digest for blob in image.blobs]
    assert [each["size"] for each in named] == [len(blob.body) for blob in image.blobs]
    assert image.digest == oci.digest_of(image.manifest.body)


def test_a_config_names_layers_bottom_first_and_carries_user_and_environment() -> None:
    """Order decides which file wins; the environment is where the planted password stands."""
    layers = [oci.layer({"a": "1"}, "one"), oci.layer({"a": "2"}, "two")]
    image = oci.image(layers, entrypoint=["/a"], env=["NAME=value"], user="65532")
    config = orjson.loads(image.blobs[0].body)
    assert config["rootfs"]["diff_ids"] == [each.diff_id for each in layers]
    assert [each["created_by"] for each in config["history"]] == ["one", "two"]
    assert config["config"]["Env"][-1] == "NAME=value"
    assert config["config"]["User"] == "65532"
    assert config["architecture"] == "amd64"


def test_one_more_layer_changes_the_digest_and_keeps_the_rest() -> None:
    """A tag that moves must lead to new content with the same findings."""
    before = oci.image([oci.layer({"a": "1"}, "x")], entrypoint=["/a"], env=["A=b"])
    mark = oci.layer({"mark": "2"}, "y")
    after = oci.with_layer(before, mark)
    assert after.digest != before.digest
    assert after.blobs[1:] == (*before.blobs[1:], mark.blob)
    old, new = (orjson.loads(each.blobs[0].body) for each in (before, after))
    assert new["config"] == old["config"]
    assert new["rootfs"]["diff_ids"] == [*old["rootfs"]["diff_ids"], mark.diff_id]
    assert len(new["history"]) == len(new["rootfs"]["diff_ids"])


def test_an_index_tells_platforms_apart() -> None:
    """A client picks by these fields alone."""
    arm = oci.Platform(architecture="arm64", variant="v8")
    images = [
        oci.image([oci.layer({"a": "1"}, "x")]),
        oci.image([oci.layer({"a": "2"}, "x")], platform=arm),
    ]
    listed = orjson.loads(oci.index(images).manifest.body)["manifests"]
    assert [each["platform"] for each in listed] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    assert [each["digest"] for each in listed] == [each.digest for each in images]
    assert str(arm) == "linux/arm64/v8"


@pytest.mark.parametrize("kind", ["application/vnd.cncf.helm.config.v1+json", "application/x"])
def test_an_artifact_says_what_it_is_instead_of_an_image(kind: str) -> None:
    """Scanners refuse by this type; with an image's type they would try to unpack it."""
    made = oci.artifact(oci.Blob(media_type="t", body=b"1"), config_type=kind, title="x.tgz")
    manifest = orjson.loads(made.manifest.body)
    assert manifest["config"]["mediaType"] == manifest["artifactType"] == kind
    assert manifest["layers"][0]["annotations"] == {"org.opencontainers.image.title": "x.tgz"}
