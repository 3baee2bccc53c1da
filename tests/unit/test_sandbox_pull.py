"""How the kubelet stand-in reads references and pull secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.podstatus import PullFailed
from sandbox.pull import Reference, authorizations_in, parse, resolve

HOST = "127.0.0.1:5000"
DIGEST = "sha256:" + "0" * 64


def secret(content: object, key: str = ".dockerconfigjson") -> dict[str, Any]:
    """Return a pull secret that holds `content`."""
    return {"data": {key: base64.b64encode(json.dumps(content).encode()).decode()}}


@pytest.mark.parametrize(
    ("image", "repository", "version"),
    [
        (f"{HOST}/app", "app", "latest"),
        (f"{HOST}/app:1", "app", "1"),
        (f"{HOST}/team/app:1.2", "team/app", "1.2"),
        (f"{HOST}/app@{DIGEST}", "app", DIGEST),
        (f"{HOST}/app:1@{DIGEST}", "app", DIGEST),
    ],
)
def test_references_are_split_as_a_runtime_does(image: str, repository: str, version: str) -> None:
    """A digest beats a tag; no tag means latest; the port's colon is no tag."""
    assert parse(image) == Reference(host=HOST, repository=repository, version=version)


@pytest.mark.parametrize("image", ["nginx", "nginx:1", "library/nginx", ""])
def test_a_reference_without_a_registry_is_none_of_ours(image: str) -> None:
    """Those mean Docker Hub, which the sandbox never asks."""
    assert parse(image) is None


@pytest.mark.parametrize("image", ["nginx:1", "registry.example/app:1", "10.0.0.1:5000/app"])
def test_nothing_but_loopback_is_asked(image: str) -> None:
    """A sample that names a real registry must not make the sandbox reach out."""
    assert resolve(image, ()) == PullFailed(
        message=f'failed to pull and unpack image "{image}": failed to resolve reference '
        f'"{image}": the sandbox pulls from loopback registries only'
    )


def basic(text: str) -> str:
    """Return an Authorization value."""
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"auths": {HOST: {"username": "ann", "password": "p:w"}}}, ".dockerconfigjson"),
        ({"auths": {f"http://{HOST}/v1/": {"auth": basic("ann:p:w")[6:]}}}, ".dockerconfigjson"),
        ({HOST: {"username": "ann", "password": "p:w", "auth": ""}}, ".dockercfg"),
    ],
)
def test_both_kinds_of_pull_secret_are_read(content: object, key: str) -> None:
    """Old clusters still hold the legacy kind; names may bear a scheme and a path."""
    assert authorizations_in(secret(content, key), HOST) == [basic("ann:p:w")]


def test_credentials_for_another_registry_are_not_sent() -> None:
    """Sending them would tell them to a stranger."""
    content = {"auths": {"127.0.0.1:5001": {"username": "ann", "password": "pw"}}}
    assert authorizations_in(secret(content), HOST) == []


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"data": None},
        {"data": {".dockerconfigjson": "%%%"}},
        secret([]),
        secret({"auths": None}),
        secret({"auths": {HOST: {"username": "ann"}}}),
        secret({"auths": {HOST: "text"}}),
    ],
)
def test_a_damaged_secret_counts_as_none(damaged: dict[str, Any]) -> None:
    """A kubelet goes on without it."""
    assert authorizations_in(damaged, HOST) == []


@given(st.text())
def test_any_reference_can_be_looked_at(image: str) -> None:
    """Pods hold what users typed; the stand-in must not fall over."""
    reference = parse(image)
    assert reference is None or reference.host
