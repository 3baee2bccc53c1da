"""Rows of the queue's benchmark, from what several runs measured. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def row(
    case: str,
    ours: Sequence[float],
    *,
    unit: str,
    goal: float | None = None,
    beside: str = "",
) -> dict[str, object]:
    """Return the row of a case that has nothing to be compared with."""
    return {
        "case": case,
        "ours": statistics.median(ours),
        "baseline": None,
        "baseline_name": None,
        "unit": unit,
        "ratio": None,
        "goal": goal,
        "runs": len(ours),
        "spread": [min(ours), max(ours)],
        "measured": list(ours),
        "beside": beside,
    }


def against(
    case: str,
    ours: Sequence[float],
    baseline: Sequence[float],
    *,
    name: str,
    unit: str,
    goal: float | None = None,
    less_is_better: bool = False,
) -> dict[str, object]:
    """Return the row of a case with its baseline; `ratio` says how many times better ours is."""
    middle = statistics.median(baseline)
    ratio = statistics.median(ours) / middle
    low, high = min(baseline), max(baseline)
    return row(case, ours, unit=unit, goal=goal, beside=f"{name} ({low:,.4g} - {high:,.4g})") | {
        "baseline": middle,
        "baseline_name": name,
        "baseline_spread": [low, high],
        "baseline_measured": list(baseline),
        "ratio": 1 / ratio if less_is_better else ratio,
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
