"""Makes values.schema.json from the comments in values.yaml, and from the settings' table.

Run `python -m charts.schema > charts/kube-sluice/values.schema.json`. The schema is closed: a
misspelt value, or a setting that the product does not know, is refused when the chart is rendered.
Draft 7, which every Helm 3 and 4 reads.
"""  # noqa: INP001 # charts/ is no package: nothing imports it but its tests

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from common.settings.pools import SERVED
from common.settings.table import ROWS

Schema: TypeAlias = dict[str, Any]

VALUES = Path(__file__).with_name("kube-sluice") / "values.yaml"
_KEY = re.compile(r"( *)([A-Za-z][A-Za-z0-9_]*):")
_INDENT = 2
_OVERRIDE = "Schema: "

# What the chart sets by itself, from values of other names or because of how it mounts things, and
# what to set in its place. The schema lets it pass: a template refuses it, who can say that.
SET_BY_THE_CHART: Mapping[str, str] = yaml.safe_load(
    (VALUES.parent / "files" / "settings-of-the-chart.yaml").read_text(encoding="utf-8")
)

# What is one for all workers, and so of no pool.
_OF_ALL_WORKERS = ("pools", "serviceAccountAnnotations")
_NOT_OF_THE_QUEUE = "match"  # the matcher's own: no key waits for it

_QUANTITY: Schema = {
    "type": "object",
    "additionalProperties": {"type": ["string", "integer", "number"]},
}
_DEFINITIONS: dict[str, Schema] = {
    "object": {"type": "object"},
    "objects": {"type": "array", "items": {"type": "object"}},
    "strings": {"type": "object", "additionalProperties": {"type": "string"}},
    "names": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "references": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string"}},
        },
    },
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"requests": _QUANTITY, "limits": _QUANTITY},
    },
    "environment": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string"},
                "value": {"type": "string"},
                "valueFrom": {"type": "object"},
            },
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """What stands above a value: prose, and keywords that its default does not tell."""

    prose: str
    keywords: Schema


def comments(text: str) -> dict[str, Comment]:
    """Return the comment above each key, by its dotted path; keys without one are missing."""
    found: dict[str, Comment] = {}
    path: list[str] = []
    above: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            above.append(stripped.removeprefix("#").strip())
        elif (key := _KEY.match(line)) is not None:
            depth = len(key[1]) // _INDENT
            path = [*path[:depth], key[2]]
            if above:
                found[".".join(path)] = _comment(above)
            above = []
        else:
            above = []
    return found


def _comment(lines: list[str]) -> Comment:
    prose = [line for line in lines if not line.startswith(_OVERRIDE)]
    keywords: Schema = {}
    for line in lines:
        if line.startswith(_OVERRIDE):
            keywords.update(json.loads(line.removeprefix(_OVERRIDE)))
    return Comment(prose=" ".join(prose), keywords=keywords)


def schema(text: str) -> Schema:
    """Return the schema of the values file `text`. Raises KeyError for a value without comment."""
    values = yaml.safe_load(text)
    properties = dict(_properties(values, comments(text), above=""))
    properties["global"] = {"type": "object", "description": "Helm's own, for parent charts."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart kube-sluice",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "definitions": {
            **_DEFINITIONS,
            "settings": _settings(),
            "pools": _pools(values["worker"]),
        },
    }


def _properties(
    values: Mapping[str, Any], said: Mapping[str, Comment], *, above: str
) -> Iterator[tuple[str, Schema]]:
    for name, value in values.items():
        path = f"{above}{name}"
        comment = said[path]
        if "$ref" in comment.keywords:  # draft 7 reads nothing beside a $ref
            yield name, {"description": comment.prose, "allOf": [comment.keywords]}
            continue
        shown = {} if "type" in comment.keywords else _type(value)
        described = {"description": comment.prose, **shown}
        if isinstance(value, Mapping):
            described["properties"] = dict(_properties(value, said, above=f"{path}."))
        yield name, {**described, **comment.keywords}


def _type(value: object) -> Schema:
    """Return the type that the default shows. Raises TypeError where it must be written down."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case str():
            return {"type": "string"}
        case Mapping() if value:
            return {"type": "object", "additionalProperties": False}
        case _:
            raise TypeError(f"{value!r} shows no type: write a `# Schema:` line above it")


def _pools(worker: Mapping[str, Any]) -> Schema:
    """Return the schema of `worker.pools`: what one serves, and values of worker and scanner."""
    own = {name: {"$ref": f"#/properties/worker/properties/{name}"} for name in worker}
    for name in _OF_ALL_WORKERS:
        del own[name]
    pool: Schema = {
        "type": "object",
        "required": ["serves"],
        "additionalProperties": False,
        "properties": {
            "serves": {
                "type": "array",
                "minItems": 1,
                "items": {"enum": [name for name in SERVED if name != _NOT_OF_THE_QUEUE]},
            },
            "scanner": {"$ref": "#/properties/scanner"},
            **own,
        },
    }
    # "-worker-" and the name come behind 40 characters, and a name has 63.
    names = {"maxLength": 15, "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}
    return {"type": "object", "propertyNames": names, "additionalProperties": pool}


def _settings() -> Schema:
    """Return the schema of `settings`: the names that the product honours and the chart leaves."""
    rows = sorted(ROWS, key=lambda row: row.name)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            row.name: {
                "description": _meaning(row.name, row.meaning),
                "type": ["string", "boolean", "integer", "number"],
            }
            for row in rows
            if row.honoured
        },
    }


def _meaning(name: str, meaning: str) -> str:
    instead = SET_BY_THE_CHART.get(name)
    return meaning if instead is None else f"Refused, the chart says it itself; set {instead}."


def main() -> None:
    """Write the schema to stdout."""
    made = schema(VALUES.read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps(made, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
