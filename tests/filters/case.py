"""One filter: how it is said to Trivy's command line, and how to us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Case:
    """One wish; `{file}` stands for the path of the file with this name and text."""

    name: str
    flags: tuple[str, ...]
    environ: Mapping[str, str]
    file: tuple[str, str] = ("", "")
    hides: bool = True  # False: the command line shows everything too


def ignoring(name: str, text: str, *, plain: bool = False, hides: bool = True) -> Case:
    """Return a case of an ignore file."""
    return Case(
        name=name,
        flags=("--ignorefile={file}",),
        environ={"TRIVY_IGNOREFILE": "{file}"},
        file=("ignore" if plain else "ignore.yaml", text),
        hides=hides,
    )
