"""What a panel of the dashboard is, and how its queries are written."""  # noqa: INP001 # charts/ is no package: nothing imports it but its tests

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The namespace is kube-sluice's own; "All" matches scrapes that add none (`sluice run`) too.
OURS = 'cluster=~"$cluster",namespace=~"$namespace"'
CLUSTER = 'cluster=~"$cluster"'  # of findings, whose namespace is the workload's


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query and how its series are called; `@` stands for the selection of our series."""

    expr: str
    legend: str = "__auto"

    def text(self) -> str:
        """Return the query as Prometheus reads it, but for Grafana's variables."""
        return self.expr.replace("@@", CLUSTER).replace("@", OURS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture."""

    title: str
    about: str  # what one sees, and what is bad
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    stacked: bool = False
    steps: Sequence[tuple[float | None, str]] = ()  # from this value on: this colour


def q(expr: str, legend: str = "__auto") -> Query:
    """Return a query."""
    return Query(expr=expr, legend=legend)


def rate(metric: str, by: str, where: str = "") -> str:
    """Return a counter's rate by some labels."""
    extra = f"{where}," if where else ""
    return f"sum by ({by}) (rate({metric}{{{extra}@}}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str) -> str:
    """Return a quantile of a histogram."""
    return (
        f"histogram_quantile({share:g}, sum by (le, {by}) "
        f"(rate({metric}_bucket{{@}}[$__rate_interval])))"
    )


def per_process(metric: str) -> str:
    """Return a metric of the client library for our processes alone, with their component."""
    return (
        f"{metric}{{@}} * on (instance, process) group_left (component) "
        "max by (instance, process, component) (sluice_build_info{@})"
    )
