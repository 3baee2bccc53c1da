"""The job of the rq baseline: it counts, and does nothing else."""

from __future__ import annotations

from collections import Counter

RAN: Counter[str] = Counter()


def noop(key: str) -> None:
    RAN[key] += 1
