"""How settings about images and registries are read; see `formats` for what a reader promises."""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from common.model.errors import BadReferenceError, shorten
from common.model.refs import parse_reference
from common.settings.formats import Format
from common.settings.window import read_window

# Words of Trivy's, in its own order.
PACKAGE_TYPES = ("os", "library")
STATUSES = (
    "unknown",
    "not_affected",
    "affected",
    "fixed",
    "under_investigation",
    "will_not_fix",
    "fix_deferred",
    "end_of_life",
)
SBOM_SOURCES = ("oci", "rekor")
EVERY_REGISTRY = "*"

Pairs: TypeAlias = tuple[tuple[str, str], ...]

_HOST = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](:\d+)?"
)
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kMGT]?)B?", re.IGNORECASE)
_FACTOR = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_RATE_LIMIT = 1_000_000.0


def _items(text: str) -> list[str]:
    parts = (part.strip() for part in text.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def _pair(item: str, form: str) -> tuple[str, str]:
    left, equals, right = (part.strip() for part in item.partition("="))
    if not equals or not left or not right:
        raise ValueError(f"has {shorten(item)!r}; write {form}")
    return left, right


def _words(allowed: tuple[str, ...], text: str) -> tuple[str, ...]:
    chosen = _items(text)
    for word in chosen:
        if word not in allowed:
            raise ValueError(f"has {shorten(word)!r}; known are {', '.join(allowed)}")
    return tuple(word for word in allowed if word in chosen)


def _hosts(text: str) -> tuple[str, ...]:
    for host in _items(text):
        _check_host(host)
    return tuple(sorted(_items(text)))


def _check_host(host: str) -> None:
    if _HOST.fullmatch(host) is None:
        raise ValueError(f"has {shorten(host)!r}; write host or host:port, without a scheme")


def _mirrors(text: str) -> Pairs:
    """Return the pairs with the longest prefix first, which is the one that counts."""
    pairs: dict[str, str] = {}
    for item in _items(text):
        prefix, mirror = _pair(item, "prefix=mirror,prefix=mirror")
        for name in (prefix, mirror):
            if "://" in name or any(sign in name for sign in "@ \t") or name.endswith("/"):
                raise ValueError(
                    f"has {shorten(item)!r}; write names such as docker.io=mirror.example/hub, "
                    "without scheme, digest or a slash at the end"
                )
        try:
            parse_reference(f"{mirror}/x/x")
        except BadReferenceError as exc:
            raise ValueError(
                f"has {shorten(mirror)!r}, which begins no image's name; write names such as "
                "docker.io=mirror.example/hub"
            ) from exc
        pairs[prefix] = mirror
    return tuple(sorted(pairs.items(), key=lambda pair: (-len(pair[0]), pair)))


def _repositories(text: str) -> str:
    """Return the text of repositories that could be asked, as it is: Trivy reads it too."""
    for item in _items(text):
        try:
            parse_reference(item)
        except BadReferenceError as exc:
            raise ValueError(
                f"has {shorten(item)!r}; write repositories such as mirror.example/trivy-db:2"
            ) from exc
    return text


def _rates(text: str) -> tuple[tuple[str, float], ...]:
    rates: dict[str, float] = {}
    for item in _items(text):
        host, number = _pair(item, "host=number,*=number")
        if host != EVERY_REGISTRY:
            _check_host(host)
        plain = number.isascii() and re.fullmatch(r"[0-9]+(\.[0-9]+)?", number) is not None
        if not plain or not 0 < float(number) <= _RATE_LIMIT:
            raise ValueError(f"has {shorten(item)!r}; write a number above 0, up to 1000000")
        rates[host] = float(number)
    return tuple(sorted(rates.items()))


def _size_bytes(text: str) -> int:
    if not text:
        return 0
    found = _SIZE.fullmatch(text) if text.isascii() and len(text) <= 32 else None  # noqa: PLR2004 # digits enough
    if found is None:
        raise ValueError(f"is {shorten(text)!r}; write a size such as 500MB or 10GB")
    return int(float(found[1]) * _FACTOR[found[2].lower()])


def read_texts(text: str) -> Pairs:
    """Return a JSON object of texts as sorted pairs. Never quotes it: it may be long."""
    if not text:
        return ()
    try:
        found = msgspec.json.decode(text.encode(errors="replace"), type=dict[str, str])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError('is no JSON object of texts; write {"name": "text"}') from exc
    return tuple(sorted(found.items()))


def _secrets(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, tuple[str, ...]] = {}
    for namespace, names in read_texts(text):
        if _NAMESPACE.fullmatch(namespace) is None:
            raise ValueError(f"has {shorten(namespace)!r}, which is no namespace")
        for name in _items(names):
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"has {shorten(name)!r}, which is no Secret's name")
        found[namespace] = tuple(_items(names))
    return tuple(sorted(found.items()))


def _policies(text: str) -> Pairs:
    """Return Rego texts by what they count for: ``, `namespace` or `namespace.name`."""
    for place, _ in read_texts(text):
        if place and re.fullmatch(r"[A-Za-z0-9*?._-]+", place) is None:
            raise ValueError(f"has {shorten(place)!r}; write namespace or namespace.name")
    return read_texts(text)


PACKAGE_TYPE_LIST = Format(
    shown="comma list of os, library", read=lambda text: _words(PACKAGE_TYPES, text)
)
STATUS_LIST = Format(
    shown=f"comma list of {', '.join(STATUSES)}", read=lambda text: _words(STATUSES, text)
)
SBOM_SOURCE_LIST = Format(
    shown="comma list of oci, rekor", read=lambda text: _words(SBOM_SOURCES, text)
)
HOSTS = Format(shown="comma list of host or host:port", read=_hosts)
MIRRORS = Format(shown="prefix=mirror,…", read=_mirrors)
REPOSITORIES = Format(shown="comma list of repositories", read=_repositories)
RATES = Format(shown="host=number,*=number", read=_rates)
SIZE = Format(shown="size such as 500MB or 10GB", read=_size_bytes)
POLICIES = Format(shown="JSON object of texts", read=_policies)
SECRETS = Format(shown='JSON object: {"namespace": "secret,secret"}', read=_secrets)
WINDOW = Format(shown="five fields of cron and a Go duration", read=read_window)
