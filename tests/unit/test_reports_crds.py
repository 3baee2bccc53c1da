"""The definitions against the facts of trivy-operator's, field by field."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from common.reports import crds
from common.reports.catalog import BY_KIND, CATALOG
from tests.fakes.report_builders import golden_rows

_FACTS: dict[str, dict[str, tuple[str, str, str]]] = {}
for _fact in golden_rows("fields.tsv"):
    _FACTS.setdefault(_fact["kind"], {})[_fact["path"]] = (
        _fact["type"],
        _fact["required"],
        _fact["limits"],
    )


# What each edition was. A definition that changes without a new number is never upgraded by the
# chart where a newer number stands already, and taken back by whoever has the older one.
_EDITIONS = {1: "88c04265e74337d9"}


def test_a_change_of_any_definition_is_a_new_edition() -> None:
    """Raise `EDITION`, and add the hash here; older ones stay, as a record."""
    digest = hashlib.sha256(crds.to_yaml().encode()).hexdigest()[:16]
    assert _EDITIONS.get(crds.EDITION) == digest, digest
    assert max(_EDITIONS) == crds.EDITION


def _schema(kind: str) -> Any:
    spec: Any = crds.definition(BY_KIND[kind])["spec"]
    return spec["versions"][0]["schema"]["openAPIV3Schema"]


def _rows(schema: Any, path: str = "") -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yield every field below `schema` the way the facts tell it."""
    for name, below in schema.get("properties", {}).items():
        where = f"{path}.{name}".lstrip(".")
        required = "yes" if name in schema.get("required", ()) else ""
        yield where, (_type(below), required, _limits(below))
        yield from _rows(below, where)
    if "additionalProperties" in schema:
        below = schema["additionalProperties"]
        yield f"{path}.*", (_type(below), "", _limits(below))
        yield from _rows(below, f"{path}.*")
    if schema["type"] == "array":
        yield from _rows(schema["items"], f"{path}[]")


def _type(schema: Any) -> str:
    if schema["type"] == "array" and schema["items"]["type"] != "object":
        return f"array of {schema['items']['type']}"
    return str(schema["type"])


def _limits(schema: Any) -> str:
    told = []
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        told.append("keeps unknown fields")
    if "enum" in schema:
        told.append("one of " + "/".join(schema["enum"]))
    if "minimum" in schema:
        told.append(f"minimum {schema['minimum']}")
    if "format" in schema:
        told.append(schema["format"])
    if "pattern" in schema:
        told.append("a five-field cron expression is enforced by pattern")
    return ", ".join(told)


@pytest.mark.parametrize("kind", sorted(_FACTS))
def test_a_definition_accepts_what_trivy_operators_accepts(kind: str) -> None:
    """A field too few is dropped silently by the API server; a limit too many refuses reports."""
    found = dict(_rows(_schema(kind)))
    for name in ("apiVersion", "kind", "metadata"):
        del found[name]
    assert found == _FACTS[kind]


def test_every_kind_has_a_definition() -> None:
    """`sluice crds` prints all of them."""
    assert set(_FACTS) == {row.kind for row in CATALOG}
    names = [one["metadata"] for one in crds.definitions()]
    assert len(names) == 12


@pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.kind)
def test_the_root_keeps_unknown_fields_where_trivy_operators_does(row: Any) -> None:
    """Two kinds prune at the root; the others keep what newer writers add."""
    keeps = _schema(row.kind).get("x-kubernetes-preserve-unknown-fields", False)
    assert keeps is row.keeps_unknown


@pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.kind)
def test_an_object_without_report_is_refused_where_one_is_required(row: Any) -> None:
    """Only the compliance kind has spec and status instead."""
    assert _schema(row.kind).get("required", []) == (["report"] if row.requires_report else [])


def test_only_compliance_has_a_status_subresource() -> None:
    """A status subresource would stop body edits from raising the generation."""
    with_status = [
        one["metadata"]["name"]  # type: ignore[index] # JSON: values are objects
        for one in crds.definitions()
        if "subresources" in one["spec"]["versions"][0]  # type: ignore[index] # the same
    ]
    assert with_status == ["clustercompliancereports.aquasecurity.github.io"]


def test_wide_columns_have_priority_one() -> None:
    """Severities would not fit beside the narrow columns."""
    spec: Any = crds.definition(BY_KIND["VulnerabilityReport"])["spec"]
    shown = [
        (column["name"], column.get("priority", 0))
        for column in spec["versions"][0]["additionalPrinterColumns"]
    ]
    assert shown == [
        ("Repository", 0),
        ("Tag", 0),
        ("Scanner", 0),
        ("Age", 0),
        ("Critical", 1),
        ("High", 1),
        ("Medium", 1),
        ("Low", 1),
        ("Unknown", 1),
    ]


def test_the_yaml_says_what_the_definitions_say() -> None:
    """`sluice crds` prints text that `kubectl apply` reads back to the same values."""
    assert list(yaml.safe_load_all(crds.to_yaml())) == crds.definitions()


@pytest.mark.parametrize(
    "cron", ["0 */6 * * *", "0 0 * * 1-5", "15,45 2 1 JAN mon", "*/5 1-3/2 * * *", " 0 0 1 1 0 "]
)
def test_a_five_field_cron_expression_is_accepted(cron: str) -> None:
    """Compliance specifications of trivy-operator must stay valid."""
    assert re.fullmatch(_cron_pattern(), cron)


@pytest.mark.parametrize(
    "cron", ["", "@daily", "* * * *", "* * * * * *", "a b c d !", "1, * * * *"]
)
def test_anything_else_than_five_fields_is_refused(cron: str) -> None:
    """A schedule that nobody can read would never fire."""
    assert not re.fullmatch(_cron_pattern(), cron)


def _cron_pattern() -> str:
    pattern = _schema("ClusterComplianceReport")["properties"]["spec"]["properties"]["cron"]
    return str(pattern["pattern"])


def test_an_unknown_limit_in_a_schema_row_is_an_error() -> None:
    """A typing mistake in the table must not become a definition without the limit."""
    with pytest.raises(ValueError, match="maximum=3"):
        crds._limit("maximum=3")
