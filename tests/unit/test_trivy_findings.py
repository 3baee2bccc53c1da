"""The match server's answer becomes findings, by allow-list and in a fixed order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import SourceUnavailableError
from common.model.image import Finding
from worker.evidence.image.findings import SEVERITIES, findings_of

GOLDEN = Path(__file__).parents[1] / "golden/trivy"
ANSWER = (GOLDEN / "scan_answer.json").read_bytes()


def vulnerability(**fields: object) -> dict[str, object]:
    """Return one vulnerability as the server sends it."""
    return {
        "vulnerability_id": "CVE-2024-0001",
        "pkg_name": "openssl",
        "installed_version": "3.1.1-r1",
        "severity_source": "nvd",
        "vendor_severity": {"nvd": "HIGH"},
    } | fields


def answer(*vulnerabilities: dict[str, object], target: str = "x (alpine 3.18)") -> bytes:
    """Return an answer with one result."""
    result = {
        "target": target,
        "class": "os-pkgs",
        "type": "alpine",
        "vulnerabilities": vulnerabilities,
        "packages": [{"name": "ignored"}],
    }
    return json.dumps({"os": {}, "results": [result]}).encode()


def one(**fields: object) -> Finding:
    """Return the finding of an answer with one vulnerability."""
    (found,) = findings_of(answer(vulnerability(**fields)))
    return found


def test_a_recorded_answer_gives_its_findings() -> None:
    """Sixteen findings stand in the recorded answer; the report would show them all."""
    findings = findings_of(ANSWER)
    assert len(findings) == 16
    busybox = next(f for f in findings if f.vulnerability_id == "CVE-2022-48174")
    assert busybox == Finding(
        vulnerability_id="CVE-2022-48174",
        resource="busybox",
        installed_version="1.36.1-r0",
        fixed_version="1.36.1-r1",
        severity="CRITICAL",
        title=busybox.title,
        description=busybox.description,
        primary_link="https://avd.aquasec.com/nvd/cve-2022-48174",
        links=("https://nvd.nist.gov/vuln/detail/CVE-2022-48174",),
        published="2023-08-22T19:16:31Z",
        modified="2023-08-22T19:16:31Z",
        score=9.8,
        cvss={"nvd": {"V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "V3Score": 9.8}},
        target="demo/alpine-app:1.0 (alpine 3.18.2)",
        package_class="os-pkgs",
        package_type="alpine",
        purl="pkg:apk/alpine/busybox@1.36.1-r0?arch=x86_64&distro=3.18.2",
        pkg_id="busybox@1.36.1-r0",
        own_severity="CRITICAL",
        status="fixed",
        cwe_ids=("CWE-787",),
        severity_source="nvd",
        vendor_severity={"nvd": "CRITICAL"},
        data_source={
            "ID": "alpine",
            "Name": "Alpine Secdb",
            "URL": "https://secdb.alpinelinux.org/",
        },
        layer={
            "Digest": "sha256:24c076e7c981967447931c0acbb5781950679ba9a76670b1e65e2943fb167665",
            "DiffID": "sha256:8d6ff4f6bd10f40633fd0402dd685a99de8a29838f2e474c8976bb47e24d85cf",
        },
    )
    assert busybox.title.startswith("busybox: stack overflow")


def test_libraries_keep_where_they_were_found() -> None:
    """Two copies of one library are told apart by their path only."""
    paths = {f.package_path for f in findings_of(ANSWER) if f.package_type == "node-pkg"}
    assert paths == {
        "app/node_modules/lodash/package.json",
        "app/node_modules/minimist/package.json",
    }


def test_findings_stand_worst_first_then_by_name() -> None:
    """A fixed order makes equal content equal bytes, whatever the server's order."""
    findings = findings_of(ANSWER)
    order = [
        (SEVERITIES.index(f.severity), f.vulnerability_id, f.resource, f.package_path)
        for f in findings
    ]
    assert order == sorted(order)


@given(st.randoms())
def test_the_servers_order_does_not_show(random: Any) -> None:
    """Go maps have no order; a report must not be rewritten because of that."""
    document = json.loads(ANSWER)
    random.shuffle(document["results"])
    for result in document["results"]:
        random.shuffle(result["vulnerabilities"])
    assert findings_of(json.dumps(document).encode()) == findings_of(ANSWER)


def test_severity_is_that_of_the_advisorys_source() -> None:
    """trivy-operator shows the vendor's view, not Trivy's own choice."""
    found = one(
        severity="CRITICAL",
        severity_source="debian",
        vendor_severity={"nvd": "CRITICAL", "debian": "LOW"},
    )
    assert found.severity == "LOW"


@pytest.mark.parametrize(
    "fields",
    [
        {"severity_source": ""},
        {"vendor_severity": None},
        {"severity_source": "ghsa", "vendor_severity": {"nvd": "HIGH"}},
        {"vendor_severity": {"nvd": "NEGLIGIBLE"}},
    ],
)
def test_severity_without_a_source_is_unknown(fields: dict[str, object]) -> None:
    """The report's enumeration has no other word for it; an unlisted one would be refused."""
    assert one(**fields).severity == "UNKNOWN"


@pytest.mark.parametrize(
    ("cvss", "score"),
    [
        ({"nvd": {"v3_score": 9.8}}, 9.8),
        ({"nvd": {"v3_score": 9.8}, "redhat": {"v3_score": 5.5}}, 5.5),
        ({"redhat": {"v3_score": 5.5}, "ghsa": {"v3_score": 7.1}, "nvd": {"v3_score": 9.8}}, 7.1),
        ({"ghsa": {"v2_score": 4.0}, "nvd": {"v3_score": 9.8}}, 9.8),
        ({"nvd": {"v2_score": 4.0}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_score_does_not_depend_on_the_order_of_vendors(
    cvss: dict[str, dict[str, float]] | None, score: float | None
) -> None:
    """trivy-operator's choice follows a Go map and changes from run to run; ours is by name."""
    assert one(cvss=cvss).score == score
    assert one(cvss=None if cvss is None else dict(reversed(cvss.items()))).score == score


def test_cvss_has_the_reports_key_names_and_no_empty_entries() -> None:
    """The CRD knows V2, V3 and V40 in this spelling."""
    entry = {
        "v2_vector": "AV:N",
        "v2_score": 5.0,
        "v3_vector": "CVSS:3.1/AV:N",
        "v3_score": 7.5,
        "v40_vector": "CVSS:4.0/AV:N",
        "v40_score": 8.1,
    }
    assert one(cvss={"nvd": entry, "ghsa": {}}).cvss == {
        "nvd": {
            "V2Vector": "AV:N",
            "V3Vector": "CVSS:3.1/AV:N",
            "V40Vector": "CVSS:4.0/AV:N",
            "V2Score": 5.0,
            "V3Score": 7.5,
            "V40Score": 8.1,
        },
        "ghsa": {},
    }


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2023-08-22T19:16:31Z", "2023-08-22T19:16:31Z"),
        ("2023-08-22T19:16:31.123456789Z", "2023-08-22T19:16:31Z"),
        ("2023-08-22T19:16:31.5+02:00", "2023-08-22T19:16:31+02:00"),
        ("0001-01-01T00:00:00Z", ""),
        ("soon", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_dates_are_rfc_3339_in_seconds_or_empty(sent: str | None, shown: str) -> None:
    """Reports carry no fractions; Go's zero time means that nobody knows."""
    found = one(published_date=sent, last_modified_date=sent)
    assert (found.published, found.modified) == (shown, shown)


@pytest.mark.parametrize("body", [b'{"results": null}', b"{}", answer()])
def test_no_results_are_no_findings(body: bytes) -> None:
    """Images without packages have none; that is no fault."""
    assert findings_of(body) == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"results": [{"vulnerabilities": [{}]}]}',
        b'{"results": [{"target": "\xff"}]}',
        b'{"more": ' + b"[" * 100_000,
    ],
)
def test_an_answer_of_another_protocol_is_the_servers_fault(body: bytes) -> None:
    """No image must be parked because a newer server speaks differently."""
    with pytest.raises(SourceUnavailableError, match=r"Trivy 0\.70") as caught:
        findings_of(body)
    assert caught.value.reason == "MatchServerUnreadable"
