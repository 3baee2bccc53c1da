"""Where a Redis is: the value behind `SLUICE_REDIS_URL`, and its URL forms.

Pure. The password never appears in `repr`, in `shown` or in an error's text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, unquote

DEFAULT_PORT = 6379  # Redis' and Valkey's own
SENTINEL_PORT = 26379
_PORT_LIMIT = 65535
_SENTINEL = ("redis+sentinel", "rediss+sentinel")
_SCHEMES = ("redis", "rediss", "unix", *_SENTINEL)
_FORMS = (
    "redis://host:6379/0, rediss://host:6379/0, unix:///path/to/socket?db=0, "
    "redis+sentinel://host:26379,host:26379/service/0 or rediss+sentinel://…"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """One Redis: a host, a Unix socket, or a service that Sentinels know."""

    scheme: str  # redis | rediss | unix | redis+sentinel | rediss+sentinel
    hosts: tuple[tuple[str, int], ...] = ()  # one; several with Sentinel; none with unix
    path: str = ""  # of the Unix socket
    service: str = ""  # Sentinel's name for the primary
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def is_encrypted(self) -> bool:
        """Whether every connection speaks TLS, those to Sentinels too."""
        return self.scheme.startswith("rediss")

    @property
    def is_watched(self) -> bool:
        """Whether Sentinels know which server is meant."""
        return self.scheme in _SENTINEL

    @property
    def shown(self) -> str:
        """The address as a URL without user and password, for messages."""
        if self.scheme == "unix":
            return f"unix://{self.path}?db={self.db}"
        hosts = ",".join(f"{_bracketed(host)}:{port}" for host, port in self.hosts)
        service = f"/{self.service}" if self.service else ""
        return f"{self.scheme}://{hosts}{service}/{self.db}"


def parse_redis_url(text: str) -> RedisAddress:
    """Return the address that `text` names.

    Raises ValueError whose message quotes nothing of `text` that could hold a password.
    """
    parts = _split(text)
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"has no known scheme; write {_FORMS}")
    user, password, rest = _credentials(parts.netloc)
    if parts.scheme == "unix":
        address = _unix(parts, rest)
    elif parts.scheme in _SENTINEL:
        address = _sentinel(parts, rest)
    else:
        address = _tcp(parts, rest)
    return replace(address, username=user, password=password)


def _split(text: str) -> SplitResult:
    """Split as `urlsplit` does; newer ones of those refuse `host,[::1]`, which Sentinels may be."""
    scheme, _, rest = text.strip().partition(":")
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    place, path = "", rest
    if rest.startswith("//"):
        place, slash, path = rest[2:].partition("/")
        path = f"{slash}{path}"
    return SplitResult(scheme.lower(), place, path, query, fragment)


def _unix(parts: SplitResult, rest: str) -> RedisAddress:
    if rest or not parts.path.startswith("/"):
        raise ValueError("needs an absolute path: unix:///path/to/socket")
    name, _, value = parts.query.partition("=")
    if parts.query and name != "db":
        raise ValueError("knows only the option ?db=")
    return RedisAddress(scheme="unix", path=unquote(parts.path), db=_db(value))


def _tcp(parts: SplitResult, rest: str) -> RedisAddress:
    _refuse_query(parts)
    return RedisAddress(
        scheme=parts.scheme,
        hosts=(_host(rest, DEFAULT_PORT),),
        db=_db(parts.path.strip("/")),
    )


def _sentinel(parts: SplitResult, rest: str) -> RedisAddress:
    _refuse_query(parts)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("names no service: redis+sentinel://host:26379/service/0")
    return RedisAddress(
        scheme=parts.scheme,
        hosts=tuple(_host(each, SENTINEL_PORT) for each in rest.split(",")),
        service=service,
        db=_db(db),
    )


def _credentials(netloc: str) -> tuple[str, str, str]:
    """Return user, password and what follows the last `@`."""
    before, _, rest = netloc.rpartition("@")
    user, _, password = before.partition(":")
    return unquote(user), unquote(password), rest


def _host(text: str, default_port: int) -> tuple[str, int]:
    """Return host and port; an IPv6 address stands in brackets."""
    if text.startswith("["):
        host, bracket, tail = text[1:].partition("]")
        colon, port = (tail[:1], tail[1:]) if bracket else ("?", "")
    else:
        host, colon, port = text.partition(":")
    if not host or colon not in ("", ":"):
        raise ValueError("names no host, or an IPv6 address without brackets")
    if not colon:
        return host, default_port
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _PORT_LIMIT):
        raise ValueError("has a port that is no number from 1 to 65535")
    return host, int(port)


def _db(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise ValueError("has a database that is no number")
    return int(text)


def _refuse_query(parts: SplitResult) -> None:
    if parts.query or parts.fragment:
        raise ValueError("takes no options after ? or #; options have settings of their own")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
