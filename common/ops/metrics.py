"""Prometheus metrics: one registry per process, every known series present from the start.

A counter whose series appears with its first increment hides that increment from `rate()`, so
label values that are known beforehand are created at 0.
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Mapping, Sequence
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

M = TypeVar("M", Counter, Gauge, Histogram)

# From a Lua call to an inventory of a gigabyte: 1 ms to about 5 min.
SECONDS_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 30.0, 60.0, 300.0)


def new_registry(*, component: str, version: str) -> CollectorRegistry:
    """Return a registry that knows this process, its interpreter and what it runs."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    info = Gauge(
        "sluice_build_info",
        "Always 1; the labels say what runs.",
        ["component", "version", "python"],
        registry=registry,
    )
    info.labels(component, version, platform.python_version()).set(1)
    return registry


def counter(
    registry: CollectorRegistry,
    name: str,
    documentation: str,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Counter:
    """Return a counter whose series for all combinations of `labels` stand at 0.

    A label without known values is given as an empty sequence; its series appear when used.
    """
    known = labels or {}
    return _started(Counter(name, documentation, list(known), registry=registry), known)


def gauge(
    registry: CollectorRegistry,
    name: str,
    documentation: str,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Gauge:
    """Return a gauge whose series for all combinations of `labels` stand at 0."""
    known = labels or {}
    return _started(Gauge(name, documentation, list(known), registry=registry), known)


def histogram(
    registry: CollectorRegistry,
    name: str,
    documentation: str,
    *,
    labels: Mapping[str, Sequence[str]] | None = None,
    buckets: Sequence[float] = SECONDS_BUCKETS,
) -> Histogram:
    """Return a histogram whose series for all combinations of `labels` stand at 0."""
    known = labels or {}
    return _started(
        Histogram(name, documentation, list(known), registry=registry, buckets=buckets), known
    )


def _started(made: M, known: Mapping[str, Sequence[str]]) -> M:
    """Create the series of every combination of known values; none if a label has none."""
    for values in itertools.product(*known.values()) if known else ():
        made.labels(*values)
    return made
