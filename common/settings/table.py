"""Every setting that the product knows, one row each; the documentation is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from common.settings import images, known, ours, upstream
from common.settings.setting import Group, Setting

ROWS: tuple[Setting[Any], ...] = (*ours.ROWS, *upstream.ROWS, *images.ROWS, *known.ROWS)
BY_NAME: Mapping[str, Setting[Any]] = {row.name: row for row in ROWS}
GROUPS: tuple[Group, ...] = get_args(Group)
PREFIX = "SLUICE_"
