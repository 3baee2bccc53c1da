"""What a check found. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """It is as it must be."""

    topic: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """It works, and the user should know something about it."""

    topic: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """It is not as it must be; `remedy` says what to do."""

    topic: str
    said: str
    remedy: str


Finding: TypeAlias = Good | Notice | Fault


def line(finding: Finding) -> str:
    """Return the finding for people: one line, a second one for the remedy."""
    match finding:
        case Good():
            return f"ok     {finding.topic}: {finding.said}"
        case Notice():
            return f"note   {finding.topic}: {finding.said}"
        case Fault():
            return f"FAULT  {finding.topic}: {finding.said}\n       remedy: {finding.remedy}"
        case _:
            assert_never(finding)


def as_json(finding: Finding) -> dict[str, str]:
    """Return the finding for scripts; `state` is good, notice or fault."""
    shown = {"state": type(finding).__name__.lower(), "topic": finding.topic, "said": finding.said}
    return {**shown, "remedy": finding.remedy} if isinstance(finding, Fault) else shown
