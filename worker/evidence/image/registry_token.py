"""A registry's challenge and the answer to it: which header proves that we may pull.

Pure: builds requests and reads answers; `registry` sends them. Source: the distribution project's
token specification and RFC 7235.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, field

import msgspec

from common.model.bounded import UNREADABLE
from worker.evidence.image.docker_config import Credential

_SCHEME = re.compile(r"\s*([A-Za-z]+)\s*(.*)", re.DOTALL)
_PARAMETER = re.compile(r'([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_TOKEN = re.compile(r"[!-~]+")
_CLIENT = "kube-sluice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What `WWW-Authenticate` asks for."""

    scheme: str  # lower case: basic, bearer
    realm: str = ""
    service: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """One request to a token service. Its repr shows no secret."""

    url: str
    authorization: str = field(default="", repr=False)
    form: bytes | None = field(default=None, repr=False)  # None: GET


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""


def parse_challenge(header: str) -> Challenge | None:
    """Return the challenge in the header's first scheme, or None when there is none."""
    found = _SCHEME.fullmatch(header)
    if found is None:
        return None
    values = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(found[2])}
    return Challenge(
        scheme=found[1].lower(),
        realm=values.get("realm", ""),
        service=values.get("service", ""),
        scope=values.get("scope", ""),
    )


def basic(credential: Credential) -> str:
    """Return the header for user and password."""
    return f"Basic {credential.pair}"


def token_request(
    challenge: Challenge, credential: Credential | None, *, scope: str, secure: bool
) -> TokenRequest | None:
    """Return what to ask the token service, anonymously without a credential.

    None when the realm is not a web address, or leaves the encryption that the registry itself has
    (`secure`): a credential would travel in clear text.
    """
    try:
        parts = urllib.parse.urlsplit(challenge.realm)
    except ValueError:
        return None
    if parts.scheme not in ("https", *(() if secure else ("http",))) or not parts.netloc:
        return None
    asked = {"service": challenge.service, "scope": challenge.scope or scope}
    values = {name: value for name, value in asked.items() if value}
    if credential is not None and credential.identity_token:
        form = values | {
            "grant_type": "refresh_token",
            "refresh_token": credential.identity_token,
            "client_id": _CLIENT,
        }
        return TokenRequest(url=challenge.realm, form=urllib.parse.urlencode(form).encode())
    query = "&".join(filter(None, (parts.query, urllib.parse.urlencode(values))))
    return TokenRequest(
        url=urllib.parse.urlunsplit(parts._replace(query=query)),
        authorization=basic(credential) if credential else "",
    )


def bearer(answer: bytes) -> str | None:
    """Return the header for the token in the service's answer, or None when it holds none.

    What cannot stand in a header is none.
    """
    try:
        decoded = msgspec.json.decode(answer, type=_Token)
    except UNREADABLE:
        return None
    token = decoded.token or decoded.access_token
    return f"Bearer {token}" if _TOKEN.fullmatch(token) else None
