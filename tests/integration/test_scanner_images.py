"""Real images through a real scanner process: what is found, what is not, and what never leaves."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.model.errors import (
    BadReferenceError,
    DamagedImageError,
    ImageNotFoundError,
    NoPlatformError,
    RateLimitedError,
    SluiceError,
    SourceUnavailableError,
    TransferDamagedError,
    TransientError,
    UnauthorizedError,
)
from common.model.image import Finding, ImageRecord, Inventory
from common.model.key import ImageKey
from common.model.refs import ImageDigest
from common.ops.trivy_program import Trivy
from sandbox import oci, vulndb
from sandbox.accesslog import count
from sandbox.broken import broken
from sandbox.faults import Answer, Cut, Login
from sandbox.images import Pushed, Sample, push, sample, samples
from sandbox.packages import alpine, apk
from sandbox.planted import PLANTED
from sandbox.registry import Registry
from sandbox.rpm import RpmPackage, alma
from tests.fixtures_trivy import UPDATED, RunningScanner, inventory_job, scanner_process
from worker.evidence.image.inventory import ScanOptions
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.trivy_cli import child_environment
from worker.project.context import ReportContext, ReportOptions
from worker.project.vulnerability import project

pytestmark = pytest.mark.integration

SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
PLATFORMS = [
    (one.name, platform)
    for one in samples()
    for platform in (("linux-amd64", "linux-arm64") if one.name == "multi" else ("linux-amd64",))
]


@pytest.fixture
def matcher(match_url: str) -> Iterator[TwirpMatcher]:
    """Give a matcher on the session's server."""
    with closing(TwirpMatcher(match_url)) as one:
        yield one


@pytest.fixture(scope="module")
def faulty(registry: Registry) -> Mapping[str, Pushed]:
    """Give where the broken samples stand."""
    return push(registry.address, broken())


def command_line(
    trivy: Trivy, cache_dir: Path, image: str, platform: str, *, server_url: str = ""
) -> dict[str, object]:
    """Return the report of Trivy's own command line, by the server or the database on disk."""
    output = cache_dir / "report.json"
    subprocess.run(
        [
            trivy.path, "image", "--quiet", f"--cache-dir={cache_dir}", "--image-src=remote",
            "--scanners=vuln,secret", "--image-config-scanners=secret", "--format=json",
            f"--output={output}", f"--platform={platform.replace('-', '/')}",
            *((f"--server={server_url}",) if server_url else ()), image,
        ],
        env=child_environment({}, cache_dir),
        cwd=cache_dir,
        check=True,
        timeout=120,
    )  # fmt: skip
    report: dict[str, object] = json.loads(output.read_bytes())
    return report


def severity_of(found: dict[str, Any]) -> str:
    """Return the severity that the advisory's source gives."""
    return SEVERITIES[found.get("VendorSeverity", {}).get(found.get("SeveritySource"), 0)]


def as_findings(report: dict[str, object]) -> list[Finding]:
    """Return the report's vulnerabilities, mapped here by hand."""
    results = report.get("Results") or []
    assert isinstance(results, list)
    return [
        Finding(
            vulnerability_id=found["VulnerabilityID"],
            resource=found["PkgName"],
            installed_version=found["InstalledVersion"],
            fixed_version=found.get("FixedVersion", ""),
            severity=SEVERITIES[
                found.get("VendorSeverity", {}).get(found.get("SeveritySource"), 0)
            ],
            title=found.get("Title", ""),
            description=found.get("Description", ""),
            primary_link=found.get("PrimaryURL", ""),
            links=tuple(found.get("References", ())),
            published=found.get("PublishedDate", ""),
            modified=found.get("LastModifiedDate", ""),
            score=next((c["V3Score"] for c in found.get("CVSS", {}).values()), None),
            cvss=found.get("CVSS", {}),
            target=result["Target"],
            package_class=result["Class"],
            package_type=result["Type"],
            package_path=found.get("PkgPath", ""),
            purl=found["PkgIdentifier"]["PURL"],
            pkg_id=found.get("PkgID", ""),
        )
        for result in results
        for found in result.get("Vulnerabilities", ())
    ]


@pytest.mark.parametrize(("name", "platform"), PLATFORMS)
def test_a_replayed_inventory_finds_what_the_command_line_finds(  # noqa: PLR0917 - fixtures
    name: str,
    platform: str,
    scanner: RunningScanner,
    pushed: Mapping[str, Pushed],
    matcher: TwirpMatcher,
    match_url: str,
    trivy: Trivy,
    databases: Mapping[int, Path],
    tmp_path: Path,
) -> None:
    """The promise that a match without the image rests on: field for field, secrets included."""
    shutil.copytree(databases[1] / "db", tmp_path / "db")
    image = pushed[name].pinned
    report = command_line(trivy, tmp_path, image, platform)
    job = inventory_job(image, match_url, platform=platform)
    inventory = scanner.scanner.inventory(job).inventory

    found = matcher.match(inventory).findings
    assert sorted(found, key=repr) == sorted(as_findings(report), key=repr)
    results = report.get("Results", [])
    assert isinstance(results, list)
    secrets = [(r["Target"], s["RuleID"]) for r in results for s in r.get("Secrets", ())]
    assert sorted((s.target, s.rule_id) for s in inventory.secrets) == sorted(secrets)


def test_duplicates_are_told_as_the_command_line_tells_them(  # noqa: PLR0917 - fixtures
    scanner: RunningScanner,
    registry: Registry,
    matcher: TwirpMatcher,
    match_url: str,
    trivy: Trivy,
    tmp_path: Path,
) -> None:
    """The client keeps both architectures of a package, and one of two copies that have one place.

    Such copies come from an SBOM in the image that lists a package once for each place of its own.
    """
    packages = [
        RpmPackage(name="zlib", version="1.2.11", release="39.el9", architecture=architecture)
        for architecture in ("x86_64", "i686")
    ]
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "components": [
            {
                "bom-ref": f"copy-{number}",
                "type": "library",
                "name": "lodash",
                "version": "4.17.11",
                "purl": "pkg:npm/lodash@4.17.11",
            }
            for number in range(2)
        ],
    }
    files = {**alma("9.3", packages), "app/bom.cdx.json": json.dumps(bom)}
    content = oci.image([oci.layer(files, "ADD twice / # test")], entrypoint=["/none"])
    one = Sample(name="duplicates", tags=("1",), build=lambda: content)
    image = push(registry.address, [one])[one.name].pinned
    inventory = scanner.scanner.inventory(inventory_job(image, match_url)).inventory
    match = matcher.match(inventory)
    view = ReportContext(
        reference=image,
        digest=ImageDigest(image.rpartition("@")[2]),
        scanner_version="0",
        options=ReportOptions(),
    )
    key = ImageKey(digest=view.digest, platform="linux-amd64", options="0")

    told: Any = project([(key, ImageRecord(inventory=inventory, match=match))], view).report[
        "vulnerabilities"
    ]
    report = command_line(trivy, tmp_path, image, "linux-amd64", server_url=match_url)
    theirs = as_findings(report)
    assert sorted(one.resource for one in theirs) == ["lodash", "lodash", "zlib", "zlib"]
    assert len(match.findings) == 6  # else the client had nothing to remove
    assert sorted((f["packagePURL"], f["vulnerabilityID"], f["fixedVersion"]) for f in told) == (
        sorted((one.purl, one.vulnerability_id, one.fixed_version) for one in theirs)
    )


def test_the_samples_show_something(
    scanner: RunningScanner, pushed: Mapping[str, Pushed], matcher: TwirpMatcher, match_url: str
) -> None:
    """An equality of empty lists would prove nothing."""
    counts = {}
    for name in ("alpine-app", "alpine-node", "debian-app", "go-app", "clean"):
        job = inventory_job(pushed[name].pinned, match_url)
        counts[name] = len(matcher.match(scanner.scanner.inventory(job).inventory).findings)
    assert counts["clean"] == 0
    assert all(number > 0 for name, number in counts.items() if name != "clean")


@pytest.mark.parametrize("one", samples(), ids=lambda one: str(one.name))
def test_every_sample_is_covered_if_it_has_packages(
    one: Sample, scanner: RunningScanner, pushed: Mapping[str, Pushed], match_url: str
) -> None:
    """Status 0 without results is not clean: it is not covered, and has no SBOM."""
    job = inventory_job(pushed[one.name].pinned, match_url)
    inventory = scanner.scanner.inventory(job).inventory
    assert inventory.has_packages is one.has_packages
    assert inventory.covered is one.has_packages
    assert (inventory.sbom is not None) is one.has_packages
    assert inventory.scanner_version.startswith("0.")


def test_trap_28_no_planted_secret_is_in_an_inventory(
    scanner: RunningScanner, pushed: Mapping[str, Pushed], match_url: str
) -> None:
    """Trap 28. Files, environment, history: what was planted is found, and shown nowhere."""
    job = inventory_job(pushed["secrets"].pinned, match_url)
    result = scanner.scanner.inventory(job)
    stored = msgspec.json.encode(result.inventory).decode() + repr(result)
    assert [word for word in PLANTED if word in stored] == []
    rules = {secret.rule_id for secret in result.inventory.secrets}
    assert {"aws-access-key-id", "github-pat", "private-key"} <= rules
    logged = scanner.log.read_text(encoding="utf-8")
    assert [word for word in PLANTED if word in logged] == []


def test_options_are_heeded(
    scanner: RunningScanner, pushed: Mapping[str, Pushed], match_url: str
) -> None:
    """Secrets switched off, files left out, no SBOM: each changes what is found."""

    def look(**options: object) -> Inventory:
        job = inventory_job(
            pushed["secrets"].pinned,
            match_url,
            options=msgspec.structs.replace(ScanOptions(), **options),
        )
        return scanner.scanner.inventory(job).inventory

    assert look(scanners=("vuln",)).secrets == ()
    left = {secret.target for secret in look(skip_files=("/app/id_rsa",)).secrets}
    assert "/app/id_rsa" not in left
    assert "/app/ci.env" in left
    assert {secret.target for secret in look(skip_dirs=("/app",)).secrets} == set()
    assert look(sbom=False).sbom is None


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        ("truncated-layer", TransferDamagedError, "TransferDamaged"),
        ("missing-layer", ImageNotFoundError, "ImageNotFound"),
        ("missing-config", ImageNotFoundError, "ImageNotFound"),
        ("not-a-tar", DamagedImageError, "DamagedImage"),
        ("helm-chart", DamagedImageError, "NotAnImage"),
        ("other-platform", NoPlatformError, "NoPlatform"),
    ],
)
def test_a_broken_image_is_told_from_a_broken_registry(  # noqa: PLR0917 - fixtures
    fault: str,
    error: type[SluiceError],
    reason: str,
    scanner: RunningScanner,
    faulty: Mapping[str, Pushed],
    match_url: str,
) -> None:
    """One damaged image must not open its registry's circuit for everybody."""
    with pytest.raises(error) as caught:
        scanner.scanner.inventory(inventory_job(faulty[fault].pinned, match_url))
    assert (type(caught.value), caught.value.reason) == (error, reason)


@pytest.fixture
def own(registry: Registry, request: pytest.FixtureRequest) -> Pushed:
    """Give an image of this test's own, whose layers no cache holds."""
    mark = {"etc/own": request.node.name}
    base = {**alpine("3.18.2", [apk("musl", "1.2.4-r0", "MIT")]), **mark}
    content = oci.image(
        [oci.layer(base, "ADD base / # test"), oci.layer(mark, "COPY own / # test")],
        entrypoint=["/none"],
    )
    name = f"own-{zlib.crc32(request.node.name.encode()):08x}"
    one = Sample(name=name, tags=("1",), build=lambda: content)
    return push(registry.address, [one])[name]


def test_a_registry_that_asks_for_patience_is_rate_limiting(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """Its circuit opens instead of burning every image's budget."""
    with (
        registry.fail(Answer(status=429), repository=own.repository),
        pytest.raises(RateLimitedError),
    ):
        scanner.scanner.inventory(inventory_job(own.pinned, match_url))


def test_a_layer_that_is_cut_off_is_tried_again_and_heals(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """Half a layer must neither be believed nor be final."""
    cut = registry.fail(Cut(after_bytes=40), repository=own.repository, kind="blob", method="GET")
    with cut, pytest.raises(TransientError) as caught:
        scanner.scanner.inventory(inventory_job(own.pinned, match_url))
    assert caught.value.reason == "TransferDamaged"
    result = scanner.scanner.inventory(inventory_job(own.pinned, match_url))
    assert result.inventory.has_packages


def test_credentials_open_a_closed_registry(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """They reach Trivy by a private file, and nothing of them stays or is told."""
    login = Login(username="bob", password="s3cr3t-builder")  # noqa: S106 - made up
    pair = base64.b64encode(b"bob:s3cr3t-builder").decode()
    config = json.dumps({"auths": {registry.address: {"auth": pair}}}).encode()
    wrong = config.replace(pair.encode(), base64.b64encode(b"bob:wrong-word"))
    with registry.fail(login, repository=own.repository):
        for bad in (None, wrong):
            with pytest.raises(UnauthorizedError) as caught:
                scanner.scanner.inventory(inventory_job(own.pinned, match_url, docker_config=bad))
            assert "wrong-word" not in str(caught.value)
        job = inventory_job(own.pinned, match_url, docker_config=config)
        assert scanner.scanner.inventory(job).inventory.has_packages
        with pytest.raises(UnauthorizedError):  # the next job has them no more
            scanner.scanner.inventory(inventory_job(own.pinned, match_url))
    assert "s3cr3t-builder" not in repr(job)
    assert pair not in repr(job)
    assert "s3cr3t-builder" not in scanner.log.read_text(encoding="utf-8")
    shared = Path("/dev/shm")  # noqa: S108 - where the scanner keeps them
    assert list(shared.glob("sluice-scanner-*/*/config.json")) == []


def test_an_inventory_pulls_each_layer_once(
    scanner: RunningScanner, registry: Registry, own: Pushed, match_url: str
) -> None:
    """Pull limits are counted by manifests, traffic by blobs; the second time no layer moves."""
    before = registry.mark()
    scanner.scanner.inventory(inventory_job(own.pinned, match_url))
    first = registry.requests(since=before)
    assert count(first, repository=own.repository, kind="manifest") == 1
    assert count(first, repository=own.repository, kind="blob") == 3  # configuration, two layers
    before = registry.mark()
    scanner.scanner.inventory(inventory_job(own.pinned, match_url))
    again = registry.requests(since=before)
    assert count(again, repository=own.repository, kind="blob") == 1


@pytest.mark.parametrize(
    "reference", ["r.example/a:latest", "--help", "r.example/a@sha256:short", ""]
)
def test_only_a_pinned_reference_is_scanned(
    reference: str, scanner: RunningScanner, match_url: str
) -> None:
    """A tag may move between two steps; anything else may be an option of the command."""
    with pytest.raises(BadReferenceError):
        scanner.scanner.inventory(inventory_job(reference, match_url))


def test_a_match_server_that_is_away_is_no_fault_of_the_image(
    scanner: RunningScanner, own: Pushed
) -> None:
    """Its own circuit, its own reason."""
    with pytest.raises(SourceUnavailableError) as caught:
        scanner.scanner.inventory(inventory_job(own.pinned, "http://127.0.0.1:9"))
    assert caught.value.reason == "MatchServerUnavailable"


def test_a_scanner_newer_than_the_match_server_is_refused_before_it_pulls(
    trivy: Trivy, registry: Registry, own: Pushed, match_url: str, tmp_path: Path
) -> None:
    """An older server reads in part what a newer Trivy stored, and says nothing of it."""
    newer = tmp_path / "trivy"
    newer.write_text(
        '#!/bin/sh\n[ "$1" = version ] && exec echo \'{"Version": "0.999.1"}\'\n'
        f'exec {trivy.path} "$@"\n'
    )
    newer.chmod(0o755)
    before = registry.mark()
    with scanner_process(tmp_path, SLUICE_TRIVY_PATH=str(newer)) as one:
        with pytest.raises(SourceUnavailableError, match=r"0\.999\.1") as caught:
            one.scanner.inventory(inventory_job(own.pinned, match_url))
        assert caught.value.reason == "ScannerTooNew"
    assert count(registry.requests(since=before), repository=own.repository) == 0


def jar() -> bytes:
    """Return a jar that says what it is, as Maven builds them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
        archive.writestr(
            "META-INF/maven/com.example/demo/pom.properties",
            "groupId=com.example\nartifactId=demo\nversion=1.2.3\n",
        )
    return buffer.getvalue()


@pytest.mark.parametrize("published", [True, False], ids=["published", "unreachable"])
def test_a_jar_is_scanned_with_and_without_a_java_database(
    *, published: bool, registry: Registry, trivy: Trivy, match_url: str, tmp_path: Path
) -> None:
    """Trivy refuses the whole image otherwise; an empty index finds jars that name themselves."""
    content = oci.image(
        [oci.layer({"app/demo.jar": jar(), "etc/x": str(published)}, "COPY demo.jar / # test")],
        entrypoint=["/none"],
    )
    repository = "127.0.0.1:1/none"
    if published:
        vulndb.build_java(tmp_path / "java", updated_at=UPDATED[1])
        vulndb.push_java(registry.address, tmp_path / "java", repository="own/java-db")
        repository = f"{registry.address}/own/java-db:{vulndb.JAVA_TAG}"
    one = Sample(name=f"jar-{published}".lower(), tags=("1",), build=lambda: content)
    image = push(registry.address, [one])[one.name].pinned
    before = registry.mark()
    environment = {"SLUICE_TRIVY_PATH": trivy.path, "TRIVY_JAVA_DB_REPOSITORY": repository}
    with scanner_process(tmp_path, **environment) as own_scanner:
        inventories = [
            own_scanner.scanner.inventory(inventory_job(image, match_url)).inventory
            for _ in range(2)
        ]
        logged = own_scanner.log.read_text(encoding="utf-8")
    assert inventories[0] == inventories[1]
    assert "com.example" in json.dumps(inventories[0].sbom)
    assert ("no Java database" in logged) is not published
    downloads = count(registry.requests(since=before), repository="own/java-db", kind="blob")
    assert downloads == (1 if published else 0)


def test_a_sample_is_not_scanned_for_a_java_database_it_does_not_need(
    scanner: RunningScanner,
) -> None:
    """700 MB that a cluster without Java never downloads."""
    assert sample("alpine-app").has_packages
    assert "Java database" not in scanner.log.read_text(encoding="utf-8")
