"""Turns a values file of trivy-operator's chart into ours, and tells what became of each value.

Pure, total: whatever a document holds, each of its keys is told once; no message quotes a value
that may be a credential.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from common.migration.convert import flag_of, text_of
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
from common.migration.table import BRANCHES, BY_KEY, CHART_VERSION, DEFAULTS, FAMILIES
from common.model.errors import shorten
from common.model.hiding import without_user_info
from common.settings.setting import Setting

# Branches of their chart's values that hardly another file has: a parent chart's, a HelmRelease.
_TELLING = frozenset({"trivy", "trivyOperator"})
# What `helm get values` writes above the values where nobody asked for YAML.
_HEADINGS = frozenset({"USER-SUPPLIED VALUES", "COMPUTED VALUES"})
_CLOSE = 0.75  # difflib's ratio; lower suggests names that share little
# Guesses cost milliseconds each; a file with more slips than that is none of trivy-operator's.
_GUESSES = 100
_LATER = "this version"  # how the settings' table begins the reason of what may come
_HIDDEN = ByHand(what="it holds a user and a password, so it is not printed; set it by hand")


class What(Enum):
    """What became of a value."""

    TAKEN = "taken over"
    BY_HAND = "to be done by hand"
    NOT_YET = "not supported yet"
    NO_MEANING = "without meaning here"
    SAME = "as in trivy-operator's chart by default"
    WRONG = "not understood"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One line about one value."""

    key: str
    what: What
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Our values by dotted path, the keys that each came from, and a line about each key."""

    values: Mapping[str, object]
    sources: Mapping[str, tuple[str, ...]]
    told: tuple[Told, ...]

    @property
    def is_clean(self) -> bool:
        """Return whether every value was known and understood."""
        return not any(one.what in (What.WRONG, What.UNKNOWN) for one in self.told)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    key: str
    row: Row
    value: object


def translate(document: Mapping[str, object]) -> Translation:
    """Return our values for theirs."""
    given = Given(document=document, defaults=DEFAULTS)
    values: dict[str, object] = {}
    sources: dict[str, tuple[str, ...]] = {}
    told: list[Told] = []
    for one in _walk(document, above=""):
        if isinstance(one, Told):
            told.append(one)
            continue
        made, lines = _become(one, given)
        told += lines
        for path, value in made.items():
            values.setdefault(path, value)  # rows that share a path agree
            sources[path] = (*sources.get(path, ()), one.key)
    told += _missed(given, {one.key for one in told})
    return Translation(values=values, sources=sources, told=tuple(_guessed(told)))


def late(setting: Setting[Any]) -> bool:
    """Return whether a setting that is not honoured may be one day."""
    return setting.instead.startswith(_LATER)


def _walk(level: Mapping[str, object], *, above: str) -> Iterator[_Found | Told]:
    """Yield every value that a row knows, and a line about everything else."""
    for name, value in level.items():
        key = f"{above}{name}"
        if key in BY_KEY:
            yield _Found(key=key, row=BY_KEY[key], value=value)
        elif (family := _family(key)) is not None:
            yield _Found(key=key, row=family, value=value)
        elif key in BRANCHES:
            if isinstance(value, Mapping):
                yield from _walk(value, above=f"{key}.")
            elif value is not None:
                yield Told(key=key, what=What.WRONG, text="is no map")
        elif above or key not in ({"global"} | _HEADINGS):
            yield Told(key=shorten(key), what=What.UNKNOWN, text=_inner(value, above=key))


def _inner(value: object, *, above: str) -> str:
    """Return the path of such values inside of another file, a parent chart's say; empty: none."""
    if not isinstance(value, Mapping):
        return ""
    if not _TELLING.isdisjoint(value):
        return above
    found = (_inner(one, above=f"{above}.{name}") for name, one in value.items())
    return next(filter(None, found), "")


def _family(key: str) -> Row | None:
    return next((row for row in FAMILIES if key.startswith(row.key[:-1])), None)


def _guessed(told: Sequence[Told]) -> Iterator[Told]:
    """Yield the lines, the unknown ones with what is wrong with them."""
    left = _GUESSES
    for one in told:
        if one.what is not What.UNKNOWN:
            yield one
            continue
        if one.text:
            hint = f"; such values stand below {shorten(one.text)}: give that part alone"
        else:
            hint = _meant(one.key) if left > 0 else ""
            left -= 1
        text = f"is no value of trivy-operator's chart {CHART_VERSION}{hint}"
        yield dataclasses.replace(one, text=text)


def _meant(key: str) -> str:
    """Return what may be meant: a neighbour of a close name, else the same name elsewhere."""
    above, _, name = key.rpartition(".")
    beside = [one for one in BY_KEY if one.rpartition(".")[0] == above]
    close = difflib.get_close_matches(key, beside, n=1, cutoff=_CLOSE)
    close = close or [one for one in BY_KEY if one.rpartition(".")[2] == name][:1]
    close = close or difflib.get_close_matches(key, BY_KEY, n=1, cutoff=_CLOSE)
    return f"; did you mean {close[0]}?" if close else ""


def _become(found: _Found, given: Given) -> tuple[Mapping[str, object], list[Told]]:
    """Return what a value sets, and the lines about it."""
    row = found.row
    try:
        if _is_default(found.value, row):
            return {}, [_told_default(found.key, row)]
        if _is_missed(row) and not flag_of(found.value):
            return {}, [Told(key=found.key, what=What.NO_MEANING, text="it is off here too")]
        made = _made(found.value, given, row)
    except (ValueError, TypeError) as exc:
        reason = str(exc) if isinstance(exc, ValueError) else "has something that YAML cannot say"
        return {}, [Told(key=found.key, what=What.WRONG, text=reason)]
    lines = [_line(f"{found.key}{part}", left) for part, left in made.left]
    if any(_has_login(value) for value in made.values.values()):
        return {}, [_line(found.key, _HIDDEN)]
    if made.values:
        paths = ", ".join(made.values)
        lines.insert(0, Told(key=found.key, what=What.TAKEN, text=paths))
    return made.values, lines or [Told(key=found.key, what=What.SAME)]


def _made(value: object, given: Given, row: Row) -> Made:
    fate = row.fate
    match fate:
        case ToSetting(setting=setting) if not setting.honoured:
            reason = setting.instead
            left = NotYet(instead=reason) if late(setting) else NoMeaning(why=reason)
            return Made(left=(("", left),))
        case ToSetting(setting=setting):
            text = fate.text(value, given)
            setting.format.read(text)
            return Made(values={f"settings.{setting.name}": text})
        case ToValues():
            return fate.convert(value, given)
        case _:
            return Made(left=(("", fate),))


def _line(key: str, left: Left) -> Told:
    match left:
        case NoMeaning():
            return Told(key=key, what=What.NO_MEANING, text=left.why)
        case NotYet():
            return Told(key=key, what=What.NOT_YET, text=left.instead)
        case ByHand():
            return Told(key=key, what=What.BY_HAND, text=left.what)


def _is_default(value: object, row: Row) -> bool:
    """Return whether it says what the chart says without it; null is Helm's word for that."""
    return value is None or _is_within(value, row.default)


def _is_within(value: object, default: object) -> bool:
    """Return whether a value changes nothing: of a map, every member that it has."""
    if isinstance(value, Mapping) and isinstance(default, Mapping):
        return all(
            name in default and _is_within(one, default[name]) for name, one in value.items()
        )
    if isinstance(value, Mapping | list) or isinstance(default, Mapping | list):
        return value == default
    return text_of(value) == text_of(default)


def _has_login(value: object) -> bool:
    match value:
        case str():
            return without_user_info(value) != value
        case Mapping():
            return any(_has_login(one) for one in value.values())
        case list():
            return any(_has_login(one) for one in value)
        case _:
            return False


def _missed(given: Given, told: set[str]) -> Iterator[Told]:
    """Yield what is on by default there, not done here, and not named in the file."""
    for key, row in BY_KEY.items():
        if _is_missed(row) and key not in told and flag_of(given.value(key)):
            yield _told_default(key, row)


def _told_default(key: str, row: Row) -> Told:
    if isinstance(row.fate, ToSetting) and _is_missed(row):
        reason = f"on by default there; {row.fate.setting.instead}"
        return Told(key=key, what=What.NOT_YET, text=reason)
    return Told(key=key, what=What.SAME)


def _is_missed(row: Row) -> bool:
    return row.missed and isinstance(row.fate, ToSetting) and not row.fate.setting.honoured
