"""Our definitions' schemas as JSON Schema, to judge bodies without an API server.

Limits: stricter than the API server in one point, on purpose: a field that the definition does not
name is an error here, where the API server would silently drop it. Formats are not checked.
"""

from __future__ import annotations

from typing import Any

import jsonschema

from common.reports.catalog import BY_KIND
from common.reports.crds import definition


def validate(kind: str, report: object) -> None:
    """Raise jsonschema.ValidationError unless `report` may stand under `.report`."""
    version = _first(definition(BY_KIND[kind])["spec"], "versions")
    schema = version["schema"]["openAPIV3Schema"]["properties"]["report"]
    jsonschema.validate(report, _closed(schema))


def _first(spec: Any, name: str) -> Any:
    return spec[name][0]


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with unknown fields forbidden wherever fields are named."""
    closed = {name: value for name, value in schema.items() if not name.startswith("x-")}
    if "properties" in schema:
        closed["properties"] = {
            name: _closed(below) for name, below in schema["properties"].items()
        }
        closed["additionalProperties"] = False
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    return closed
