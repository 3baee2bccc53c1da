"""How a setting's text is read: one `Format` per kind of value.

Pure. A reader raises ValueError with the problem and the form it wants; the message quotes the
text only where no secret can stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from common.model.errors import shorten
from common.model.key import WORKLOAD_KINDS
from common.model.patterns import is_malformed
from common.model.policies import Change
from common.model.redis_address import RedisAddress, parse_redis_url
from common.reports.duration import parse_go_duration

T = TypeVar("T")

SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")  # Trivy's order and names
POOLS = ("reconcile", "scan", "rematch", "audit", "match")
# Optional columns of a vulnerability, by trivy-operator's exact names.
REPORT_FIELDS = ("Description", "Links", "CVSS", "Target", "Class", "PackageType", "PackagePath")

# Go's strconv.ParseBool, so that a value that trivy-operator takes means the same here.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_LABEL_PART = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?")
_LABEL_LIMIT = 63  # characters; Kubernetes' limit for a name and for a value
_PORT_LIMIT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Format(Generic[T]):
    """One way to write a value; `shown` names it in the documentation."""

    shown: str
    read: Callable[[str], T]
    # True: an empty value says something (such as "off"); False: it counts as not set.
    empty_is_a_value: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BindAddress:
    """Where a server listens; an empty host: on every interface; port 0: a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _flag(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"is {_quoted(text)}; write true or false")


def _names(text: str) -> tuple[str, ...]:
    parts = (part.strip() for part in text.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def _globs(text: str) -> tuple[str, ...]:
    """Return patterns that mean something: a malformed one would match nothing, without a word."""
    globs = _names(text)
    for glob in globs:
        if is_malformed(glob):
            raise ValueError(
                f"has {_quoted(glob)}, which is no pattern: a class in brackets must end, and so "
                "must what follows a backslash"
            )
    return globs


def is_namespace(text: str) -> bool:
    """Return whether a namespace can have this name (a DNS label, RFC 1123)."""
    return re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text) is not None


def _namespaces(text: str) -> tuple[str, ...]:
    """Return names that can be namespaces': any other one would scan nothing, without a word."""
    names = _names(text)
    for name in names:
        if not is_namespace(name):
            raise ValueError(
                f"has {_quoted(name)}, which no namespace can be called; globs count in"
                " OPERATOR_EXCLUDE_NAMESPACES alone"
            )
    return names


def _one_of(allowed: tuple[str, ...], text: str) -> str:
    """Return the allowed spelling of `text`, whatever its case."""
    for name in allowed:
        if name.lower() == text.lower():
            return name
    raise ValueError(f"has {_quoted(text)}; known are {', '.join(allowed)}")


def _subset(allowed: tuple[str, ...], text: str) -> tuple[str, ...]:
    chosen = {_one_of(allowed, name) for name in _names(text)}
    return tuple(name for name in allowed if name in chosen)


def _fields(text: str) -> tuple[str, ...]:
    """Return known fields in a fixed order; case matters, as at trivy-operator."""
    unknown = [name for name in _names(text) if name not in REPORT_FIELDS]
    if unknown:
        raise ValueError(f"has {_quoted(unknown[0])}; known are {', '.join(REPORT_FIELDS)}")
    return tuple(name for name in REPORT_FIELDS if name in _names(text))


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    """Return `k=v,k=v` as sorted pairs, each a label that Kubernetes takes."""
    pairs: dict[str, str] = {}
    for item in _names(text):
        key, equals, value = item.partition("=")
        if not equals or not _is_label_key(key) or not _is_label_part(value):
            raise ValueError(f"has {_quoted(item)}; write label=value,label=value")
        pairs[key] = value
    return tuple(sorted(pairs.items()))


def _label_keys(text: str) -> tuple[str, ...]:
    for key in _names(text):
        if not _is_label_key(key):
            raise ValueError(f"has {_quoted(key)}, which is no label key")
    return _names(text)


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return bool(name) and _is_label_part(name) and bool(prefix) == bool(slash)


def _is_label_part(text: str) -> bool:
    return len(text) <= _LABEL_LIMIT and _LABEL_PART.fullmatch(text) is not None


def _bind(text: str) -> BindAddress:
    host, colon, port = text.rpartition(":")
    in_brackets = host.startswith("[") and host.endswith("]")
    if not colon or not _is_number(port) or int(port) > _PORT_LIMIT:
        raise ValueError(f"is {_quoted(text)}; write host:port or :port")
    if ":" in host and not in_brackets:
        raise ValueError(f"is {_quoted(text)}; an IPv6 host stands in brackets")
    return BindAddress(host=host[1:-1] if in_brackets else host, port=int(port))


def _duration_s(text: str) -> float:
    seconds = parse_go_duration(text)
    if seconds is None:
        raise ValueError(f"is {_quoted(text)}; write a Go duration such as 30s, 5m or 24h")
    if seconds < 0:
        raise ValueError(f"is {_quoted(text)}; a negative duration means nothing here")
    return seconds


def _redis(text: str) -> RedisAddress | None:
    return parse_redis_url(text) if text else None


def _http_url(text: str) -> str:
    if not text or re.fullmatch(r"https?://[^\s@/?#]+/?", text):
        return text.rstrip("/")
    raise ValueError("is no http(s)://host:port without path, user or password")


def _cluster(text: str) -> str:
    if not text or re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text):
        return text
    raise ValueError(f"is {_quoted(text)}; write up to 63 of a-z, 0-9 and -")


def _platform(text: str) -> str:
    if not text or re.fullmatch(r"[a-z0-9]+-[a-z0-9]+(-v[0-9]+)?", text):
        return text
    raise ValueError(f"is {_quoted(text)}; write os-architecture, such as linux-amd64")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _quoted(text: str) -> str:
    return repr(shorten(text))


def whole(low: int, high: int) -> Format[int]:
    """Return the format of a whole number from `low` to `high`."""

    def read(text: str) -> int:
        if _is_number(text) and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"is {_quoted(text)}; write a whole number from {low} to {high}")

    return Format(shown=f"whole number, {low} to {high}", read=read)


def number(low: float, high: float) -> Format[float]:
    """Return the format of a decimal number from `low` to `high`."""

    def read(text: str) -> float:
        plain = re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) is not None and text.isascii()
        if plain and low <= float(text) <= high:
            return float(text)
        raise ValueError(f"is {_quoted(text)}; write a number from {low:g} to {high:g}")

    return Format(shown=f"number, {low:g} to {high:g}", read=read)


def choice(*allowed: str) -> Format[str]:
    """Return the format of one word out of `allowed`."""
    return Format(shown=" \\| ".join(allowed), read=lambda text: _one_of(allowed, text))


def changes(
    rows: Collection[str],
    fields: Mapping[str, tuple[float, float]],
    odd: Callable[[Iterable[Change]], Iterable[str]],
    *,
    others: Mapping[str, str] = MappingProxyType({}),
) -> Format[tuple[Change, ...]]:
    """Return the format of `row.field=number,…`: numbers of a table of policies.

    `odd` yields what is wrong with the rows that changes make; `others` are names that people may
    take for rows, with the row that each one means.
    """

    def read(text: str) -> tuple[Change, ...]:
        made: dict[tuple[str, str], Change] = {}
        faults: list[str] = []
        for item in _names(text):
            try:
                change = _change(item, rows, fields, others)
            except ValueError as fault:
                faults.append(str(fault))
                continue
            if change[:2] in made:
                faults.append(f"has {'.'.join(change[:2])} twice")
            made[change[:2]] = change
        faults += odd(made.values())
        if faults:
            raise ValueError("; it ".join(faults))
        return tuple(made.values())

    return Format(shown="name.field=number,…", read=read)


def _change(
    item: str,
    rows: Collection[str],
    fields: Mapping[str, tuple[float, float]],
    others: Mapping[str, str],
) -> Change:
    place, equals, number = (part.strip() for part in item.partition("="))
    row, dot, field = (part.strip() for part in place.partition("."))
    if not equals or not dot:
        raise ValueError(f"has {_quoted(item)}; write name.field=number,name.field=number")
    if row in others:
        raise ValueError(f"has {_quoted(row)}; that is a reason of {others[row]}: name that one")
    if row not in rows:
        raise ValueError(f"has {_quoted(row)}; known are {', '.join(rows)}")
    if field not in fields:
        raise ValueError(f"has {_quoted(place)}; known fields are {', '.join(fields)}")
    low, high = fields[field]
    plain = re.fullmatch(r"[0-9]+(\.[0-9]+)?", number) is not None and number.isascii()
    whole_only = isinstance(low, int)
    if not plain or not low <= float(number) <= high or (whole_only and not _is_number(number)):
        what = "whole number" if whole_only else "number"
        raise ValueError(f"has {_quoted(item)}; write a {what} from {low:g} to {high:g}")
    return row, field, float(number)


TEXT = Format(shown="text", read=str)
PATH = Format(shown="path", read=str)
FLAG = Format(shown="true \\| false", read=_flag)
NAMES = Format(shown="comma list", read=_names)
GLOBS = Format(shown="comma list of patterns", read=_globs)
NAMESPACES = Format(shown="comma list of namespaces", read=_namespaces)
LABELS = Format(shown="label=value,…", read=_labels)
LABEL_KEYS = Format(shown="comma list of label keys", read=_label_keys)
SEVERITY_LIST = Format(
    shown=f"comma list of {', '.join(SEVERITIES)}", read=lambda text: _subset(SEVERITIES, text)
)
KIND_LIST = Format(
    shown="comma list of kinds, any case", read=lambda text: _subset(WORKLOAD_KINDS, text)
)
POOL_LIST = Format(
    shown=f"comma list of {', '.join(POOLS)}", read=lambda text: _subset(POOLS, text)
)
FIELD_LIST = Format(shown=f"comma list of {', '.join(REPORT_FIELDS)}", read=_fields)
BIND = Format(shown="host:port", read=_bind)
REDIS_URL = Format(
    shown="redis:// \\| rediss:// \\| unix:// \\| redis(s)+sentinel:// URL", read=_redis
)
HTTP_URL = Format(shown="http(s)://host:port", read=_http_url)
PLATFORM = Format(shown="os-architecture", read=_platform)
CLUSTER = Format(shown="up to 63 of a-z, 0-9, -", read=_cluster)
DURATION = Format(shown="Go duration", read=_duration_s)


def _optional_duration(text: str) -> float | None:
    return _duration_s(text) if text else None


OPTIONAL_DURATION = Format(
    shown="Go duration; empty: off", read=_optional_duration, empty_is_a_value=True
)
