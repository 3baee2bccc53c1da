"""What is hidden in texts, and what must stay readable."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import SettingsError, TerminalError, shorten
from common.model.hiding import reference_without_user_info, without, without_user_info
from common.settings.parse import parse

SECRET = "q9hunter2z7"  # noqa: S105 # what must not be seen
DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    "text",
    [
        f"https://me:{SECRET}@registry.example/v2/",
        f"https://{SECRET}@registry.example/",
        f"proxyconnect http://me:{SECRET}@10.0.0.1:3128: refused",
        f"'me:{SECRET}@registry.example:5000/app:1.0'",
        f"quay.io=me:{SECRET}@mirror.example/quay",
        f"https://me@x:{SECRET}@registry.example/",
        f"(me:{SECRET}@[::1]:5000)",
    ],
)
def test_users_and_passwords_before_a_host_are_hidden(text: str) -> None:
    """As people write them into settings and image names, with a scheme and without."""
    assert SECRET not in without_user_info(text)
    assert SECRET not in str(TerminalError(text))
    assert SECRET not in shorten(text)


@pytest.mark.parametrize(
    "text",
    [
        f"registry.example:5000/team/app:1.0@{DIGEST}",
        f"app:1.0@{DIGEST}",
        f"app@{DIGEST}",
        "ann@example.com",
        "GET http://127.0.0.1:5000/v2/: refused",
        "pkg:npm/%40scope/name@1.0.0",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    """A message that names nothing helps nobody."""
    assert without_user_info(text) == text
    assert reference_without_user_info(text) == text or "pkg:" in text


def test_half_of_a_password_is_not_left_by_a_cut() -> None:
    """The sign behind it would be cut off, and nobody could tell what it was."""
    assert SECRET not in shorten("x" * 230 + f" https://me:{SECRET}{'y' * 40}@host/")


def test_an_images_name_loses_what_stands_before_its_host() -> None:
    """It is stored in rows, uses and facts; no registry ever gets a password that way."""
    assert reference_without_user_info(f"me:{SECRET}@r.example/app:1") == "***@r.example/app:1"
    assert SECRET not in reference_without_user_info(f"https://me:{SECRET}@r.example/a@{DIGEST}")


@given(st.text(st.characters(codec="utf-8"), min_size=4, max_size=40))
def test_a_known_secret_is_hidden_however_it_is_written(secret: str) -> None:
    """Servers repeat headers, parsed credentials, and JSON."""
    forms = (
        secret,
        json.dumps(secret),
        urllib.parse.quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode(),
    )
    if secret in without("denied:  for ", []):
        return  # it stands in the words around it
    for form in forms:
        assert form not in without(f"denied: {form} for {form}", [secret])


def test_short_words_are_not_taken_for_secrets() -> None:
    """Or a password `a` would spoil every text."""
    assert without("a registry", ["a", ""]) == "a registry"


@pytest.mark.parametrize(
    "name",
    [
        *("SLUICE_REGISTRY_MIRRORS", "SLUICE_INSECURE_REGISTRIES", "SLUICE_NON_SSL_REGISTRIES"),
        *("SLUICE_REDIS_URL", "SLUICE_TRIVY_SERVER_URL", "SLUICE_MATCHER_ADDRESS"),
        *("SLUICE_REGISTRY_PULLS_PER_MIN", "SLUICE_SCANNER_JOBS", "OPERATOR_TARGET_NAMESPACES"),
    ],
)
@pytest.mark.parametrize("value", ["http://me:{}@host:5000/x/", "me:{}@host:5000", "a=me:{}@h/x"])
def test_no_settings_fault_quotes_a_password(name: str, value: str) -> None:
    """The first line that a process writes, before any log is set up."""
    assert SECRET not in fault_of({name: value.format(SECRET)})


def fault_of(environ: dict[str, str]) -> str:
    """Return what is wrong with settings; empty: nothing."""
    try:
        parse(environ)
    except SettingsError as fault:
        return str(fault)
    return ""
