"""Short ways to write rows of the table, and the converters that know settings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.migration.convert import as_text, flag_of, text_of
from common.migration.fates import (
    ByHand,
    Given,
    Left,
    Made,
    NoMeaning,
    NotYet,
    Row,
    ToSetting,
    ToValues,
)
from common.settings.operator_keys import OF_ENVIRONMENT
from common.settings.setting import Setting
from common.settings.table import BY_NAME

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_NO_VARIABLE = NoMeaning(why="kube-sluice reads no such variable of trivy-operator's")
_FROM_ELSEWHERE = ByHand(what="settings takes texts, so write its value there")
_PROXY = ByHand(what="trivy.httpProxy, trivy.httpsProxy and trivy.noProxy are what is taken over")


def setting(
    key: str,
    default: object,
    name: str,
    text: Callable[[object, Given], str] = as_text,
    *,
    missed: bool = False,
) -> Row:
    """Return the row of a value that is one of the product's settings."""
    row: Setting[Any] = BY_NAME[name]
    return Row(
        key=key,
        default=default,
        fate=ToSetting(setting=row, text=text),
        missed=missed,
        secret=row.secret,
    )


def nothing(key: str, default: object, why: str, *, secret: bool = False) -> Row:
    """Return the row of a value that nothing here is like."""
    return Row(key=key, default=default, fate=NoMeaning(why=why), secret=secret)


def later(key: str, default: object, instead: str, *, secret: bool = False) -> Row:
    """Return the row of a value that this version cannot do."""
    return Row(key=key, default=default, fate=NotYet(instead=instead), secret=secret)


def flag(value: object) -> bool:
    """Return a flag; raises ValueError for what Go does not read as one."""
    BY_NAME["OPERATOR_VULNERABILITY_SCANNER_ENABLED"].format.read(text_of(value))
    return flag_of(value)


def environment() -> ToValues:
    """Return what becomes of the operator's own environment variables."""
    return ToValues(
        targets=tuple(f"settings.{name}" for name in sorted(OF_ENVIRONMENT)),
        convert=_environment,
        words="variables that are settings here; the rest is told",
    )


def _environment(value: object, given: Given) -> Made:
    del given
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise ValueError("is no list of {name: …, value: …}")
    values: dict[str, object] = {}
    left: list[tuple[str, Left]] = []
    for one in value:
        name = text_of(one.get("name"))
        row: Setting[Any] | None = OF_ENVIRONMENT.get(name)
        if name in _PROXIES:
            left.append((f"[{name}]", _PROXY))
        elif row is None:
            left.append((f"[{name}]", _NO_VARIABLE))
        elif "value" not in one:
            left.append((f"[{name}]", _FROM_ELSEWHERE))
        else:
            text = text_of(one["value"])
            row.format.read(text)
            values[f"settings.{name}"] = text
    return Made(values=values, left=tuple(left))
