"""The real Trivy opens the sample database, scans every sample image, and finds what is written."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from common.ops.trivy_program import Trivy
from sandbox import images, vulndb
from sandbox.broken import broken
from sandbox.images import Pushed
from sandbox.registry import Registry
from sandbox.truth import FOUND

pytestmark = pytest.mark.integration

_OFFLINE = ("CHECK_UPDATE", "VEX_REPO_UPDATE", "VERSION_CHECK")
_SCAN = (
    *("image", "--quiet", "--image-src", "remote", "--format", "json", "--list-all-pkgs"),
    *("--scanners", "vuln,secret", "--image-config-scanners", "secret", "--platform"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """Trivy with one cache folder."""

    program: str
    folder: Path

    def run(self, *arguments: str, skip_update: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command with nothing of our environment."""
        settings = {f"TRIVY_SKIP_{name}": "true" for name in _OFFLINE}
        if skip_update:
            settings |= {"TRIVY_SKIP_DB_UPDATE": "true", "TRIVY_SKIP_JAVA_DB_UPDATE": "true"}
        settings |= {"TRIVY_DISABLE_TELEMETRY": "true", "TRIVY_CACHE_DIR": str(self.folder)}
        return subprocess.run(
            [self.program, *arguments],
            env={"PATH": os.environ["PATH"], "TMPDIR": str(self.folder.parent), **settings},
            cwd=self.folder.parent,  # empty: trivy.yaml and the like are read from there
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def scan(self, reference: str, *, platform: str = "linux/amd64") -> Scan:
        """Scan one image that can be scanned."""
        done = self.run(*_SCAN, platform, reference)
        assert done.returncode == 0, done.stderr
        return Scan(json.loads(done.stdout))


class Scan:
    """What one scan reported."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self.report = report

    def _all(self, what: str) -> Iterator[Mapping[str, Any]]:
        for result in self.report.get("Results", ()):
            yield from result.get(what, ())

    @property
    def severities(self) -> dict[str, int]:
        """Findings by severity."""
        return dict(Counter(each["Severity"] for each in self._all("Vulnerabilities")))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Rules of the secrets found."""
        return tuple(sorted(each["RuleID"] for each in self._all("Secrets")))

    @property
    def packages(self) -> int:
        """How many packages were listed."""
        return len(list(self._all("Packages")))

    def finding(self, identifier: str) -> Mapping[str, Any]:
        """Return one finding."""
        return next(v for v in self._all("Vulnerabilities") if v["VulnerabilityID"] == identifier)


def _scanner(trivy: Trivy, folder: Path, level: Literal[1, 2]) -> Scanner:
    cache = folder / "cache"
    vulndb.build(cache, level=level, updated_at=datetime(2026, 11, 23 + level, 6, tzinfo=UTC))
    vulndb.build_java(cache, updated_at=datetime(2026, 11, 24, tzinfo=UTC))
    return Scanner(program=trivy.path, folder=cache)


@pytest.fixture(scope="module")
def before(trivy: Trivy, tmp_path_factory: pytest.TempPathFactory) -> Scanner:
    """Give Trivy with the database of level 1."""
    return _scanner(trivy, tmp_path_factory.mktemp("level-1"), 1)


@pytest.fixture(scope="module")
def after(trivy: Trivy, tmp_path_factory: pytest.TempPathFactory) -> Scanner:
    """Give Trivy with the database of level 2."""
    return _scanner(trivy, tmp_path_factory.mktemp("level-2"), 2)


@pytest.mark.parametrize("name", FOUND)
def test_trivy_finds_in_each_sample_what_is_written(
    name: str, before: Scanner, after: Scanner, pushed: Mapping[str, Pushed]
) -> None:
    """Tests, demo and benchmarks measure the product against this table."""
    first, later = (each.scan(pushed[name].reference) for each in (before, after))
    assert first.severities == FOUND[name].before
    assert later.severities == FOUND[name].after
    assert first.secrets == later.secrets == FOUND[name].secrets
    assert first.packages == later.packages == FOUND[name].packages


def test_the_platforms_of_one_name_differ(before: Scanner, pushed: Mapping[str, Pushed]) -> None:
    """A report for the wrong platform would otherwise go unnoticed."""
    multi = pushed["multi"]
    arm = before.scan(multi.reference, platform="linux/arm64/v8")
    assert arm.severities == {"CRITICAL": 3}
    assert before.scan(multi.pinned).severities != arm.severities
    assert set(multi.platforms) == {"linux/amd64", "linux/arm64/v8"}


def test_two_tags_lead_to_one_digest(before: Scanner, pushed: Mapping[str, Pushed]) -> None:
    """Scans are counted by digest."""
    both = [before.scan(each).report["Metadata"] for each in pushed["alpine-app"].references]
    assert [each["RepoDigests"][0].rpartition("@")[2] for each in both] == [
        pushed["alpine-app"].digest
    ] * 2


def test_findings_carry_what_reports_show(before: Scanner, pushed: Mapping[str, Pushed]) -> None:
    """Score, links, dates, fixed version and source all end up in a report."""
    found = before.scan(pushed["alpine-python"].reference).finding("CVE-2020-14343")
    assert found["PkgName"] == "PyYAML"
    assert found["InstalledVersion"] == "5.3.1"
    assert found["FixedVersion"] == "5.4"
    assert found["SeveritySource"] == "ghsa"
    assert found["CVSS"]["ghsa"]["V3Score"] == 9.8
    assert found["VendorIDs"] == ["GHSA-8q59-q68h-6hv4"]
    assert found["PublishedDate"] == "2021-03-25T21:26:26Z"
    assert found["PrimaryURL"].endswith("/cve-2020-14343")
    assert "https://nvd.nist.gov/vuln/detail/CVE-2020-14343" in found["References"]


def test_a_touched_image_is_new_and_has_the_same_findings(
    before: Scanner, registry: Registry
) -> None:
    """A tag moves: the product must notice the digest, not the findings."""
    (moved,) = images.push(registry.address, [images.touch("alpine-python", "2")]).values()
    again = images.push_samples(registry.address, ["alpine-python"])["alpine-python"]
    assert moved.reference == again.reference
    assert moved.digest != again.digest
    assert before.scan(moved.pinned).severities == FOUND["alpine-python"].before


def test_trivy_downloads_the_published_database(
    trivy: Trivy, registry: Registry, tmp_path: Path
) -> None:
    """The product's own way to a new database is this one."""
    source, target = tmp_path / "source", Scanner(program=trivy.path, folder=tmp_path / "cache")
    moment = datetime(2026, 11, 25, 6, tzinfo=UTC)
    vulndb.build(source, level=2, updated_at=moment)
    vulndb.build_java(source, updated_at=moment)
    vulndb.push(registry.address, source, repository="content/trivy-db")
    vulndb.push_java(registry.address, source, repository="content/trivy-java-db")
    host = f"{registry.address}/content"
    for option, repository in (("", "trivy-db:2"), ("java-", "trivy-java-db:1")):
        done = target.run(
            *("image", f"--download-{option}db-only"),
            *(f"--{option}db-repository", f"{host}/{repository}"),
            skip_update=False,
        )
        assert done.returncode == 0, done.stderr
    downloaded = target.folder / "db" / "trivy.db"
    assert downloaded.read_bytes() == (source / "db" / "trivy.db").read_bytes()
    metadata = json.loads((target.folder / "db" / "metadata.json").read_bytes())
    assert metadata["UpdatedAt"] == "2026-11-25T06:00:00Z"
    assert (target.folder / "java-db" / "trivy-java.db").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("truncated-layer", "unexpected EOF"),
        ("missing-layer", "BLOB_UNKNOWN"),
        ("missing-config", "BLOB_UNKNOWN"),
        ("not-a-tar", "archive/tar: invalid tar header"),
        ("helm-chart", "unsupported artifact type"),
        ("other-platform", "no child with platform linux/amd64"),
    ],
)
def test_trivy_refuses_a_broken_image_with_the_words_of_its_fault(
    before: Scanner, registry: Registry, name: str, said: str
) -> None:
    """The classes of errors are told apart by these words."""
    fault = next(each for each in broken() if each.name == name)
    reference = images.push(registry.address, [fault])[name].reference
    done = before.run(*_SCAN, "linux/amd64", reference)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stdout == ""


def test_an_image_that_lies_about_its_layers_poisons_a_shared_layer_cache(
    trivy: Trivy, tmp_path: Path, registry: Registry, pushed: Mapping[str, Pushed]
) -> None:
    """Trivy itself does not notice: whoever shares a cache between tenants must check first."""
    scanner = _scanner(trivy, tmp_path, 1)
    liar = next(each for each in broken() if each.name == "borrowed-config")
    scanner.scan(images.push(registry.address, [liar])[liar.name].reference)
    assert FOUND["alpine-app"].before
    assert scanner.scan(pushed["alpine-app"].pinned).severities == {}
