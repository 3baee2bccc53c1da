"""The samples differ where they should, agree where they should, and stay the same."""

from __future__ import annotations

import io
import re
import tarfile
from gzip import decompress
from itertools import chain
from pathlib import Path

import orjson
import pytest

from sandbox import images, oci, planted
from sandbox.advisories import ADVISORIES
from sandbox.broken import broken
from sandbox.images import Content, sample, samples, single, touch
from sandbox.truth import FOUND
from sandbox.vulnerabilities import CRITICAL, UNKNOWN, VULNERABILITIES

_SANDBOX = Path(images.__file__).parent


def _parts(content: Content) -> tuple[oci.Image, ...]:
    return content.images if isinstance(content, oci.Index) else (content,)


def _files(image: oci.Image) -> dict[str, bytes]:
    """Return the files of all layers, as a runtime would see them."""
    files: dict[str, bytes] = {}
    for blob in image.blobs[1:]:
        with tarfile.open(fileobj=io.BytesIO(decompress(blob.body))) as archive:
            for member in archive.getmembers():
                reader = archive.extractfile(member)
                if reader is not None:
                    files[member.name] = reader.read()
    return files


def test_every_build_of_a_sample_has_the_same_digest() -> None:
    """Demos and tests name images by digest across processes."""
    first = {each.name: each.build().digest for each in samples()}
    images._runtime.cache_clear()
    images._alpine_layer.cache_clear()
    assert {each.name: each.build().digest for each in samples()} == first


def test_no_two_samples_are_the_same_image() -> None:
    """Counts of distinct images would be wrong."""
    digests = [image.digest for each in samples() for image in _parts(each.build())]
    assert len(set(digests)) == len(digests) == 11


def test_one_sample_has_two_tags_and_one_has_two_platforms() -> None:
    """Two names of one digest must lead to one scan, and one name must not hide a platform."""
    assert sample("alpine-app").tags == ("1.0", "stable")
    platforms = [str(each.platform) for each in _parts(sample("multi").build())]
    assert platforms == ["linux/amd64", "linux/arm64/v8"]


def test_every_amd64_image_holds_the_program_that_it_starts() -> None:
    """A real kubelet runs them; Jobs start `/done` in any of them."""
    for each in samples():
        for image in _parts(each.build()):
            if image.platform != oci.AMD64:
                continue
            config = orjson.loads(image.blobs[0].body)["config"]
            files = _files(image)
            assert config["Entrypoint"][0].lstrip("/") in files, each.name
            assert images.SUCCEED[0].lstrip("/") in files, each.name


def test_the_layer_with_the_programs_is_shared() -> None:
    """A registry should store it once, and a scanner analyse it once."""
    runtime = images._runtime().blob
    amd64 = [i for s in samples() for i in _parts(s.build()) if i.platform == oci.AMD64]
    assert all(runtime in image.blobs for image in amd64)


def test_a_touched_sample_has_a_new_digest_for_each_version() -> None:
    """A moved tag must lead to something new, again and again."""
    digests = {touch("alpine-app", version).build().digest for version in ("1", "2", "2")}
    assert len(digests) == 2
    assert sample("alpine-app").build().digest not in digests


def test_an_index_cannot_be_taken_for_a_single_image() -> None:
    """A silent choice of one platform would be a wrong test."""
    with pytest.raises(TypeError, match="sample multi is an index"):
        single("multi")


def test_planted_secrets_stand_in_one_image_and_in_no_source_file() -> None:
    """Scanners of source code must not flag this repository, and other images must be innocent."""
    carriers = set()
    for each in samples():
        for image in _parts(each.build()):
            content = b"".join(_files(image).values()) + image.blobs[0].body
            if any(secret.encode() in content for secret in planted.PLANTED):
                carriers.add(each.name)
                assert all(secret.encode() in content for secret in planted.PLANTED)
    assert carriers == {"secrets"}
    source = "".join(path.read_text() for path in _SANDBOX.glob("*.py"))
    assert not [secret for secret in planted.PLANTED if secret in source]
    assert not re.search(r"AKIA[A-Z0-9]{16}|ghp_\w{36}|BEGIN \w+ PRIVATE KEY", source)


def test_the_planted_password_stands_only_in_the_configuration() -> None:
    """A test that looks for it in reports proves that image configurations do not leak."""
    secrets = single("secrets")
    assert planted.ENV_PASSWORD.encode() in secrets.blobs[0].body
    assert all(planted.ENV_PASSWORD.encode() not in file for file in _files(secrets).values())


def test_no_broken_image_shares_a_blob_with_any_other() -> None:
    """A registry that stores blobs once, or a scanner's layer cache, would mend the fault."""
    known = {blob.digest for s in samples() for i in _parts(s.build()) for blob in i.blobs}
    for each in broken():
        if each.name != "borrowed-config":
            (image,) = _parts(each.build())
            own = {blob.digest for blob in image.blobs}
            assert not known & own, each.name
            known |= own


def test_the_database_describes_exactly_what_its_advisories_name() -> None:
    """A missing description turns a finding's severity into UNKNOWN without an error."""
    described = [each.id for each in VULNERABILITIES]
    assert len(described) == len(set(described))
    assert set(described) == {each.id for each in ADVISORIES}


def test_the_findings_span_all_severities_and_the_update_touches_only_some() -> None:
    """Filters by severity, and the law that an update rewrites only what changed, need both."""
    rated = {each.severity for each in VULNERABILITIES}
    assert rated == set(range(UNKNOWN, CRITICAL + 1))
    assert set(FOUND) == {each.name for each in samples()}
    found = set(chain.from_iterable(each.before for each in FOUND.values()))
    assert found == {"UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"}
    changed = {name for name, each in FOUND.items() if each.changes}
    assert changed == {"alpine-app", "alpine-python", "alpine-node", "multi"}


def test_samples_and_truth_agree_on_who_has_packages() -> None:
    """The demo asks for an SBOM report exactly where there are packages."""
    assert {s.name: s.has_packages for s in samples()} == {
        n: f.packages > 0 for n, f in FOUND.items()
    }
