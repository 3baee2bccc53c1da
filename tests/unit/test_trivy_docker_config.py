"""Pull secrets are read as a kubelet reads them."""

from __future__ import annotations

import base64
import json

import pytest

from common.model.refs import parse_reference
from worker.evidence.image.docker_config import (
    DOCKER_CFG,
    DOCKER_CONFIG_JSON,
    Credential,
    configs_for,
    credential_in,
    entries_of,
    matches,
)


def auth(user: str, password: str) -> dict[str, str]:
    """Return an entry as `docker login` writes it."""
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def modern(**entries: object) -> dict[str, bytes]:
    """Return the data of a dockerconfigjson secret."""
    return {".dockerconfigjson": json.dumps({"auths": entries}).encode()}


BOB = Credential(username="bob", password="builder")  # noqa: S106 - made up
SECRET = modern(**{"r.example": auth("bob", "builder")})


def test_both_secret_types_are_read() -> None:
    """The old type has no `auths` around its entries."""
    old = {".dockercfg": json.dumps({"r.example": auth("bob", "builder")}).encode()}
    assert entries_of(DOCKER_CONFIG_JSON, SECRET) == {"r.example": BOB}
    assert entries_of(DOCKER_CFG, old) == {"r.example": BOB}


@pytest.mark.parametrize(
    "entry",
    [
        {"username": "bob", "password": "builder"},
        auth("bob", "builder"),
        {"username": "old", "password": "old", **auth("bob", "builder")},
        auth("bob", "builder\x00"),
    ],
)
def test_an_entry_may_be_written_in_several_ways(entry: dict[str, str]) -> None:
    """`auth` wins over the plain fields, as in the docker client; some tools end it with NUL."""
    assert entries_of(DOCKER_CONFIG_JSON, modern(**{"r.example": entry})) == {"r.example": BOB}


def test_a_password_may_hold_colons() -> None:
    """Only the first colon separates."""
    found = entries_of(DOCKER_CONFIG_JSON, modern(**{"r.example": auth("bob", "a:b:c")}))
    assert found["r.example"].password == "a:b:c"  # noqa: S105 - made up


@pytest.mark.parametrize(
    "data",
    [
        {},
        {".dockerconfigjson": b"not json"},
        {".dockerconfigjson": b"[]"},
        {".dockerconfigjson": b'{"auths": 3}'},
        {".dockerconfigjson": b"\xff\xfe"},
        modern(**{"r.example": 5}),
        modern(**{"r.example": {"auth": "%%%"}}),
        modern(**{"r.example": {"auth": base64.b64encode(b"nocolon").decode()}}),
        modern(**{"r.example": {"auth": base64.b64encode(b"\xff\xfe:x").decode()}}),
        modern(**{"r.example": {"username": 5, "password": None}}),
        modern(**{"r.example": {}}),
    ],
)
def test_broken_and_empty_entries_are_skipped(data: dict[str, bytes]) -> None:
    """A tenant's broken secret must not stop the scan of an image that needs none."""
    assert entries_of(DOCKER_CONFIG_JSON, data) == {}


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 100_000,
        b'{"auths":' * 100_000,
        b'{"auths": {"r.example": {"username": "\\ud800", "password": "x"}}}',
        b'{"auths": {"r.example": {"identitytoken": "\\udfff"}}}',
        '{"auths": {"r.example": {"auth": "é"}}}'.encode(),
    ],
)
def test_no_secret_stops_the_images_that_others_share(document: bytes) -> None:
    """Whoever may write a Secret could keep everybody's image from being analysed."""
    assert entries_of(DOCKER_CONFIG_JSON, {".dockerconfigjson": document}) == {}


def test_one_broken_entry_does_not_spoil_its_neighbours() -> None:
    """A kubelet ignores it too."""
    data = modern(**{"bad.example": {"auth": "%%%"}, "r.example": auth("bob", "builder")})
    assert entries_of(DOCKER_CONFIG_JSON, data) == {"r.example": BOB}


def test_other_secret_types_hold_no_credentials() -> None:
    """A pod may name any secret; its bytes are none of our business."""
    assert entries_of("Opaque", {".dockerconfigjson": SECRET[".dockerconfigjson"]}) == {}


@pytest.mark.parametrize(
    ("key", "reference", "meant"),
    [
        ("r.example", "r.example/a/b", True),
        ("https://r.example", "r.example/a/b", True),
        ("https://r.example/v2/", "r.example/a/b", True),
        ("http://r.example/v1/", "r.example/a/b", True),
        ("r.example:5000", "r.example:5000/a", True),
        ("r.example", "r.example:5000/a", False),
        ("r.example:5000", "r.example/a", False),
        ("r.example/team", "r.example/team/app", True),
        ("r.example/team/app", "r.example/team/app", True),
        ("r.example/team", "r.example/teammate/app", False),
        ("r.example/team", "r.example/other", False),
        ("*.example", "r.example/a", True),
        ("*.example", "a.r.example/a", False),
        ("*.*.example", "a.r.example/a", True),
        ("example", "r.example/a", False),
        ("r.example", "r.example.evil.test/a", False),
        ("evil.test/r.example", "r.example/a", False),
        ("https://index.docker.io/v1/", "nginx", True),
        ("docker.io", "nginx", True),
        ("registry-1.docker.io", "library/nginx", True),
        ("docker.io/library", "nginx", True),
        ("docker.io/team", "nginx", False),
        ("docker.io", "r.example/nginx", False),
        ("", "nginx", False),
    ],
)
def test_a_credential_is_meant_for_its_registry_and_path_alone(
    key: str, reference: str, *, meant: bool
) -> None:
    """A credential that reaches another host is a leak; one that misses is a false refusal."""
    assert matches(key, parse_reference(reference)) is meant


def test_the_most_precise_key_is_tried_first() -> None:
    """Registries with a robot account per team rely on it."""
    entries = {
        "r.example": Credential(username="all", password="1"),  # noqa: S106 - made up
        "r.example/team": Credential(username="team", password="2"),  # noqa: S106 - made up
        "*.example/team": Credential(username="any", password="3"),  # noqa: S106 - made up
    }
    found = configs_for(parse_reference("r.example/team/app"), [entries])
    users = [credential_in(config, "r.example") for config in found]
    assert [user.username for user in users if user] == ["team", "any", "all"]


def test_earlier_sources_come_first_whatever_their_precision() -> None:
    """The pod's own secrets stand before the account's."""
    pod = {"r.example": Credential(username="pod", password="1")}  # noqa: S106 - made up
    account = {"r.example/team": Credential(username="account", password="2")}  # noqa: S106 - made up
    found = configs_for(parse_reference("r.example/team/app"), [pod, account])
    users = [credential_in(config, "r.example") for config in found]
    assert [user.username for user in users if user] == ["pod", "account"]


def test_a_config_names_the_one_registry() -> None:
    """Trivy would send whatever stands there to whoever asks."""
    entries = entries_of(
        DOCKER_CONFIG_JSON,
        modern(**{"r.example/team": auth("bob", "builder"), "other.example": auth("eve", "x")}),
    )
    (config,) = configs_for(parse_reference("r.example/team/app:1"), [entries])
    assert json.loads(config) == {"auths": {"r.example": auth("bob", "builder")}}


def test_docker_hub_stands_under_the_name_that_its_clients_look_up() -> None:
    """The client library knows it as an URL."""
    (config,) = configs_for(parse_reference("nginx"), [{"docker.io": BOB}])
    assert list(json.loads(config)["auths"]) == ["https://index.docker.io/v1/"]
    assert credential_in(config, "index.docker.io") == BOB


def test_identity_tokens_travel_along() -> None:
    """Registries with OAuth2 log in without a password."""
    data = modern(**{"r.example": {"identitytoken": "t0ken"}})
    (config,) = configs_for(parse_reference("r.example/a"), [entries_of(DOCKER_CONFIG_JSON, data)])
    found = credential_in(config, "r.example")
    assert found is not None
    assert found.identity_token == "t0ken"  # noqa: S105 - made up


def test_without_a_fitting_credential_there_is_no_config() -> None:
    """Anonymous is said by nothing, not by an empty login that a registry would refuse."""
    assert configs_for(parse_reference("r.example/a"), [{"other.example": BOB}]) == ()
    assert credential_in(None, "r.example") is None


def test_no_secret_shows_when_a_credential_is_printed() -> None:
    """Values end in tracebacks and logs."""
    shown = repr(Credential(username="bob", password="builder", identity_token="t0ken"))  # noqa: S106 - made up
    assert "builder" not in shown
    assert "t0ken" not in shown
