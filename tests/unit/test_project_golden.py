"""Bodies against samples that an independent mapping made from the same image."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tests.fakes.report_builders import DIGEST, context, golden, image_key, record_of
from worker.project import sbom, secret, vulnerability

_FIELDS = frozenset({"Target", "Class", "PackageType", "PackagePath"})


def _undated(name: str) -> dict[str, Any]:
    expected = golden(name)
    del expected["updateTimestamp"]
    return expected


def test_a_vulnerability_report_is_the_sample_field_by_field() -> None:
    """Whoever reads trivy-operator's reports must not notice who wrote this one."""
    records = [(image_key(), record_of(golden("trivy_alpine_app.json")))]
    body = vulnerability.project(records, context(additional_fields=_FIELDS))
    assert body.report == _undated("vulnerabilityreport.json")


def test_a_secret_report_is_the_sample_field_by_field() -> None:
    """The same for secrets, whose places inside the image need no rewriting."""
    records = [(image_key(), record_of(golden("trivy_alpine_app.json")))]
    body = secret.project(records, context())
    assert body.report == _undated("exposedsecretreport.json")


def _without_random(report: dict[str, Any]) -> dict[str, Any]:
    """Return the SBOM report with what Trivy draws at random put to fixed words."""
    plain: dict[str, Any] = deepcopy(report)
    bom = plain["components"]
    bom["serialNumber"] = "random"
    bom["metadata"].pop("timestamp", None)
    operating_system = next(
        one["bom-ref"] for one in bom["components"] if one["type"] == "operating-system"
    )
    renamed: dict[str, Any] = _renamed(plain, operating_system)
    return renamed


def _renamed(value: Any, old: str) -> Any:
    match value:
        case dict():
            return {name: _renamed(below, old) for name, below in value.items()}
        case list():
            return [_renamed(below, old) for below in value]
        case _:
            return "random" if value == old else value


def _sorted_by_ref(report: dict[str, Any]) -> dict[str, Any]:
    bom = report["components"]
    bom["components"].sort(key=lambda one: one["bom-ref"])
    bom["dependencies"].sort(key=lambda one: one["ref"])
    for one in bom["dependencies"]:
        one["dependsOn"].sort()
    return report


def test_an_sbom_report_is_the_sample_but_for_random_identifiers_and_order() -> None:
    """The document lists the same components with the same fields and the same dependencies."""
    expected = _undated("sbomreport.json")
    document = deepcopy(expected["components"])
    records = [(image_key(), record_of(golden("trivy_alpine_app.json"), sbom=document))]
    body = sbom.project(records, context())
    assert body is not None
    assert _sorted_by_ref(_without_random(body.report)) == _sorted_by_ref(_without_random(expected))


def test_the_default_fields_leave_the_optional_ones_out() -> None:
    """With nothing switched on, `links` and `target` stand there empty and the rest is absent."""
    records = [(image_key(), record_of(golden("trivy_alpine_app.json")))]
    body = vulnerability.project(records, context())
    entries = body.report["vulnerabilities"]
    assert isinstance(entries, list)
    assert all(one["links"] == [] and one["target"] == "" for one in entries)
    hidden = {"description", "cvss", "class", "packageType", "packagePath"}
    assert all(hidden.isdisjoint(one) for one in entries)
    assert all(one["packagePURL"].startswith("pkg:") for one in entries)


def test_all_fields_switched_on_show_what_trivy_said() -> None:
    """Description, links and CVSS come as Trivy gives them."""
    every = _FIELDS | {"Description", "Links", "CVSS"}
    records = [(image_key(), record_of(golden("trivy_alpine_app.json")))]
    body = vulnerability.project(records, context(additional_fields=every))
    entries = body.report["vulnerabilities"]
    assert isinstance(entries, list)
    busybox = entries[0]
    assert busybox["description"].startswith("busybox: stack overflow")
    assert busybox["links"] == ["https://nvd.nist.gov/vuln/detail/CVE-2022-48174"]
    assert busybox["cvss"] == {
        "nvd": {"V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "V3Score": 9.8}
    }


def test_the_artifact_carries_the_running_digest() -> None:
    """A report says which content it is about, not only which tag."""
    records = [(image_key(), record_of(golden("trivy_alpine_app.json")))]
    artifact = vulnerability.project(records, context()).report["artifact"]
    assert isinstance(artifact, dict)
    assert artifact["digest"] == DIGEST
