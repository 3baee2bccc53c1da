"""What the chart gives to Prometheus and Grafana, and which series it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from charts.dashboard import queries
from tests.charts.rendered import NAMESPACE, RELEASE, Rendered, render

ON = {"enabled": True}
ALL_ON = {
    "monitoring": {
        "serviceMonitor": dict(ON),
        "prometheusRule": dict(ON),
        "dashboard": dict(ON),
    }
}
# As the ServiceMonitor makes Prometheus label this release's series.
TARGET = {"namespace": NAMESPACE, "job": f"{RELEASE}-metrics"}
_SELECTOR = re.compile(r"([a-z_]+)\{([^{}]*)\}")
_LABEL = re.compile(r'([a-z_]+)(?:=~|!~|!=|=)"')
_BY = re.compile(r"(?:by|on|group_left) \(([a-z_, ]*)\)")
# What Prometheus makes of a histogram.
_PART = re.compile(r"_(?:bucket|sum|count)$")
# Labels that Prometheus and its operator add to every target's series, and `le` of histograms.
ADDED = frozenset({"namespace", "job", "instance", "pod", "cluster", "process", "le"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One metric with the labels that a query names: in its braces, or to group by."""

    text: str
    metric: str
    labels: frozenset[str]

    @property
    def family(self) -> str:
        """The name that our processes know it by."""
        return _PART.sub("", self.metric)


def alerts(chart: Rendered | None = None) -> dict[str, Any]:
    """Return the alerts that the chart renders, by name."""
    rule = (chart or render(ALL_ON)).one("PrometheusRule", "alerts")
    return {one["alert"]: one for group in rule["spec"]["groups"] for one in group["rules"]}


def expressions() -> Iterator[tuple[str, str]]:
    """Yield what each alert and each panel asks for, by a name for messages."""
    for name, alert in alerts().items():
        yield name, alert["expr"]
    for title, expr in queries():
        yield title, plain(expr)


def plain(expr: str) -> str:
    """Return a panel's query as Grafana sends it when all clusters are chosen."""
    return (
        expr.replace("$cluster", ".*").replace("$namespace", ".*").replace("$__rate_interval", "1m")
    )


def selectors(expr: str) -> list[Selector]:
    """Return every metric that an expression reads."""
    grouped = {
        name.strip() for found in _BY.findall(expr) for name in found.split(",") if name.strip()
    }
    return [
        Selector(
            text=f"{metric}{{{inside}}}",
            metric=metric,
            labels=frozenset(_LABEL.findall(inside)) | grouped,
        )
        for metric, inside in _SELECTOR.findall(expr)
    ]
