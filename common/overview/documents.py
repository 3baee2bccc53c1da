"""The type of what JSON shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

# JSON's terms: this is what `sluice status --json` prints and scripts hold on to.
Document: TypeAlias = Mapping[str, Any]
