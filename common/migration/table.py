"""Every value of trivy-operator's chart, one row each; the migration page is made from it."""

from __future__ import annotations

from collections.abc import Mapping

from common.migration.fates import Row
from common.migration.rows_chart import ROWS as _CHART
from common.migration.rows_operator import OPERATOR, REPORTS
from common.migration.rows_trivy import TRIVY

CHART_VERSION = "0.34.0"  # of trivy-operator 0.32.0

ROWS: tuple[Row, ...] = (*_CHART, *OPERATOR, *REPORTS, *TRIVY)
BY_KEY: Mapping[str, Row] = {row.key: row for row in ROWS if not row.key.endswith("*")}
FAMILIES: tuple[Row, ...] = tuple(row for row in ROWS if row.key.endswith("*"))
DEFAULTS: Mapping[str, object] = {row.key: row.default for row in ROWS}
# Maps that hold values and are none themselves.
BRANCHES: frozenset[str] = frozenset(
    ".".join(parts[:depth])
    for row in ROWS
    for parts in [row.key.split(".")]
    for depth in range(1, len(parts))
)
