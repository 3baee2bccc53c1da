"""Redaction: what looks like a credential never reaches a log line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.hiding import HIDDEN
from common.ops.redact import redact_fields, redact_text

SECRET = "q9hunter2z7"  # noqa: S105 # what must not be seen


@pytest.mark.parametrize(
    "name",
    ["password", "redis_password", "token", "Authorization", "X-Registry-Auth", "Set-Cookie",
     "api_key", "clientSecret_secret", "docker_config"],
)  # fmt: skip
def test_a_field_named_after_a_credential_is_hidden(name: str) -> None:
    """Names are the only thing that tells a bare password from a word."""
    assert redact_fields({name: SECRET}) == {name: HIDDEN}


@pytest.mark.parametrize(
    "fields",
    [
        {"token": 17},
        {"secrets": 3},
        {"key": "workload/Pod/shop/web"},
        {"password_file": "/run/secrets/redis"},
        {"secret_name": "regcred"},
        {"author": "ada"},
        {"seconds": 0.25, "ok": True, "at": None},
    ],
)
def test_fields_that_only_sound_alike_stay(fields: dict[str, object]) -> None:
    """A claim's token is a number that every log reader needs; a Secret's name is no secret."""
    assert redact_fields(fields) == fields


def test_credentials_inside_text_are_hidden() -> None:
    """Foreign error texts quote URLs and headers as they please."""
    text = f"GET https://ada:{SECRET}@registry/v2/ with Authorization: Bearer {SECRET}A1 failed"
    assert redact_text(text) == (
        f"GET https://{HIDDEN}@registry/v2/ with Authorization: Bearer {HIDDEN} failed"
    )


def test_prose_about_authentication_stays() -> None:
    """A message without its words helps nobody."""
    text = "Basic authentication required by https://registry/v2/@scope"
    assert redact_text(text) == text


def test_a_password_with_an_at_sign_is_hidden_whole() -> None:
    """Half a password is a good start for the other half."""
    assert redact_text(f"redis://:{SECRET}@{SECRET}@host:6379/0") == f"redis://{HIDDEN}@host:6379/0"


def test_nested_values_are_looked_into() -> None:
    """Headers are logged as a mapping, arguments as a list."""
    seen = redact_fields(
        {
            "headers": {"Authorization": f"Bearer {SECRET}", "Accept": "json"},
            "args": ["--url", f"http://a:{SECRET}@b"],
            "raw": f"http://a:{SECRET}@b".encode(),
        }
    )
    assert SECRET not in repr(seen)
    assert "json" in repr(seen)


class _Speaking:
    def __str__(self) -> str:
        return f"http://a:{SECRET}@b"


def test_objects_are_shown_redacted() -> None:
    """An exception or a client prints itself, with whatever it holds."""
    assert redact_fields({"error": _Speaking()}) == {"error": f"http://{HIDDEN}@b"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values))
def test_redaction_is_total_and_settles(fields: dict[str, object]) -> None:
    """It runs on every line: it may neither fail nor take more away the second time."""
    once = redact_fields(fields)
    assert redact_fields(once) == once


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="/?#\"' \t\n\r\x0b\x0c"
       "\x1c\x1d\x1e\x1f\x85\xa0", categories=("L", "N", "P", "S"))))  # fmt: skip
def test_whatever_the_password_the_url_hides_it(password: str) -> None:
    """Passwords are made by generators that love punctuation."""
    assert redact_text(f"redis://user:{password}{SECRET}@host/0") == f"redis://{HIDDEN}@host/0"
