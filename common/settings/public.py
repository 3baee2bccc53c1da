"""Which settings may be shown, and which hold only where they were told. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from common.settings.table import ROWS

# By the data folder a command finds the run whose settings it asks for.
_OWN = frozenset({"SLUICE_DATA_DIR"})
_PUBLIC = frozenset(row.name for row in ROWS if not row.secret) - _OWN


def public(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of an environment, without what may be secret."""
    return {name: text for name, text in environ.items() if name in _PUBLIC and text.strip()}


def instead(environ: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with another one's settings in place of its own; secrets stay."""
    return {**{name: text for name, text in environ.items() if name not in _PUBLIC}, **told}
