"""What is left out of a report that is too large, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from common.reports.body import ReportBody
from common.reports.fit import REPORT_LIMIT_BYTES, fit, size_bytes
from tests.fakes.report_builders import context, finding, image_key, record, secret
from tests.fakes.report_schema import validate
from worker.project import sbom, vulnerability
from worker.project import secret as secrets

_SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")
_ALL_FIELDS = frozenset(
    {"Description", "Links", "CVSS", "Target", "Class", "PackageType", "PackagePath"}
)


def _vulnerability(per_severity: int = 20) -> ReportBody:
    findings = [
        finding(
            f"CVE-2024-{severity}-{number}",
            severity=severity,
            title="t" * 300,
            description="d" * 2000,
            links=("https://example.test/advisory",) * 10,
            cvss={"nvd": {"V3Score": 9.8}},
        )
        for severity in _SEVERITIES
        for number in range(per_severity)
    ]
    return vulnerability.project(
        [(image_key(), record(*findings))], context(additional_fields=_ALL_FIELDS)
    )


def _secret() -> ReportBody:
    found = [
        secret(target=f"/app/{severity}-{number}", severity=severity, match="m" * 3000)
        for severity in _SEVERITIES[:4]
        for number in range(20)
    ]
    return secrets.project([(image_key(), record(secrets=tuple(found)))], context())


def _sbom() -> ReportBody:
    components = [
        {
            "bom-ref": f"pkg:apk/alpine/p{number}@1?arch=x86_64&distro=3.18.2",
            "type": "library",
            "name": f"p{number}",
            "properties": [{"name": "aquasecurity:trivy:PkgID", "value": "v" * 100}],
            "hashes": [{"alg": "SHA-1", "content": "c" * 40}],
            "licenses": [{"license": {"name": "n" * 60}}],
            "supplier": {"name": "s" * 60},
        }
        for number in range(50)
    ]
    document: dict[str, object] = {
        "specVersion": "1.7",
        "metadata": {"component": {"bom-ref": "root", "name": "app"}},
        "components": components,
        "dependencies": [
            {"ref": "root", "dependsOn": [one["bom-ref"] for one in components]},
        ],
    }
    body = sbom.project([(image_key(), record(sbom=document))], context())
    assert body is not None
    return body


def _steps(body: ReportBody) -> list[ReportBody]:
    """Return the body at every stage: each limit is one byte below the stage before."""
    stages = [body]
    while True:
        after = fit(stages[-1], size_bytes(stages[-1].report) - 1)
        if after == stages[-1]:
            return stages
        stages.append(after)


def test_a_report_that_fits_is_the_same_object() -> None:
    """The common case must cost one measurement and change nothing."""
    body = _vulnerability()
    assert fit(body, size_bytes(body.report)) is body


def test_a_vulnerability_report_loses_text_then_severities_from_the_lowest() -> None:
    """The fixed order that the documentation promises."""
    stages = _steps(_vulnerability())
    assert stages[-1].truncated == ("text", "UNKNOWN", "LOW", "MEDIUM", "HIGH", "details")


def test_text_goes_before_any_finding() -> None:
    """A finding without description is worth more than a description without finding."""
    body = _vulnerability()
    cut = fit(body, size_bytes(body.report) - 1)
    assert cut.truncated == ("text",)
    entries: Any = cut.report["vulnerabilities"]
    before: Any = body.report["vulnerabilities"]
    assert [one["vulnerabilityID"] for one in entries] == [one["vulnerabilityID"] for one in before]
    assert all("description" not in one and "cvss" not in one for one in entries)
    assert all(one["links"] == [] for one in entries)
    assert {len(one["title"]) for one in entries} == {126}


def test_a_severity_goes_whole() -> None:
    """So that the mark can say what is complete."""
    stages = _steps(_vulnerability())
    for stage, (gone, kept) in zip(
        stages[2:5], (("UNKNOWN", 80), ("LOW", 60), ("MEDIUM", 40)), strict=True
    ):
        entries: Any = stage.report["vulnerabilities"]
        assert stage.truncated[-1] == gone
        assert len(entries) == kept
        assert gone not in {one["severity"] for one in entries}


def test_a_severity_that_is_absent_is_not_marked() -> None:
    """`truncated` names what is missing, not what was tried."""
    only_high = vulnerability.project(
        [(image_key(), record(*(finding(f"CVE-{number}") for number in range(50))))], context()
    )
    cut = fit(only_high, size_bytes(only_high.report) // 2)
    assert cut.truncated == ("HIGH",)


@pytest.mark.parametrize("make", [_vulnerability, _secret, _sbom])
def test_counts_stay_exact_at_every_stage(make: Any) -> None:
    """Metrics and columns show the summary: it must never follow the list."""
    stages = _steps(make())
    assert len(stages) > 3
    assert all(stage.report["summary"] == stages[0].report["summary"] for stage in stages)


@pytest.mark.parametrize("make", [_vulnerability, _secret, _sbom])
def test_every_stage_is_a_valid_report(make: Any) -> None:
    """A report that the API server refuses would be retried for ever."""
    for stage in _steps(make()):
        validate(stage.kind, {"updateTimestamp": "2026-11-25T00:00:00Z", **stage.report})


@pytest.mark.parametrize("make", [_vulnerability, _secret, _sbom])
def test_every_stage_is_smaller_than_the_one_before(make: Any) -> None:
    """A step that grows a report would leave findings out for nothing."""
    sizes = [size_bytes(stage.report) for stage in _steps(make())]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)


def test_a_secret_report_loses_the_masked_lines_first() -> None:
    """A masked line may be as long as a minified file."""
    stages = _steps(_secret())
    assert stages[-1].truncated == ("text", "LOW", "MEDIUM", "HIGH", "details")
    entries: Any = stages[1].report["secrets"]
    assert {len(one["match"]) for one in entries} == {126}
    assert len(entries) == 80


def test_an_sbom_loses_components_last() -> None:
    """Names and versions are what an SBOM is for."""
    stages = _steps(_sbom())
    assert stages[-1].truncated == ("properties", "text", "dependencies", "details")
    bom: Any = stages[2].report["components"]
    assert len(bom["components"]) == 50
    assert set(bom["components"][0]) == {"bom-ref", "type", "name"}
    assert "properties" not in bom["metadata"]["component"]
    last: Any = stages[-1].report["components"]
    assert last["components"] == last["dependencies"] == []


def test_what_was_left_out_before_stays_marked() -> None:
    """Fitting twice, to a smaller limit, must not forget the first cut."""
    body = _vulnerability()
    once = fit(body, size_bytes(body.report) - 1)
    twice = fit(once, size_bytes(once.report) - 1)
    assert twice.truncated == ("text", "UNKNOWN")


def test_the_body_given_is_not_changed() -> None:
    """Image records are shared by many workloads."""
    body = _vulnerability()
    before = size_bytes(body.report)
    fit(body, 1)
    assert size_bytes(body.report) == before


def test_what_cannot_fit_is_returned_at_its_smallest() -> None:
    """The API server names the size then; nothing here can make it smaller."""
    cut = fit(_vulnerability(), 1)
    assert cut.report["vulnerabilities"] == []
    assert size_bytes(cut.report) > 1


def test_a_kind_without_steps_is_left_alone() -> None:
    """Check reports are bounded by their checks."""
    body = ReportBody(kind="ConfigAuditReport", report={"checks": ["x" * 100]})
    assert fit(body, 10) is body


def test_the_size_is_what_the_api_server_stores() -> None:
    """Go's encoder spells `<`, `>`, `&` in six bytes, and package URLs are full of `&`."""
    assert size_bytes({"a": "b"}) == len('{"a":"b"}')
    assert size_bytes({"a": "x&y<z>"}) == len('{"a":"x\\u0026y\\u003cz\\u003e"}')
    assert size_bytes({"a": "\u2028\u2029"}) == len('{"a":"\\u2028\\u2029"}')
    assert size_bytes({"a": "é"}) == len('{"a":""}') + 2


def test_the_default_limit_leaves_room_for_metadata() -> None:
    """The limit of etcd is for the whole object."""
    assert REPORT_LIMIT_BYTES <= 1_572_864 - 65_536
