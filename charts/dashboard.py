"""Makes the Grafana dashboard: `python -m charts.dashboard > …/dashboards/kube-sluice.json`.

A dashboard that is saved out of Grafana is a thousand lines that nobody reviews; here every panel
is a line with its title, its queries and what it means.
"""  # noqa: INP001 # charts/ is no package: nothing imports it but its tests

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from charts.panels import CLUSTER, Panel
from charts.panels_system import SYSTEM
from charts.panels_work import WORK

Json: TypeAlias = dict[str, Any]

SCHEMA_VERSION = 41  # of Grafana 12; older ones read it too, newer ones migrate it by themselves
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24

ROWS: Mapping[str, Sequence[Panel]] = {**WORK, **SYSTEM}


def dashboard() -> Json:
    """Return the dashboard as Grafana imports it."""
    return {
        "uid": "kube-sluice",
        "title": "kube-sluice",
        "description": "Whether the reports are true, and what keeps others from being so.",
        "tags": ["kube-sluice", "security"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [_source(), _variable("cluster", ""), _variable("namespace", CLUSTER)]
        },
        "panels": list(_placed()),
    }


def queries() -> Iterator[tuple[str, str]]:
    """Yield every query with its row, panel and letter."""
    for row, panels in ROWS.items():
        for panel in panels:
            for number, query in enumerate(panel.queries):
                yield f"{row}/{panel.title}/{_letter(number)}", query.text()


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _source() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
    }


def _variable(label: str, where: str) -> Json:
    return {
        "name": label,
        "label": label.title(),
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": f"label_values(sluice_build_info{{{where}}}, {label})", "refId": label},
        "refresh": 2,  # with the time range: Pods come and go
        "includeAll": True,
        "allValue": ".*",  # matches series without the label too
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def _placed() -> Iterator[Json]:
    """Yield rows and panels, left to right, top to bottom."""
    top = number = 0
    for title, panels in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
            "panels": [],
        }
        top, left, height = top + 1, 0, 0
        for panel in panels:
            number += 1
            if left + panel.width > _COLUMNS:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": _height(panel)}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left, height = left + panel.width, max(height, _height(panel))
        top += height


def _height(panel: Panel) -> int:
    return 4 if panel.kind == "stat" else panel.height


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "targets": [
            {
                "refId": _letter(number),
                "datasource": _DATASOURCE,
                "expr": query.text(),
                "legendFormat": query.legend,
                "instant": panel.kind == "stat",
                "range": panel.kind != "stat",
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _field(panel: Panel) -> Json:
    field: Json = {"unit": panel.unit, "min": 0}
    if panel.steps:
        steps = [{"value": value, "color": color} for value, color in panel.steps]
        field["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.kind == "timeseries":
        field["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 8,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    return field


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        calcs = {"calcs": ["lastNotNull"], "values": False, "fields": ""}
        return {"reduceOptions": calcs, "colorMode": "value", "graphMode": "none"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def main() -> None:
    """Write the dashboard to stdout."""
    sys.stdout.write(json.dumps(dashboard(), indent=1) + "\n")


if __name__ == "__main__":
    main()
