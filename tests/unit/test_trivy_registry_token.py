"""A registry's challenge is answered without ever lowering the guard."""

from __future__ import annotations

import base64
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.evidence.image.docker_config import Credential
from worker.evidence.image.registry_token import (
    Challenge,
    bearer,
    parse_challenge,
    token_request,
)

HUB = (
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
    'scope="repository:library/nginx:pull"'
)
BOB = Credential(username="bob", password="builder")  # noqa: S106 - made up
SCOPE = "repository:a:pull"


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (
            HUB,
            Challenge(
                scheme="bearer",
                realm="https://auth.docker.io/token",
                service="registry.docker.io",
                scope="repository:library/nginx:pull",
            ),
        ),
        ('Basic realm="Registry Realm"', Challenge(scheme="basic", realm="Registry Realm")),
        ('BEARER  Realm = "https://a.example/t" , foo=bar', Challenge(
            scheme="bearer", realm="https://a.example/t"
        )),
        ("Negotiate", Challenge(scheme="negotiate")),
        ("", None),
        ("???", None),
    ],
)  # fmt: skip
def test_challenges_are_read_as_registries_write_them(
    header: str, challenge: Challenge | None
) -> None:
    """Quotes, spaces and case differ from product to product."""
    assert parse_challenge(header) == challenge


@given(st.text(max_size=60))
def test_no_header_breaks_the_parser(header: str) -> None:
    """It is foreign text."""
    found = parse_challenge(header)
    assert found is None or found.scheme


def test_a_token_is_asked_for_with_the_credential() -> None:
    """Service and scope are what the registry said."""
    challenge = parse_challenge(HUB)
    assert challenge is not None
    wanted = token_request(challenge, BOB, scope=SCOPE, secure=True)
    assert wanted is not None
    url = urllib.parse.urlsplit(wanted.url)
    assert (url.netloc, url.path) == ("auth.docker.io", "/token")
    assert urllib.parse.parse_qs(url.query) == {
        "service": ["registry.docker.io"],
        "scope": ["repository:library/nginx:pull"],
    }
    assert base64.b64decode(wanted.authorization.removeprefix("Basic ")) == b"bob:builder"


def test_anonymous_tokens_and_missing_scopes_are_asked_for_too() -> None:
    """Public images need a token as well; a realm may carry parameters of its own."""
    challenge = Challenge(scheme="bearer", realm="https://a.example/t?account=x")
    wanted = token_request(challenge, None, scope=SCOPE, secure=True)
    assert wanted is not None
    assert wanted.authorization == ""
    assert wanted.url == "https://a.example/t?account=x&scope=repository%3Aa%3Apull"


def test_an_identity_token_is_exchanged_by_post() -> None:
    """OAuth2 registries take it in a form, never in the address."""
    credential = Credential(identity_token="t0ken")  # noqa: S106 - made up
    challenge = Challenge(scheme="bearer", realm="https://a.example/t", service="s")
    wanted = token_request(challenge, credential, scope=SCOPE, secure=True)
    assert wanted is not None
    assert "t0ken" not in wanted.url
    assert urllib.parse.parse_qs((wanted.form or b"").decode()) == {
        "service": ["s"],
        "scope": [SCOPE],
        "grant_type": ["refresh_token"],
        "refresh_token": ["t0ken"],
        "client_id": ["kube-sluice"],
    }


@pytest.mark.parametrize("realm", ["http://a.example/t", "file:///etc/passwd", "a.example", ""])
def test_credentials_never_leave_encryption(realm: str) -> None:
    """A registry on TLS that sends us to plain HTTP is broken or taken over."""
    assert (
        token_request(Challenge(scheme="bearer", realm=realm), BOB, scope="", secure=True) is None
    )


def test_a_local_registry_may_have_a_local_token_service() -> None:
    """Plain HTTP is fine where the registry itself is reached that way."""
    challenge = Challenge(scheme="bearer", realm="http://127.0.0.1:5001/t")
    assert token_request(challenge, None, scope="", secure=False) is not None


@pytest.mark.parametrize(
    ("answer", "header"),
    [
        (b'{"token": "abc"}', "Bearer abc"),
        (b'{"access_token": "abc", "expires_in": 300}', "Bearer abc"),
        (b'{"token": ""}', None),
        (b"[]", None),
        (b"<html>", None),
    ],
)
def test_the_token_is_found_under_either_name(answer: bytes, header: str | None) -> None:
    """The specification allows both."""
    assert bearer(answer) == header


def test_no_secret_shows_when_a_request_is_printed() -> None:
    """Values end in tracebacks and logs."""
    challenge = Challenge(scheme="bearer", realm="https://a.example/t")
    shown = repr(token_request(challenge, BOB, scope="", secure=True))
    assert "builder" not in shown
    assert base64.b64encode(b"bob:builder").decode() not in shown
