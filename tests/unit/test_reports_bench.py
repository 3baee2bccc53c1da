"""The benchmark of the pure functions runs and measures what it says."""

from __future__ import annotations

from typing import Any

from tests.bench import pure


def test_the_benchmark_of_the_pure_functions_runs_and_is_right() -> None:
    """A benchmark that is never run rots; its numbers are judged elsewhere, on quiet machines."""
    result: Any = pure.run(runs=1)
    assert result["ok"] is True
    assert result["name"] == "pure"
    first, second, *others = result["rows"]
    assert first["case"] == "compare-equal-reports"
    for compared in (first, second):
        assert compared["goal"] == 20
        assert compared["ratio"] == compared["baseline"] / compared["ours"]
    assert all(row["ours"] > 0 and row["unit"] == "us" for row in others)
