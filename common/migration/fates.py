"""What becomes of a value of trivy-operator's chart: one small class for each way. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from common.settings.setting import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A values file over the chart's defaults: what a value is when others are asked about it."""

    document: Mapping[str, object]
    defaults: Mapping[str, object]  # by dotted key

    def value(self, key: str) -> object:
        """Return the value of a dotted key; its default where the file has none."""
        found: object = self.document
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return self.defaults.get(key) if found is None else found


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMeaning:
    """Nothing here is like it."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """This version cannot do it."""

    instead: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """Somebody must do it: the value is a secret, or ours has another shape."""

    what: str


Left: TypeAlias = NoMeaning | NotYet | ByHand


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What one value becomes: ours by dotted path, and what of it did not become anything."""

    values: Mapping[str, object] = field(default_factory=dict)
    left: tuple[tuple[str, Left], ...] = ()  # behind the key: `` for all of it, `[NAME]` for a part


Convert: TypeAlias = Callable[[object, Given], Made]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSetting:
    """It is a setting of the same meaning; one that is not honoured says itself what to do."""

    setting: Setting[Any]
    text: Callable[[object, Given], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToValues:
    """It becomes values of our chart. `convert` raises ValueError with what is wrong."""

    targets: tuple[str, ...]  # every path that `convert` may set
    convert: Convert
    words: str = ""  # what the table says besides the paths


Fate: TypeAlias = ToSetting | ToValues | NoMeaning | NotYet | ByHand


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One value of trivy-operator's chart."""

    key: str  # dotted; with a star at its end: every key of that map that begins so
    default: object  # what the chart has without a file
    fate: Fate
    missed: bool = False  # True: on by default there and not done here, so it is told unasked
    secret: bool = False  # True: the value is a credential
