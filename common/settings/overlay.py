"""trivy-operator's ConfigMaps as settings: under the environment, over the defaults.

Pure. What is wrong in them never ends a process: it names the key, and what held before holds on.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from common.model.errors import SettingsError, shorten
from common.model.overlay import BadKey, Entry, Overlay
from common.settings.operator_keys import (
    BEFORE,
    ENVIRONMENT_MAP,
    FAMILIES,
    MAPS,
    OF_ENVIRONMENT,
    RIVALS,
    SETTABLE,
    SIMPLE,
    TRIVY_MAP,
    UNUSED,
    UNUSED_OF_ENVIRONMENT,
    Family,
    Unused,
)
from common.settings.ours import OPERATOR_CONFIGMAPS
from common.settings.parse import parse
from common.settings.setting import Setting
from common.settings.table import BY_NAME
from common.settings.value import Settings

# The data of those ConfigMaps that exist, by name.
Found: TypeAlias = Mapping[str, Mapping[str, str]]

_TOLD_KEYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The settings that count, and what of them the ConfigMaps say."""

    settings: Settings
    overlay: Overlay


@dataclass(slots=True)
class _Reading:
    """One pass over the ConfigMaps."""

    namespace: str
    texts: Mapping[str, str]  # the environment
    entries: list[Entry] = field(default_factory=list)
    faults: list[BadKey] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def source(self, name: str, keys: Iterable[str]) -> str:
        told = list(keys)
        more = f" and {len(told) - _TOLD_KEYS} more" if len(told) > _TOLD_KEYS else ""
        word = "key" if len(told) == 1 else "keys"
        return f"ConfigMap {self.namespace}/{name}, {word} {', '.join(told[:_TOLD_KEYS])}{more}"

    def put(self, row: Setting[Any], text: str, *, name: str, keys: Iterable[str]) -> None:
        """Take a setting's text, unless it is none, or the environment says another one."""
        source = self.source(name, keys)
        if not text.strip() and not row.format.empty_is_a_value:
            return
        if above := next((each for each in _above(row) if _is_set(self.texts, each)), ""):
            self.notices.append(f"{source} counts for nothing: {above} is set, and comes first")
        elif self.is_right(row, text, name=name, source=source):
            self.entries.append(Entry(row.name, text, source))

    def is_right(self, row: Setting[Any], text: str, *, name: str, source: str) -> bool:
        """Say whether it can be read, and note it where it cannot."""
        try:
            row.format.read(text.strip())
        except ValueError as exc:
            self.faults.append(
                BadKey(source, str(exc), remedy_for(self.namespace, name, f"set {row.name}"))
            )
            return False
        return True


def remedy_for(namespace: str, name: str, otherwise: str) -> str:
    """Return what to do about a key of a ConfigMap."""
    edit = f"`kubectl -n {namespace} edit configmap {name}`"
    return f"correct it with {edit}, or {otherwise}, which comes first"


def _above(row: Setting[Any]) -> tuple[str, ...]:
    return (row.name, *RIVALS.get(row.name, ()))


def _is_set(texts: Mapping[str, str], name: str) -> bool:
    text = texts.get(name)
    return text is not None and bool(text.strip() or BY_NAME[name].format.empty_is_a_value)


def overlaid(texts: Mapping[str, str], entries: Iterable[Entry]) -> dict[str, str]:
    """Return the environment with what it does not say itself, of what a ConfigMap can say."""
    more = {
        entry.name: entry.text
        for entry in entries
        if entry.name in SETTABLE
        and not any(_is_set(texts, name) for name in _above(BY_NAME[entry.name]))
    }
    return {**texts, **more}


def choose(
    texts: Mapping[str, str],
    found: Found,
    *,
    namespace: str,
    last: Callable[[], Overlay | None] = lambda: None,
) -> Chosen:
    """Return the settings that count, now that the ConfigMaps were read.

    `texts` is the environment, files read (`load.with_files`); `last` returns what held before,
    and is asked only where something is wrong. Raises SettingsError for the environment alone.
    """
    reading = _read(texts, found, namespace=namespace)
    overlay = _overlay(reading)
    try:
        settings = parse(overlaid(texts, overlay.entries))
    except SettingsError as exc:
        settings = parse(texts)  # its own faults are raised here
        remedy = f"make {' and '.join(found)} in {namespace} agree with each other"
        overlay = msgspec.structs.replace(
            overlay,
            entries=(),
            faults=(*overlay.faults, BadKey("ConfigMaps", f"do not agree: {exc}", remedy)),
        )
    if not overlay.faults:
        return Chosen(settings=settings, overlay=overlay)
    return _kept(texts, overlay, last()) or Chosen(settings=settings, overlay=overlay)


def unread(texts: Mapping[str, str], last: Overlay | None, *, namespace: str) -> Chosen:
    """Return the settings where the ConfigMaps may not be read: a lost right changes nothing.

    Raises SettingsError for the environment alone.
    """
    notice = (
        f"this account may not get the ConfigMaps {', '.join(MAPS)} in {namespace}: they are no "
        "settings, or stay what they were; grant it in a Role there, as the chart does, or set "
        f"{OPERATOR_CONFIGMAPS.name}=false"
    )
    overlay = Overlay(notices=(notice,))
    return _kept(texts, overlay, last) or Chosen(settings=parse(texts), overlay=overlay)


def adopt(texts: Mapping[str, str], overlay: Overlay | None) -> Settings:
    """Return the settings with what a watcher published. Raises SettingsError."""
    return parse(overlaid(texts, overlay.entries if overlay is not None else ()))


def _kept(texts: Mapping[str, str], overlay: Overlay, last: Overlay | None) -> Chosen | None:
    """Return the settings of before; None where there are none, or none that still hold."""
    if last is None:
        return None
    try:
        settings = adopt(texts, last)
    except SettingsError:  # of another version, perhaps
        return None
    kept = msgspec.structs.replace(overlay, entries=last.entries, kept=True)
    return Chosen(settings=settings, overlay=kept)


def _overlay(reading: _Reading) -> Overlay:
    return Overlay(
        entries=tuple(sorted(reading.entries, key=lambda entry: entry.name)),
        faults=tuple(reading.faults),
        notices=tuple(reading.notices),
    )


def _read(texts: Mapping[str, str], found: Found, *, namespace: str) -> _Reading:
    reading = _Reading(namespace, texts)
    for name in MAPS:
        data = dict(sorted(found.get(name, {}).items()))
        if name == ENVIRONMENT_MAP:
            _read_environment(reading, data)
            continue
        for key, row in SIMPLE[name].items():
            if key in data:
                reading.put(row, data[key], name=name, keys=(key,))
        families = FAMILIES if name == TRIVY_MAP else ()
        for family in families:
            _read_family(reading, family, data)
        rest = [
            key
            for key in data
            if key not in SIMPLE[name] and not any(one.has(key) for one in families)
        ]
        reading.notices += _unused(reading, name, {key: data[key] for key in rest})
    return reading


def _read_environment(reading: _Reading, data: Mapping[str, str]) -> None:
    """Read variables: trivy-operator takes this map as its environment."""
    for key, text in data.items():
        if key in OF_ENVIRONMENT:
            reading.put(OF_ENVIRONMENT[key], text, name=ENVIRONMENT_MAP, keys=(key,))
            continue
        source = reading.source(ENVIRONMENT_MAP, (key,))
        if key in UNUSED_OF_ENVIRONMENT:
            row = UNUSED_OF_ENVIRONMENT[key]
            if not _means_the_default(row, text):
                reading.notices.append(f"{source} has no effect in this version: {row.instead}")
        elif key in BEFORE:
            if not _means_the_default(BY_NAME[key], text):
                reading.notices.append(f"{source} has no effect: it must stand in the environment")
        else:
            reading.notices.append(_unknown(source, key, OF_ENVIRONMENT))


def _means_the_default(row: Setting[Any], text: str) -> bool:
    try:
        return not text.strip() or bool(
            row.format.read(text.strip()) == row.format.read(row.default)
        )
    except ValueError:
        return False


def _read_family(reading: _Reading, family: Family, data: Mapping[str, str]) -> None:
    """Read keys that make one setting together; each is judged alone, so that a fault names it."""
    items: dict[str, str] = {}
    for key, text in data.items():
        if not text.strip() or not family.has(key):
            continue
        rest = key.removeprefix(family.prefix)
        item = _item(family, rest, text)
        source = reading.source(TRIVY_MAP, (key,))
        if reading.is_right(family.setting, _joined(family, [item]), name=TRIVY_MAP, source=source):
            items[key] = item
    if items:
        text = _joined(family, items.values())
        reading.put(family.setting, text, name=TRIVY_MAP, keys=items)


def _item(family: Family, rest: str, text: str) -> str:
    match family.item:
        case "pair":
            return f"{rest}={text.strip()}"
        case "policy":
            # `trivy.ignorePolicy` alone counts for all.
            return msgspec.json.encode({rest.removeprefix("."): text}).decode()
        case _:
            return text.strip()


def _joined(family: Family, items: Iterable[str]) -> str:
    if family.item != "policy":
        return ",".join(items)
    joined: dict[str, str] = {}
    for item in items:
        joined |= msgspec.json.decode(item, type=dict[str, str])
    return msgspec.json.encode(joined).decode()


def _unused(reading: _Reading, name: str, data: Mapping[str, str]) -> Iterator[str]:
    for key, text in data.items():
        source = reading.source(name, (key,))
        row = next((one for one in UNUSED[name] if _is_of(one, key)), None)
        if row is None:
            names = [*SIMPLE[name], *(one.key for one in UNUSED[name])]
            yield _unknown(source, key, names)
        elif row.usual is not None and text.strip() not in row.usual:
            yield f"{source} has no effect in this version: {row.why}"


def _is_of(row: Unused, key: str) -> bool:
    return key.startswith(row.key[:-1]) if row.key.endswith("*") else key == row.key


def _unknown(source: str, key: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, list(names), n=1, cutoff=0.75)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{shorten(source)} is none that trivy-operator has{hint}"
