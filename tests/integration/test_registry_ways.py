"""Mirrors, certificates that nobody vouches for, plain HTTP: as the settings say, for every part.

Our own questions and Trivy's pull must agree: one alone would leave images that are resolved and
never scanned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from common.cli.checks.evidence import check_registry, excused
from common.model.errors import SluiceError
from common.model.finding import Fault, Good
from common.model.image import ImageRecord, Inventory, Match
from common.model.key import ImageKey
from common.model.refs import parse_reference
from common.settings.parse import parse
from sandbox.images import Pushed
from tests.fixtures_trivy import RunningScanner, inventory_job
from tests.relay import relay
from worker.evidence.image.access import Access, Accesses
from worker.evidence.image.registry import HttpRegistry
from worker.project.context import ReportContext
from worker.subject.workload.bodies import body_of

pytestmark = pytest.mark.integration


def way(reference: str, settings: Mapping[str, str]) -> Access:
    """Return the way to an image."""
    return Accesses.of_settings(parse(settings)).of(parse_reference(reference))


def resolve(reference: str, settings: Mapping[str, str]) -> str:
    """Ask what a reference means."""
    return HttpRegistry().resolve(parse_reference(reference), access=way(reference, settings))


def inventory(
    scanner: RunningScanner,
    match_url: str,
    reference: str,
    settings: Mapping[str, str],
    digest: str,
) -> Inventory:
    """Have Trivy pull an image."""
    access = way(reference, settings)
    job = inventory_job(f"{access.mirrored_name}@{digest}", match_url, access=access)
    return scanner.scanner.inventory(job).inventory


@pytest.mark.parametrize(
    ("setting", "tls"), [("SLUICE_NON_SSL_REGISTRIES", False), ("SLUICE_INSECURE_REGISTRIES", True)]
)
def test_a_registry_is_excused_by_its_name_alone(
    setting: str,
    *,
    tls: bool,
    pushed: Mapping[str, Pushed],
    scanner: RunningScanner,
    match_url: str,
    tmp_path: Path,
) -> None:
    """Every question, the pull and the sign of life; without the setting none of them."""
    image = pushed["clean"]
    with relay(image.registry, tmp_path if tls else None) as address:
        reference = f"{address}/{image.repository}:{image.tags[0]}"
        excuse = {setting: f"other.example,{address}"}
        for refused in ({}, {setting: "other.example"}):
            with pytest.raises(SluiceError):
                resolve(reference, refused)
            with pytest.raises(SluiceError):
                inventory(scanner, match_url, reference, refused, image.digest)
            with pytest.raises(SluiceError):
                HttpRegistry().ping(way(reference, refused))
            assert isinstance(ask(address, refused), Fault)
        assert resolve(reference, excuse) == image.digest
        assert inventory(scanner, match_url, reference, excuse, image.digest).has_packages
        HttpRegistry().ping(way(reference, excuse))
        assert isinstance(ask(address, excuse), Good)


def ask(host: str, settings: Mapping[str, str]) -> object:
    """Ask as `sluice doctor` does."""
    plain, unverified = excused(parse(settings), host)
    return check_registry(host, plain=plain, unverified=unverified)


def test_a_certificate_is_refused_by_its_reason(
    pushed: Mapping[str, Pushed], tmp_path: Path
) -> None:
    """So that the user looks for the right setting."""
    with (
        relay(pushed["clean"].registry, tmp_path) as address,
        pytest.raises(SluiceError) as caught,
    ):
        resolve(f"{address}/sample/clean:1.0", {})
    assert caught.value.reason == "CertificateRefused"


def test_a_mirror_serves_images_that_keep_their_name(
    pushed: Mapping[str, Pushed], scanner: RunningScanner, match_url: str
) -> None:
    """The mirror is asked, the report says what the user wrote."""
    image = pushed["alpine-app"]
    there = f"{image.registry}/sample"
    settings = {"SLUICE_REGISTRY_MIRRORS": f"docker.io/library={there},docker.io=127.0.0.1:9"}
    assert resolve("alpine-app:1.0", settings) == image.digest
    found = inventory(scanner, match_url, "alpine-app:1.0", settings, image.digest)
    record = ImageRecord(inventory=found, match=Match(db_version="1", findings=()))
    key = ImageKey(digest=image.digest, platform="linux-amd64", options="o")
    context = ReportContext(
        reference="alpine-app:1.0", digest=image.digest, scanner_version="0.76.0"
    )
    for kind in ("VulnerabilityReport", "ExposedSecretReport", "SbomReport"):
        body = body_of(kind, [(key, record)], context)
        assert body is not None
        text = json.dumps(body.report)
        assert "index.docker.io" in text
        assert "127.0.0.1" not in text, kind
        assert "sample/" not in text, kind
