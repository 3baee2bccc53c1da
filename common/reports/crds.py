"""The twelve CustomResourceDefinitions, built from the catalog and the schema rows.

They accept and show what trivy-operator's do, so either project's reports live under either's
definitions. Structural schemas: the API server prunes what they do not name, except at a root that
keeps unknown fields. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from common.reports.catalog import CATALOG, GROUP, VERSION, Column, ReportKind
from common.reports.plain_yaml import to_documents
from common.reports.schema import FIELDS

Schema: TypeAlias = dict[str, object]
_Above: TypeAlias = "Mapping[str, Sequence[_Field]]"  # fields by the path of their parent

# Five fields of numbers or names, each with lists, ranges and steps; RE2, as the API server reads.
_FIELD = r"(\*|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?"
_CRON = rf"^\s*({_FIELD}(,{_FIELD})*\s+){{4}}{_FIELD}(,{_FIELD})*\s*$"

# Of the definitions: raised with any change, so that an older program leaves newer ones alone.
EDITION = 1
EDITION_ANNOTATION = "kube-sluice/definitions"
MANAGED_BY = ("app.kubernetes.io/managed-by", "kube-sluice")

# What people ask for across namespaces, and the API server can answer without sending the rest:
# `kubectl get vulns -A --field-selector report.artifact.digest=sha256:…`. Kubernetes 1.32; older
# servers drop it.
_SELECTABLE = ("report.artifact.digest", "report.artifact.repository")


def definitions() -> list[Schema]:
    """Return all definitions in the catalog's order."""
    return [definition(row) for row in CATALOG]


def to_yaml() -> str:
    """Return all definitions as one YAML stream, ready for `kubectl apply -f -`."""
    return to_documents(definitions())


def definition(row: ReportKind) -> Schema:
    """Return the CustomResourceDefinition of one kind."""
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _root(row)},
        "additionalPrinterColumns": [_column(column) for column in row.columns],
    }
    if row.status:
        version["subresources"] = {"status": {}}
    selectable = [path for path in _SELECTABLE if f"{path} string" in FIELDS[row.kind]]
    if selectable:
        version["selectableFields"] = [{"jsonPath": f".{path}"} for path in selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": row.crd_name,
            "labels": dict([MANAGED_BY]),
            "annotations": {EDITION_ANNOTATION: str(EDITION)},
        },
        "spec": {
            "group": GROUP,
            "scope": row.scope,
            "names": {
                "kind": row.kind,
                "listKind": row.list_kind,
                "plural": row.plural,
                "singular": row.singular,
                "shortNames": list(row.short_names),
            },
            "versions": [version],
        },
    }


def _column(column: Column) -> Schema:
    shown: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**shown, "priority": 1} if column.wide else shown


def _root(row: ReportKind) -> Schema:
    """Return the schema of a whole object."""
    fields = [_parsed(text) for text in FIELDS[row.kind]]
    above: dict[str, list[_Field]] = {}
    for field in fields:
        above.setdefault(field.parent, []).append(field)
    root = _object("", above)
    if row.keeps_unknown:
        root["x-kubernetes-preserve-unknown-fields"] = True
    properties = root["properties"]
    return {
        **root,
        "description": row.purpose,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            **(properties if isinstance(properties, dict) else {}),
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One schema row."""

    path: str
    type: str
    required: bool
    limits: tuple[str, ...]

    @property
    def parent(self) -> str:
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


def _parsed(text: str) -> _Field:
    path, kind, *limits = text.split()
    return _Field(
        path=path,
        type=kind.removesuffix("!"),
        required=kind.endswith("!"),
        limits=tuple(limits),
    )


def _schema(field: _Field, above: _Above) -> Schema:
    """Return the schema of one field and all below it."""
    limits: Schema = {}
    for limit in field.limits:
        limits.update(_limit(limit))
    kind, _, entry = field.type.partition(":")
    if kind == "object":
        return {**_object(field.path, above), **limits}
    if kind == "array":
        items = {"type": entry} if entry else _object(f"{field.path}[]", above)
        return {"type": "array", "items": items, **limits}
    return {"type": kind, **limits}


def _object(path: str, above: _Above) -> Schema:
    """Return the schema of the object at `path` from the fields below it."""
    below = sorted(above.get(path, ()), key=lambda field: field.name)
    schema: Schema = {"type": "object"}
    required = [field.name for field in below if field.required]
    if required:
        schema["required"] = required
    for field in below:
        if field.name == "*":
            schema["additionalProperties"] = _schema(field, above)
    named = {field.name: _schema(field, above) for field in below if field.name != "*"}
    if named:
        schema["properties"] = named
    return schema


def _limit(text: str) -> Schema:
    """Return the keywords of one limit."""
    name, _, value = text.partition("=")
    match name:
        case "enum":
            return {"enum": value.split(",")}
        case "minimum":
            return {"minimum": int(value)}
        case "format":
            return {"format": value}
        case "cron":
            return {"pattern": _CRON}
        case "keep":
            return {"x-kubernetes-preserve-unknown-fields": True}
        case _:
            raise ValueError(f"no limit of a schema row: {text!r}")
