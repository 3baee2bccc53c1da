"""The catalog against the facts of trivy-operator's definitions."""

from __future__ import annotations

import pytest

from common.reports.catalog import (
    API_VERSION,
    BY_KIND,
    CATALOG,
    PRODUCED_KINDS,
    Column,
    ReportKind,
)
from tests.fakes.report_builders import golden_rows

_ROWS = golden_rows("kinds.tsv")


def _columns(row: ReportKind) -> str:
    return ", ".join(
        f"{column.name}{'*' if column.wide else ''} `{column.path}`" for column in row.columns
    )


@pytest.mark.parametrize("fact", _ROWS, ids=lambda fact: fact["kind"])
def test_a_kind_is_called_and_shown_as_in_trivy_operator(fact: dict[str, str]) -> None:
    """`kubectl get vulns -o wide` and every script around it must go on working."""
    row = BY_KIND[fact["kind"]]
    assert row.plural == fact["plural"]
    assert row.singular == fact["singular"]
    assert ",".join(row.short_names) == fact["short_names"]
    assert row.scope == fact["scope"]
    assert ("status" if row.status else "") == fact["subresource"]
    assert ("yes" if row.keeps_unknown else "no") == fact["keeps_unknown"]
    assert ("report" if row.requires_report else "") == fact["required"]
    assert _columns(row) == fact["columns"]


def test_the_catalog_has_twelve_kinds_in_order() -> None:
    """A kind that is missing here is not installed."""
    assert len(_ROWS) == 12
    assert [row.kind for row in CATALOG] == [fact["kind"] for fact in _ROWS]


def test_no_two_kinds_share_a_name() -> None:
    """The API server refuses a definition whose names are taken."""
    names = [name for row in CATALOG for name in {row.plural, row.singular, *row.short_names}]
    assert len(names) == len(set(names))


def test_the_three_image_kinds_are_produced() -> None:
    """What the workers write now; the others are installed for what may stand there already."""
    assert set(PRODUCED_KINDS) == {"VulnerabilityReport", "ExposedSecretReport", "SbomReport"}
    assert {row.kind for row in CATALOG if row.image_based} == set(PRODUCED_KINDS)
    assert all(BY_KIND[kind].scope == "Namespaced" for kind in PRODUCED_KINDS)


def test_counts_are_numbers_and_age_is_a_date() -> None:
    """The client sorts and formats by the column's type."""
    for row in CATALOG:
        for column in row.columns:
            assert column.type == _expected_type(column)


def _expected_type(column: Column) -> str:
    if column.name == "Age":
        return "date"
    return "integer" if column.path.endswith("Count") else "string"


def test_the_group_is_trivy_operators() -> None:
    """Ours live under its definitions and the other way round."""
    assert API_VERSION == "aquasecurity.github.io/v1alpha1"
    assert BY_KIND["SbomReport"].crd_name == "sbomreports.aquasecurity.github.io"
    assert BY_KIND["SbomReport"].list_kind == "SbomReportList"
