"""What may leave the scanner is an allow-list of Trivy's report."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from common.model.errors import TransientError
from common.model.image import Os
from worker.evidence.image.cyclonedx import reduce_bom
from worker.evidence.image.report import inventory_of
from worker.evidence.image.scan_request import Recording

GOLDEN = Path(__file__).parents[1] / "golden/trivy"
APP = (GOLDEN / "report_app.json").read_bytes()
ENVIRONMENT = (GOLDEN / "report_environment.json").read_bytes()
RECORDING = Recording(target="ignored", artifact_id="sha256:a", blob_ids=("sha256:b", "sha256:c"))


def report(**fields: object) -> bytes:
    """Return a report of an image in which Trivy found nothing, with `fields` on top."""
    bare = {"Trivy": {"Version": "0.76.0"}, "ArtifactName": "r.example/a@sha256:0", "Metadata": {}}
    return json.dumps(bare | fields).encode()


def test_a_recorded_report_gives_its_inventory() -> None:
    """Everything that reports and later matches need is there."""
    inventory = inventory_of(APP, RECORDING)
    assert inventory.scanner_version == "0.76.0"
    assert (inventory.artifact_id, inventory.blob_ids) == ("sha256:a", ("sha256:b", "sha256:c"))
    assert inventory.target.startswith("127.0.0.1:5000/sample/app@sha256:")
    assert inventory.os == Os(family="alpine", name="3.18.2", eosl=True)
    assert (inventory.covered, inventory.has_packages) == (True, True)
    assert [(secret.target, secret.rule_id, secret.severity) for secret in inventory.secrets] == [
        ("/app/id_rsa", "private-key", "HIGH"),
        ("/app/settings.env", "aws-access-key-id", "CRITICAL"),
        ("/app/settings.env", "aws-secret-access-key", "CRITICAL"),
    ]


def test_trap_28_nothing_of_the_images_configuration_leaves_the_scanner() -> None:
    """Trap 28. `ENV PASSWORD=…` stands in Trivy's report and must never reach Redis."""
    planted = ("planted-in-env", "planted-in-history", "planted-in-label", "not-a-key-but-planted")
    assert all(word.encode() in ENVIRONMENT for word in planted)
    bom = json.loads((GOLDEN / "bom_environment_a.json").read_bytes())
    inventory = msgspec.structs.replace(
        inventory_of(ENVIRONMENT, RECORDING), sbom=reduce_bom(bom, scanner_version="0.76.0")
    )
    stored = msgspec.json.encode(inventory).decode()
    assert [word for word in planted if word in stored] == []
    assert "org.example.team" not in stored


def test_a_secret_in_the_configuration_keeps_its_mask_alone() -> None:
    """The rest of such a line is the environment or the history itself."""
    secrets = inventory_of(ENVIRONMENT, RECORDING).secrets
    assert len(secrets) == 2
    assert {secret.match for secret in secrets} == {"*" * 20}
    assert {secret.rule_id for secret in secrets} == {"aws-access-key-id"}


def test_a_secret_in_a_file_keeps_its_masked_line() -> None:
    """The line tells its owner which setting it is."""
    secrets = inventory_of(APP, RECORDING).secrets
    assert secrets[1].match == "AWS_ACCESS_KEY_ID=" + "*" * 20


def test_a_configuration_line_without_a_mask_is_not_shown() -> None:
    """If Trivy ever stops masking, a wrong text must not slip through."""
    secret = {"RuleID": "x", "Severity": "HIGH", "Match": '"PASSWORD=plain"'}
    results = [{"Target": "r.example/a", "Class": "secret", "Secrets": [secret]}]
    (found,) = inventory_of(report(Results=results), RECORDING).secrets
    assert found.match == "********"


@pytest.mark.parametrize(
    ("results", "covered", "has_packages"),
    [
        (None, False, False),
        ([], False, False),
        ([{"Target": "/a", "Class": "secret", "Secrets": []}], False, False),
        ([{"Target": "x", "Class": "os-pkgs", "Packages": []}], True, False),
        ([{"Target": "x", "Class": "os-pkgs", "Packages": [{"Name": "a"}]}], True, True),
        ([{"Target": "app", "Class": "lang-pkgs", "Packages": [{"Name": "a"}]}], True, True),
        ([{"Target": "app", "Class": "lang-pkgs"}], False, False),
    ],
)
def test_no_findings_without_a_package_database_prove_nothing(
    results: list[object] | None, *, covered: bool, has_packages: bool
) -> None:
    """An unknown operating system ends with status 0 and no results: not clean, not covered."""
    inventory = inventory_of(report(Results=results), RECORDING)
    assert (inventory.covered, inventory.has_packages) == (covered, has_packages)


def test_an_image_without_an_operating_system_has_an_empty_one() -> None:
    """`scratch` images have none; reports need an empty family, not an error."""
    assert inventory_of(report(Metadata={"OS": None}), RECORDING).os == Os()
    assert inventory_of(report(Metadata=None), RECORDING).os == Os()


def test_secrets_have_a_fixed_order() -> None:
    """Equal content must give equal bytes, whatever order the analysers ended in."""
    document = json.loads(APP)
    document["Results"].reverse()
    for result in document["Results"]:
        result.get("Secrets", []).reverse()
    turned = inventory_of(json.dumps(document).encode(), RECORDING)
    assert turned.secrets == inventory_of(APP, RECORDING).secrets


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"Results": 1}', b'{"ArtifactName": "\xff"}'])
def test_what_is_no_report_is_tried_again(body: bytes) -> None:
    """A run that was cut leaves half a file."""
    with pytest.raises(TransientError) as caught:
        inventory_of(body, RECORDING)
    assert caught.value.reason == "ReportUnreadable"
