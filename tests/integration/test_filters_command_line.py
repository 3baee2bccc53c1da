"""Every filter against Trivy's own command line: the same image and wish, the same findings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.model.errors import TerminalError
from common.model.image import Finding, ImageRecord, Match
from common.model.key import ImageKey
from common.ops.trivy_program import Trivy
from common.reports.body import ReportBody
from common.settings.load import load
from sandbox import oci, planted
from sandbox.images import Pushed, Sample, push
from sandbox.packages import deb, debian, node, python
from sandbox.pause_elf import go_build_info, pause
from sandbox.registry import Registry
from tests.filters import policies, rules, vex
from tests.filters.case import Case
from tests.fixtures_trivy import RunningScanner, inventory_job
from tests.trivy_image import told_by_trivy
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.policy_run import PolicyRun
from worker.filtering import Filtering
from worker.policies import policy_for
from worker.project import secret, vulnerability
from worker.project.context import ReportContext
from worker.project.policy import about_finding, question_hash, questions

pytestmark = pytest.mark.integration

PACKAGES = (
    deb("libc6", "2.36-9+deb12u1", "LGPL-2.1", source="glibc"),
    deb("libc-bin", "2.36-9+deb12u1", "LGPL-2.1", source="glibc"),
    deb("zlib1g", "1:1.2.13.dfsg-1", "Zlib", source="zlib"),
    deb("libssl3", "3.0.9-1", "Apache-2.0", source="openssl"),
    deb("coreutils", "9.1-1", "GPL-3.0"),
    deb("libapt-pkg6.0", "2.6.1", "GPL-2.0", source="apt"),
)
NODE = {"lodash": "4.17.11", "minimist": "1.2.5", "semver": "7.5.1"}
PYTHON = {"Django": "4.2.1", "Jinja2": "3.1.2", "urllib3": "1.26.14"}
GO = {"golang.org/x/net": "v0.7.0"}
# What is shown of a finding, in terms that both sides know.
Shown = frozenset[tuple[str, ...]]


def build() -> oci.Image:
    """Return an image with something for every filter."""
    base = oci.layer(debian("12.1", PACKAGES), "ADD rootfs.tar.xz / # sample")
    own = oci.layer({**node(NODE), **python(PYTHON), **planted.files()}, "COPY . / # sample")
    info = go_build_info("example.com/app", version="v1.4.0", go="go1.20.1", needs=GO)
    binary = oci.layer({"app/go": oci.Executable(content=pause(info))}, "COPY go / # sample")
    return oci.image([base, own, binary], entrypoint=["/none"], env=planted.environment())


CASES = (*rules.RULES, *policies.CASES, *vex.CASES)


@pytest.fixture(scope="module")
def image(registry: Registry) -> Pushed:
    """Give where the image stands."""
    one = Sample(name="filters", tags=("1",), build=build)
    return push(registry.address, [one])["filters"]


@pytest.fixture(scope="module")
def record(scanner: RunningScanner, image: Pushed, match_url: str) -> tuple[ImageKey, ImageRecord]:
    """Give what we know of the image."""
    return inventoried(scanner, image, match_url, ScanOptions())


def inventoried(
    scanner: RunningScanner, image: Pushed, match_url: str, options: ScanOptions
) -> tuple[ImageKey, ImageRecord]:
    """Return what our own parts find out about the image."""
    job = inventory_job(image.pinned, match_url, options=options)
    inventory = scanner.scanner.inventory(job).inventory
    with closing(TwirpMatcher(match_url)) as matcher:
        match = matcher.match(inventory)
    key = ImageKey(digest=image.digest, platform="linux-amd64", options=options.digest())
    return key, ImageRecord(inventory=inventory, match=match)


@pytest.fixture(scope="module")
def command_line(
    trivy: Trivy,
    databases: Mapping[int, Path],
    image: Pushed,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Shown]:
    """Give Trivy's own command line, on the image."""
    cache = tmp_path_factory.mktemp("cache")
    shutil.copytree(databases[1] / "db", cache / "db")

    def run(*flags: str) -> Shown:
        return shown_by_trivy(told_by_trivy(trivy, cache, image.pinned, *flags))

    return run


def shown_by_trivy(report: Mapping[str, object]) -> Shown:
    """Return the findings of a report."""
    results = report.get("Results") or []
    assert isinstance(results, list)
    found = [
        ("v", one["VulnerabilityID"], one["PkgName"], one["InstalledVersion"],
         one.get("FixedVersion", ""), one.get("PkgPath", ""), result["Target"])
        for result in results
        for one in result.get("Vulnerabilities") or ()
    ]  # fmt: skip
    hidden = [
        ("s", one["RuleID"], result["Target"])
        for result in results
        for one in result.get("Secrets") or ()
    ]
    return frozenset([*found, *hidden])


def entries(body: ReportBody, name: str) -> list[Any]:
    """Return a list of a report."""
    listed = body.report[name]
    assert isinstance(listed, list)
    return listed


def shown_by_us(
    record: tuple[ImageKey, ImageRecord],
    reference: str,
    environ: Mapping[str, str],
    trivy: Trivy | None = None,
) -> Shown:
    """Return the findings of our reports; a policy needs the program."""
    settings = load(
        {**environ, "SLUICE_ADDITIONAL_VULNERABILITY_REPORT_FIELDS": "Target,PackagePath"}
    )
    now_s = datetime.now(UTC).timestamp()
    policy = policy_for(settings.filters.ignore_policies, namespace="shop", name="web")
    hidden: frozenset[str] = frozenset()
    if policy:
        assert trivy is not None
        hidden = PolicyRun(trivy=trivy).hidden(policy, questions([record[1]]))
    context = ReportContext(
        reference=reference,
        digest=record[0].digest,
        scanner_version="",
        options=Filtering(settings).at(now_s),
        hidden=hidden,
    )
    found = [
        ("v", one["vulnerabilityID"], one["resource"], one["installedVersion"],
         one["fixedVersion"], one.get("packagePath", ""), one["target"])
        for one in entries(vulnerability.project([record], context), "vulnerabilities")
    ]  # fmt: skip
    secrets = [
        ("s", one["ruleID"], one["target"])
        for one in entries(secret.project([record], context), "secrets")
    ]
    return frozenset([*found, *secrets])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_filter_shows_what_the_command_line_shows(  # noqa: PLR0917 # fixtures
    case: Case,
    record: tuple[ImageKey, ImageRecord],
    command_line: Callable[..., Shown],
    image: Pushed,
    trivy: Trivy,
    tmp_path: Path,
) -> None:
    """What a user hid from Trivy is hidden here, and nothing else is."""
    file = tmp_path / (case.file[0] or "none")
    text = case.file[1].replace("{digest}", image.digest)
    text = text.replace("{repository}", f"{image.registry}/{image.repository}")
    file.write_text(text, encoding="utf-8")
    flags = [flag.format(file=file) for flag in case.flags]
    environ = {name: text.replace("{file}", str(file)) for name, text in case.environ.items()}
    theirs = command_line(*flags)
    assert shown_by_us(record, image.pinned, environ, trivy) == theirs
    assert (theirs != shown_by_us(record, image.pinned, {})) == case.hides


@pytest.mark.parametrize(
    ("files", "folders"),
    [
        (("/app/id_rsa",), None),
        (None, ("/app",)),
        (("**/package.json", "/app/ci.env"), ("/usr/local/lib/python3.11",)),
        (("/var/lib/dpkg/status",), ()),
        (("none",), None),
    ],
)
def test_a_workloads_skips_show_what_the_command_line_shows(  # noqa: PLR0917 # fixtures
    files: tuple[str, ...] | None,
    folders: tuple[str, ...] | None,
    scanner: RunningScanner,
    command_line: Callable[..., Shown],
    image: Pushed,
    match_url: str,
) -> None:
    """The annotations are Trivy's own options, for this workload alone."""
    options = ScanOptions().chosen(files, folders)
    key, ours = inventoried(scanner, image, match_url, options)
    flags = [
        *(f"--skip-files={one}" for one in files or ()),
        *(f"--skip-dirs={one}" for one in folders or ()),
    ]
    theirs = command_line(*flags)
    assert theirs
    assert shown_by_us((key, ours), image.pinned, {}) == theirs


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("package trivy\nignore {", "unexpected eof token"),
        ("package trivy\nignore { unknown(input) }", "undefined function"),
        ('package trivy\nignore = "yes" { true }', "must return boolean"),
    ],
)
def test_a_policy_that_cannot_be_evaluated_is_its_users_fault(
    policy: str, said: str, record: tuple[ImageKey, ImageRecord], trivy: Trivy
) -> None:
    """It must end in words about the policy, and not be tried for ever."""
    with pytest.raises(TerminalError) as caught:
        PolicyRun(trivy=trivy).hidden(policy, questions([record[1]]))
    assert caught.value.reason == "IgnorePolicyBroken"
    assert said in str(caught.value)
    assert "policy.rego" not in str(caught.value)


def test_findings_of_one_name_are_asked_about_one_by_one(trivy: Trivy) -> None:
    """Trivy keeps one of those that stand in one place; the answer must be about each."""
    twins = tuple(
        Finding(
            vulnerability_id="CVE-1", resource="a", installed_version="1", fixed_version=version
        )
        for version in ("", "2", "3")
    )
    asked = questions([ImageRecord(match=Match(db_version="", findings=twins))])
    hidden = PolicyRun(trivy=trivy).hidden(policies.policy('input.FixedVersion != "2"'), asked)
    assert hidden == {question_hash(about_finding(twins[2]))}
