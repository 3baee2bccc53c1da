"""Pushing to a real registry: complete, once, and with faults named."""

from __future__ import annotations

import json
import secrets
import socket

import pytest

from common.model.errors import SourceUnavailableError, UnauthorizedError
from sandbox import images, oci, upload
from sandbox.faults import Answer, Login
from sandbox.registry import Registry

pytestmark = pytest.mark.integration


@pytest.fixture
def repository() -> str:
    """Give a repository that no other test uses."""
    return f"content/{secrets.token_hex(4)}"


def _image(text: str) -> oci.Image:
    return oci.image([oci.layer({"file": text}, "COPY file / # sample")], entrypoint=["/pause"])


def test_what_was_pushed_is_there_under_every_name(registry: Registry, repository: str) -> None:
    """By tag, by a second tag and by digest."""
    image = _image("1")
    with upload.Registry(registry.address) as client:
        assert client.digest(repository, "a") is None
        assert client.push(repository, image, "a", "b") == image.digest
        names = ("a", "b", image.digest)
        assert {client.digest(repository, name) for name in names} == {image.digest}


def test_pushing_again_costs_one_request_for_each_tag(registry: Registry, repository: str) -> None:
    """Every test and demo calls it; only the first should pay."""
    image, mark = _image("1"), 0
    with upload.Registry(registry.address) as client:
        client.push(repository, image, "a", "b")
        mark = registry.mark()
        client.push(repository, image, "a", "b")
    seen = [one for one in registry.requests(since=mark) if one.repository == repository]
    assert [one.method for one in seen] == ["HEAD", "HEAD"]
    assert {one.user_agent for one in seen} == {upload.USER_AGENT}


def test_a_tag_moves_to_new_content(registry: Registry, repository: str) -> None:
    """And the old content stays reachable by its digest, as pods still run it."""
    old, new = _image("1"), _image("2")
    with upload.Registry(registry.address) as client:
        client.push(repository, old, "latest")
        client.push(repository, new, "latest")
        assert client.digest(repository, "latest") == new.digest
        assert client.digest(repository, old.digest) == old.digest


def test_an_index_is_written_after_its_images(registry: Registry, repository: str) -> None:
    """A reader must never find a name that leads nowhere."""
    index = oci.index([_image("1"), _image("2")])
    mark = registry.mark()
    with upload.Registry(registry.address) as client:
        client.push(repository, index, "1.0")
    puts = [
        one.path.rpartition("/")[2]
        for one in registry.requests(since=mark)
        if one.repository == repository and one.method == "PUT" and one.kind == "manifest"
    ]
    assert puts == [*(each.digest for each in index.images), index.digest, "1.0"]


def test_a_registry_that_is_down_is_named(repository: str) -> None:
    """The user sees which of several parts does not answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can have the port
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            upload.Registry(address) as client,
            pytest.raises(SourceUnavailableError, match=f"registry {address} does not answer"),
        ):
            client.push(repository, _image("1"), "a")


def test_a_refusal_says_which_status_and_for_what(registry: Registry, repository: str) -> None:
    """A failed demo must not end in a bare number."""
    with (
        registry.fail(Answer(status=503), repository=repository),
        upload.Registry(registry.address) as client,
        pytest.raises(SourceUnavailableError, match=f"answers 503 for {repository}:a"),
    ):
        client.push(repository, _image("1"), "a")


def test_credentials_open_a_private_repository(registry: Registry, repository: str) -> None:
    """Tests of pull secrets need content that only its owner can push."""
    word = secrets.token_hex(4)
    with registry.fail(Login(username="owner", password=word), repository=repository):
        with (
            upload.Registry(registry.address) as stranger,
            pytest.raises(UnauthorizedError) as refused,
        ):
            stranger.push(repository, _image("1"), "a")
        with upload.Registry(registry.address, username="owner", password=word) as owner:
            owner.push(repository, _image("1"), "a")
    assert word not in str(refused.value)


def test_samples_are_pushed_by_name(registry: Registry) -> None:
    """A test that needs one image should not wait for ten."""
    pushed = images.push_samples(registry.address, ["clean", "multi"])
    assert set(pushed) == {"clean", "multi"}
    clean, multi = pushed["clean"], pushed["multi"]
    assert clean.reference == f"{registry.address}/sample/clean:1.0"
    assert clean.platforms == {"linux/amd64": clean.digest}
    assert multi.digest not in multi.platforms.values()
    assert multi.seen_at("node:1").pinned == f"node:1/sample/multi@{multi.digest}"
    with upload.Registry(registry.address) as client:
        assert client.digest("sample/multi", multi.platforms["linux/arm64/v8"]) is not None


def test_the_planted_password_is_readable_by_whoever_pulls(registry: Registry) -> None:
    """The leak tests would prove nothing if the image did not really carry it."""
    images.push_samples(registry.address, ["secrets"])
    config = json.loads(images.single("secrets").blobs[0].body)
    assert any(line.startswith("PASSWORD=") for line in config["config"]["Env"])
