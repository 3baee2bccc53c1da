"""References against a real registry, as `crane` and Trivy see them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest

from common.model.errors import (
    ImageNotFoundError,
    RateLimitedError,
    SourceUnavailableError,
    UnauthorizedError,
)
from common.model.refs import ImageReference, parse_reference
from sandbox.faults import Answer, Cut, Login
from sandbox.images import Pushed, push_samples
from sandbox.registry import Registry
from worker.evidence.image.access import Accesses
from worker.evidence.image.registry import HttpRegistry

pytestmark = pytest.mark.integration

ABSENT = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def images(registry: Registry) -> Mapping[str, Pushed]:
    """Give two samples: one image, one index."""
    return push_samples(registry.address, ["clean", "multi"])


def resolve(reference: ImageReference, docker_config: bytes | None = None) -> str:
    """Ask the real registry."""
    return HttpRegistry().resolve(
        reference, docker_config, access=Accesses(insecure=False).of(reference)
    )


@pytest.mark.parametrize("name", ["clean", "multi"])
def test_a_tag_gives_the_digest_that_was_pushed(name: str, images: Mapping[str, Pushed]) -> None:
    """The same digest that a kubelet reports: the index's where there is one."""
    one = images[name]
    assert resolve(parse_reference(one.reference)) == one.digest
    assert resolve(parse_reference(one.pinned)) == one.digest


def test_a_name_that_does_not_exist_is_not_found(images: Mapping[str, Pushed]) -> None:
    """Tag, digest and repository alike."""
    one = images["clean"]
    for text in (
        f"{one.registry}/{one.repository}:absent",
        f"{one.registry}/{one.repository}@{ABSENT}",
        f"{one.registry}/sample/absent:1.0",
    ):
        with pytest.raises(ImageNotFoundError):
            resolve(parse_reference(text))


def test_a_resolution_pulls_nothing(registry: Registry, images: Mapping[str, Pushed]) -> None:
    """One HEAD: no manifest body, no blob."""
    before = registry.mark()
    resolve(parse_reference(images["multi"].reference))
    requests = [one for one in registry.requests(since=before) if one.repository]
    assert [(one.method, one.kind, one.bytes) for one in requests] == [("HEAD", "manifest", 0)]


def test_where_head_is_not_served_the_digest_is_the_same(
    registry: Registry, images: Mapping[str, Pushed]
) -> None:
    """It is computed from the manifest's bytes then."""
    one = images["multi"]
    with registry.fail(Answer(status=405), repository=one.repository, method="HEAD"):
        assert resolve(parse_reference(one.reference)) == one.digest


def test_a_closed_repository_opens_to_the_right_credential(
    registry: Registry, images: Mapping[str, Pushed]
) -> None:
    """Trap 27's first half: only a registry can say who may pull."""
    one = images["clean"]
    reference = parse_reference(one.reference)

    def config(password: str) -> bytes:
        pair = base64.b64encode(f"bob:{password}".encode()).decode()
        return json.dumps({"auths": {registry.address: {"auth": pair}}}).encode()

    # The sandbox answers 401 without a challenge, as nginx in front of a registry may.
    login = Login(username="bob", password="builder")  # noqa: S106 - made up
    with registry.fail(login, repository=one.repository):
        for bad in (None, config("wrong")):
            with pytest.raises(UnauthorizedError):
                resolve(reference, bad)
        assert resolve(reference, config("builder")) == one.digest


def test_its_wait_is_told(registry: Registry, images: Mapping[str, Pushed]) -> None:
    """Retry-After goes to the queue's policy."""
    one = images["clean"]
    fault = Answer(status=429, headers={"Retry-After": "17"})
    with (
        registry.fail(fault, repository=one.repository),
        pytest.raises(RateLimitedError) as caught,
    ):
        resolve(parse_reference(one.reference))
    assert caught.value.retry_after_s == 17.0


def test_a_manifest_that_is_cut_off_is_no_manifest(
    registry: Registry, images: Mapping[str, Pushed]
) -> None:
    """Its hash would be a digest that nobody ever pushed."""
    one = images["clean"]
    with (
        registry.fail(Answer(status=405), repository=one.repository, method="HEAD"),
        registry.fail(Cut(after_bytes=20), repository=one.repository, method="GET"),
        pytest.raises(SourceUnavailableError),
    ):
        resolve(parse_reference(one.reference))


@pytest.mark.parametrize("name", ["clean", "multi"])
def test_manifest_and_configuration_are_read_once(
    name: str, registry: Registry, images: Mapping[str, Pushed]
) -> None:
    """By the index and by the platform's manifest it is one image; no layer is pulled."""
    one = images[name]
    reference = parse_reference(one.reference)
    access = Accesses(insecure=False).of(reference)
    before = registry.mark()
    seen = [
        HttpRegistry().manifest(
            reference, digest, config=None, platform="linux-amd64", access=access
        )
        for digest in (one.digest, one.platforms["linux/amd64"])
    ]
    assert {each.manifest_digest for each in seen} == {one.platforms["linux/amd64"]}
    assert len({(each.config_digest, each.layers, each.diff_ids) for each in seen}) == 1
    assert seen[0].index_digest == (one.digest if name == "multi" else "")
    asked = [(each.kind, each.method) for each in registry.requests(since=before)]
    manifests = 3 if name == "multi" else 2
    assert sorted(asked) == [("blob", "GET")] * 2 + [("manifest", "GET")] * manifests
