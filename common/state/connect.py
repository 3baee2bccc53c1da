"""From an address to a Redis client, and from a Redis error to one of ours.

One place decides how the product talks to Redis: no silent re-sends (a lost reply of a claim must
not claim again), bounded waits, a password that is read anew for every connection.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from common.model.errors import PreconditionError, SourceUnavailableError, shorten
from common.model.redis_address import RedisAddress
from common.state.sentinel import primary_of

# What composers pass on without knowing the library.
Client: TypeAlias = redis.Redis

_CONNECT_S = 5.0
# Longer than any blocking command of ours waits, short enough that a dead peer is noticed.
REPLY_S = 15.0
_HEALTH_CHECK_S = 30  # idle connections are tried before use: firewalls forget them silently
# The alert, or the end of the line where we were still writing.
_WANTS_CERTIFICATE = ("certificate required", "certificate_required", "eof occurred in violation")
RIGHTS_REMEDY = (
    "grant the user that right (ACL SETUSER; docs/operations.md has the whole line, and a database"
    " other than 0 needs +select)"
)


def connect(
    address: RedisAddress,
    *,
    password_file: str = "",
    sentinel_password_file: str = "",
    ca_file: str = "",
    name: str = "sluice",
) -> redis.Redis:
    """Return a client for `address`; it connects with its first command.

    `name` is what CLIENT LIST shows. Nothing is sent twice: a command whose reply is lost raises.
    Raises PreconditionError when `ca_file` holds no certificates.
    """
    options = _options(address, password_file=password_file, name=name)
    if address.scheme == "unix":
        return redis.Redis(unix_socket_path=address.path, **options)
    tls = _tls(ca_file) if address.is_encrypted else {}
    if address.is_watched:
        asking = dict(tls)
        if sentinel_password_file:
            asking["credential_provider"] = _PasswordFile(
                sentinel_password_file, "", setting="SLUICE_REDIS_SENTINEL_PASSWORD_FILE"
            )
        return primary_of(address, {**options, **tls}, asking)
    host, port = address.hosts[0]
    return redis.Redis(host=host, port=port, **options, **tls)


def _tls(ca_file: str) -> dict[str, Any]:
    """Return the options for TLS. The file is read again for every connection, as it rotates."""
    if ca_file:
        try:
            ssl.create_default_context(cafile=ca_file)
        except OSError as exc:  # SSLError is one
            fault = exc.strerror if not isinstance(exc, ssl.SSLError) else "no PEM certificates"
            raise PreconditionError(f"SLUICE_REDIS_CA_FILE: cannot use {ca_file}: {fault}") from exc
    return {"ssl": True, "ssl_ca_certs": ca_file or None}


@contextlib.contextmanager
def redis_errors(address: RedisAddress) -> Iterator[None]:
    """Turn the client's errors into ours; messages show the address without its password.

    Raises SourceUnavailableError where a later try may succeed, PreconditionError where somebody
    has to change a credential.
    """
    try:
        yield
    except PasswordFileError as exc:
        raise PreconditionError(str(exc)) from exc
    except NoPermissionError as exc:
        raise PreconditionError(
            f"Redis at {address.shown}: {shorten(str(exc)).rstrip('.')}; {RIGHTS_REMEDY}"
        ) from exc
    except AuthenticationError as exc:
        raise PreconditionError(
            f"Redis at {address.shown} refuses us ({shorten(str(exc))}); "
            "check SLUICE_REDIS_PASSWORD_FILE, or user and password in SLUICE_REDIS_URL"
        ) from exc
    except (RedisError, OSError) as exc:
        raise SourceUnavailableError(
            f"Redis at {address.shown} does not answer: {told(exc)}"
        ) from exc


def told(error: Exception) -> str:
    """Return what an error of the client says, with the remedy where its words hide it."""
    text = shorten(str(error)).rstrip(".")
    if any(sign in text.lower() for sign in _WANTS_CERTIFICATE):
        return f"{text}; if it wants client certificates, set tls-auth-clients no there"
    return text


class PasswordFileError(AuthenticationError):
    """The password cannot be read. One of redis-py's, so that it closes the connection."""


class _PasswordFile(CredentialProvider):
    """Reads the password for each connection, so that a rotated Secret takes effect."""

    def __init__(
        self, path: str, username: str, *, setting: str = "SLUICE_REDIS_PASSWORD_FILE"
    ) -> None:
        self._path = path
        self._username = username
        self._setting = setting

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = Path(self._path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeError) as exc:
            fault = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8 text"
            raise PasswordFileError(
                f"{self._setting}: cannot read {self._path}: {fault}"
            ) from None  # the other error quotes the content
        return (self._username, password) if self._username else (password,)


def _options(address: RedisAddress, *, password_file: str, name: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "db": address.db,
        "socket_timeout": REPLY_S,
        "socket_connect_timeout": _CONNECT_S,
        "health_check_interval": _HEALTH_CHECK_S,
        "retry": Retry(NoBackoff(), 0),
        "client_name": name,
        "driver_info": None,  # two round trips a connection, and a right that nobody needs
    }
    if password_file:
        options["credential_provider"] = _PasswordFile(password_file, address.username)
    elif address.password:
        options["username"] = address.username or None
        options["password"] = address.password
    return options
