"""Secrets into entries: severities, places, unions."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from common.model.image import ImageRecord, Os
from tests.fakes.report_builders import (
    DIGEST,
    OTHER_DIGEST,
    REFERENCE,
    context,
    image_key,
    inventory,
    record,
    secret,
)
from tests.fakes.report_schema import validate
from worker.project.secret import project


def _report(*found: Any, **options: Any) -> Any:
    return project([(image_key(), record(secrets=found))], context(**options)).report


@pytest.mark.parametrize("severity", ["CRITICAL", "HIGH", "MEDIUM", "LOW"])
def test_each_severity_is_counted_under_its_own_name(severity: str) -> None:
    """Columns and metrics show these counts."""
    summary = _report(secret(severity=severity))["summary"]
    assert summary.pop(f"{severity.lower()}Count") == 1
    assert set(summary.values()) == {0}
    assert len(summary) == 3


@pytest.mark.parametrize("severity", ["UNKNOWN", "", "INFO"])
def test_a_severity_that_the_api_refuses_is_told_as_low(severity: str) -> None:
    """One UNKNOWN entry would make the API server refuse the whole report, for ever."""
    report = _report(secret(severity=severity))
    assert report["secrets"][0]["severity"] == "LOW"
    assert report["summary"]["lowCount"] == 1
    validate("ExposedSecretReport", {"updateTimestamp": "2026-11-25T00:00:00Z", **report})


def test_only_the_severities_of_the_settings_are_told() -> None:
    """The filter sees what Trivy said: UNKNOWN is filtered as UNKNOWN, not as LOW."""
    found = [secret(severity=one, rule_id=one) for one in ("HIGH", "LOW", "UNKNOWN")]
    told = _report(*found, severities=frozenset({"HIGH", "UNKNOWN"}))["secrets"]
    assert [one["ruleID"] for one in told] == ["HIGH", "UNKNOWN"]


def test_an_image_without_secrets_has_a_report_without_entries() -> None:
    """An absent report would read "not looked at"."""
    report = _report()
    assert report["secrets"] == []
    assert set(report["summary"].values()) == {0}


def test_a_secret_in_the_configuration_is_told_under_this_containers_reference() -> None:
    """Trap 27. Its place is the image's name, and whose name that was is no business of others."""
    scanned = "registry.test/secret-team/app@" + DIGEST
    body = project(
        [(image_key(), record(secrets=(secret(target=scanned),), target=scanned))], context()
    )
    entries: Any = body.report["secrets"]
    assert entries[0]["target"] == REFERENCE


def test_the_order_of_trivys_answer_does_not_matter() -> None:
    """A reshuffle must not rewrite the report."""
    found = [secret(target="/b"), secret(target="/a"), secret(target="/a", rule_id="aws")]
    reports = [_report(*order) for order in permutations(found)]
    assert all(report == reports[0] for report in reports)
    assert [one["target"] for one in reports[0]["secrets"]] == ["/a", "/a", "/b"]


def test_a_secret_of_two_images_is_told_once() -> None:
    """Trap 30. A deterministic union of what runs."""
    records = [
        (image_key(digest), record(secrets=(secret(), secret(target=f"/only/{digest[7:9]}"))))
        for digest in (DIGEST, OTHER_DIGEST)
    ]
    there, back = (project(order, context()).report for order in (records, records[::-1]))
    assert there["secrets"] == back["secrets"]
    assert there["summary"] == {"criticalCount": 0, "highCount": 3, "mediumCount": 0, "lowCount": 0}


def test_a_match_is_not_needed() -> None:
    """Secrets are found with the inventory, also while no database is there."""
    body = project([(image_key(), ImageRecord(inventory=inventory()))], context())
    assert body.report["secrets"] == []


def test_an_inventory_is_needed() -> None:
    """A report over half the evidence would claim that the rest is clean."""
    with pytest.raises(ValueError, match="inventory"):
        project([(image_key(), record()), (image_key(OTHER_DIGEST), ImageRecord())], context())


def test_an_uncovered_image_still_has_its_secrets() -> None:
    """No package database is needed to find a key file."""
    body = project([(image_key(), record(secrets=(secret(),), covered=False, os=Os()))], context())
    entries: Any = body.report["secrets"]
    assert len(entries) == 1
