"""One row of the settings' table: a name, how it is read, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from common.settings.formats import Format

T = TypeVar("T")

Group: TypeAlias = Literal[
    "Scope", "Scanners", "Reports", "Trivy", "Redis", "Kubernetes", "Pipeline", "Operations"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[T]):
    """One environment variable; `default` is the text that means the same as not setting it."""

    name: str
    format: Format[T]
    default: str = ""
    group: Group
    meaning: str
    unit: str = ""  # of the value, where the name does not carry it
    upstream: bool = False  # trivy-operator's (or Trivy's) name, format and default
    honoured: bool = True  # False: known, and a warning when it is set to something else
    instead: str = ""  # for one that is not honoured: why, or what to use
    secret: bool = False  # True: the value may hold a credential and is never quoted
    shapes_reports: bool = False  # True: part of the epoch's digest, so it reaches every key
    # True: the watcher's rows tell it, so it reaches the keys whose rows differ, and no worker
    # reads it.
    shapes_rows: bool = False
