"""How values of trivy-operator's chart are read and shaped. Pure; ValueError says what is wrong.

No message quotes a value: a credential may stand in the wrong place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

from common.migration.fates import Convert, Given, Made
from common.reports.plain_yaml import to_text

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # Go's strconv.ParseBool
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([EPTGMK]i?|k|m)?")
_REGISTRY = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?")
_FACTOR = {"m": 1e-3, "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_FACTOR |= {"E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_FACTOR |= {"Pi": 2.0**50, "Ei": 2.0**60}
_GIB = 2**30
_LARGEST = 2**63
_POLICIES_LIMIT = 1_000  # each is read with all others


def text_of(value: object) -> str:
    """Return a scalar as Helm would print it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case float() if value.is_integer():
            return str(int(value))
        case float():
            return repr(value)
        case _:
            raise ValueError("is a list or a map; a text belongs here")


def flag_of(value: object) -> bool:
    """Return whether a value says yes, as Go reads it."""
    return isinstance(value, bool | str | int) and text_of(value) in _TRUE


def plain(value: object) -> object:
    """Return maps and lists of texts, whole numbers and flags; what is null is left out."""
    match value:
        case Mapping():
            return {text_of(key): plain(one) for key, one in value.items() if one is not None}
        case list():
            return [plain(one) for one in value if one is not None]
        case str() | bool():
            return value
        case float() if not (math.isfinite(value) and value.is_integer()):
            raise ValueError("has a number with a fraction")
        case int() | float() if abs(value) < _LARGEST:
            return int(value)
        case _:
            raise ValueError("has something that is no text, list, map or number of 64 bits")


def mapping(value: object) -> Mapping[str, object]:
    """Return a map as it is."""
    shaped = plain(value)
    if not isinstance(shaped, dict):
        raise ValueError("is no map")
    return shaped


def strings(value: object) -> Mapping[str, str]:
    """Return a map of texts, such as labels: numbers and flags are written as texts."""
    return {name: text_of(one) for name, one in mapping(value).items()}


def assignments(value: object) -> Mapping[str, str]:
    """Return `name=text,…` as a map, as trivy-operator reads it."""
    pairs_of = [one.partition("=") for one in text_of(value).split(",") if one.strip()]
    if not all(equals and name.strip() for name, equals, _ in pairs_of):
        raise ValueError("is no list such as name=text,name=text")
    return {name.strip(): text.strip() for name, _, text in pairs_of}


def objects(value: object) -> Sequence[object]:
    """Return a list of maps, such as tolerations."""
    shaped = plain(value)
    if not isinstance(shaped, list) or not all(isinstance(one, dict) for one in shaped):
        raise ValueError("is no list of maps")
    return shaped


def word(value: object) -> str:
    """Return a text that is not empty."""
    text = text_of(value).strip()
    if not text:
        raise ValueError("is empty")
    return text


def registry(value: object) -> str:
    """Return a registry, with a path perhaps: what an image's name may begin with."""
    text = word(value)
    if _REGISTRY.fullmatch(text) is None:
        raise ValueError("is no registry such as mirror.example.com:5000")
    return text


def web_address(value: object) -> str:
    """Return a proxy's address with its scheme; who writes none means http, as in Go."""
    text = word(value)
    address = text if "://" in text else f"http://{text}"
    if not address.startswith(("http://", "https://")):
        raise ValueError("is no address such as http://proxy.example.com:3128")
    return address


def whole(value: object) -> int:
    """Return a whole number of 0 or more."""
    text = text_of(value)
    if not (text.isascii() and text.isdigit()) or len(text) > 9:  # noqa: PLR2004 # no count is longer
        raise ValueError("is no whole number of 0 or more")
    return int(text)


def gibibytes(value: object) -> int:
    """Return a quantity such as `5Gi` or `500M` in GiB, rounded up."""
    found = _QUANTITY.fullmatch(text_of(value).strip())
    if found is None:
        raise ValueError("is no quantity such as 5Gi")
    size_gi = math.ceil(float(found[1]) * _FACTOR[found[2] or ""] / _GIB)
    if size_gi > 1_000_000:  # noqa: PLR2004 # a pebibyte: a slip of the pen
        raise ValueError("is larger than any volume")
    return max(1, size_gi)


def references(value: object) -> Sequence[object]:
    """Return pull secrets as a list of names."""
    named = [one.get("name") for one in objects(value) if isinstance(one, dict)]
    if not all(isinstance(name, str) and name for name in named):
        raise ValueError("is no list of {name: …}")
    return [{"name": name} for name in named]


def each(shape: Callable[[object], object], *targets: str) -> Convert:
    """Return a converter that sets every target to the shaped value."""

    def convert(value: object, given: Given) -> Made:
        del given
        shaped = shape(value)
        return Made(values=dict.fromkeys(targets, shaped))

    return convert


def as_text(value: object, given: Given) -> str:
    """Return a scalar's text, for settings of the same format."""
    del given
    return text_of(value)


def hosts(value: object, given: Given) -> str:
    """Return the registries of a map by any names as a list."""
    del given
    return ",".join(text.strip() for text in strings(value).values() if text.strip())


def pairs(value: object, given: Given) -> str:
    """Return a map of mirrors as `prefix=mirror,…`."""
    del given
    return ",".join(f"{name}={text.strip()}" for name, text in strings(value).items())


def json_of(value: object, given: Given) -> str:
    """Return a map of texts as the JSON that the setting takes."""
    del given
    return json.dumps(strings(value), ensure_ascii=False) if value else ""


def rules(value: object, given: Given) -> str:
    """Return an ignore file: its text, a list of identifiers, or Trivy's YAML as a map."""
    del given
    match plain(value):
        case list() as listed:
            return "".join(f"{word(one)}\n" for one in listed)
        case dict() as shaped:
            return to_text(shaped)
        case other:
            return text_of(other)


def policies(value: object, given: Given) -> str:
    """Return all ignore policies together, as the one setting takes them."""
    text_of(value)
    prefix = "ignorePolicy"
    above = given.value("trivy")
    keys = above if isinstance(above, Mapping) else {}
    texts = {
        name.removeprefix(prefix).removeprefix("."): one
        for name, one in keys.items()
        if isinstance(name, str) and name.startswith(prefix) and isinstance(one, str) and one
    }
    if len(texts) > _POLICIES_LIMIT:
        raise ValueError(f"is one of more than {_POLICIES_LIMIT} ignore policies")
    return json.dumps(texts, ensure_ascii=False) if texts else ""


def joined(*keys: str) -> Callable[[object, Given], str]:
    """Return a converter that writes registry and repository, two values there, as one."""

    def text(value: object, given: Given) -> str:
        text_of(value)
        return "/".join(word(given.value(key)) for key in keys)

    return text
