"""Every filter against Trivy's own command line: the same image and wish, the same findings."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.model.image import ImageRecord
from common.model.key import ImageKey
from common.ops.trivy_program import Trivy
from common.reports.body import ReportBody
from common.settings.load import load
from sandbox import oci, planted
from sandbox.images import Pushed, Sample, push
from sandbox.packages import deb, debian, node, python
from sandbox.pause_elf import go_build_info, pause
from sandbox.registry import Registry
from tests.fixtures_trivy import RunningScanner, inventory_job
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.trivy_cli import child_environment
from worker.filtering import Filtering
from worker.project import secret, vulnerability
from worker.project.context import ReportContext

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


@dataclass(frozen=True, kw_only=True)
class Case:
    """One wish; `{file}` stands for the path of the file with this name and text."""

    name: str
    flags: tuple[str, ...]
    environ: Mapping[str, str]
    file: tuple[str, str] = ("", "")
    hides: bool = True  # False: the command line shows everything too
    more: Mapping[str, str] = field(default_factory=dict)  # of the command line's environment


def ignoring(name: str, text: str, *, plain: bool = False, hides: bool = True) -> Case:
    """Return a case of an ignore file."""
    return Case(
        name=name,
        flags=("--ignorefile={file}",),
        environ={"TRIVY_IGNOREFILE": "{file}"},
        file=("ignore" if plain else "ignore.yaml", text),
        hides=hides,
    )


SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
STATUSES = ("affected", "fixed", "will_not_fix", "affected,will_not_fix", "end_of_life")
CASES = (
    Case(name="nothing", flags=(), environ={}, hides=False),
    *(
        Case(name=f"severity {one}", flags=(f"--severity={one}",), environ={"TRIVY_SEVERITY": one})
        for one in (*SEVERITIES, "LOW,CRITICAL")
    ),
    Case(
        name="ignore-unfixed",
        flags=("--ignore-unfixed",),
        environ={"TRIVY_IGNORE_UNFIXED": "true"},
    ),
    *(
        Case(
            name=f"ignore-status {one}",
            flags=(f"--ignore-status={one}",),
            environ={"TRIVY_IGNORE_STATUS": one},
            hides=one != "end_of_life",
        )
        for one in STATUSES
    ),
    Case(
        name="ignore-unfixed with ignore-status",
        flags=("--ignore-unfixed", "--ignore-status=fixed"),
        environ={"TRIVY_IGNORE_UNFIXED": "true", "TRIVY_IGNORE_STATUS": "fixed"},
    ),
    *(
        Case(name=f"{one} only", flags=(f"--pkg-types={one}",), environ={"TRIVY_PKG_TYPES": one})
        for one in ("os", "library")
    ),
    Case(name="vuln-type", flags=("--pkg-types=os",), environ={"TRIVY_VULN_TYPE": "os"}),
    ignoring("plain", "# why\n\nCVE-2023-4911\n  CVE-2019-10744 since it is ours\n", plain=True),
    ignoring("plain, a secret", "private-key\nPRIVATE-KEY\n", plain=True),
    ignoring("plain, ended", "CVE-2023-4911 exp:2020-01-31", plain=True, hides=False),
    ignoring("plain, not ended", "CVE-2023-4911 exp:2199-01-31", plain=True),
    ignoring("plain, not so written", "cve-2023-4911", plain=True, hides=False),
    ignoring("yaml", "vulnerabilities:\n  - id: CVE-2023-4911\n    statement: ours\n"),
    ignoring("yaml, wrong list", "secrets:\n  - id: CVE-2023-4911\n", hides=False),
    ignoring("yaml, secrets", "secrets: [{id: private-key, paths: [/app/id_*]}, {id: github-pat}]"),
    ignoring("yaml, ended", "vulnerabilities: [{id: CVE-2023-4911, expired_at: 2020-01-31}]",
             hides=False),
    ignoring("yaml, not ended", "vulnerabilities: [{id: CVE-2023-4911, expired_at: 2199-01-31}]"),
    ignoring(
        "yaml, ended at a time",
        "vulnerabilities: [{id: CVE-2023-4911, expired_at: 2020-01-31T10:00:00+02:00}]",
        hides=False,
    ),
    *(
        ignoring(
            f"path {path}",
            f"vulnerabilities: [{{id: CVE-2019-10744, paths: ['{path}']}}]\n"
            f"secrets: [{{id: private-key, paths: ['{path}']}}]",
            hides=hides,
        )
        for path, hides in {
            "app/node_modules/lodash/package.json": True,
            "app/node_modules/**": True,
            "app/**/package.json": True,
            "**/package.json": True,
            "**": True,
            "*": True,  # the target, `Node.js`
            "app/*/package.json": False,
            "app/node_modules/{lodash,left-pad}/package.json": True,
            "app/node_modules/[k-m]odash/package.json": True,
            "app/node_modules/[!k-m]odash/package.json": False,
            "app/node_modules/lodash": False,
            "Node.js": True,
            "/app/id_rsa": True,
            "/app/**": True,
            "app/id_rsa": False,
        }.items()
    ),
    *(
        ignoring(
            f"package {purl}",
            f"vulnerabilities: [{{id: {one}, purls: ['{purl}']}}]",
            hides=hides,
        )
        for purl, one, hides in (
            ("pkg:deb/debian/libc6@2.36-9+deb12u1", "CVE-2023-4911", True),
            ("pkg:deb/debian/libc6", "CVE-2023-4911", True),
            ("pkg:deb/Debian/LIBC6?arch=amd64", "CVE-2023-4911", True),
            ("pkg:deb/debian/libc6?arch=arm64", "CVE-2023-4911", False),
            ("pkg:deb/ubuntu/libc6", "CVE-2023-4911", False),
            ("pkg:deb/debian/libc6@2.36", "CVE-2023-4911", False),
            ("pkg:deb/debian/zlib1g@1.2.13.dfsg-1?epoch=1", "CVE-2023-45853", True),
            ("pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1", "CVE-2023-45853", False),
            ("pkg:npm/lodash@4.17.11", "CVE-2019-10744", True),
            ("pkg:pypi/DJANGO", "CVE-2023-36053", True),
            ("pkg:npm/django", "CVE-2023-36053", False),
        )
    ),
    ignoring(
        "path or package",
        "vulnerabilities: [{id: CVE-2019-10744, paths: [none]},"
        " {id: CVE-2019-10744, purls: ['pkg:npm/lodash']}]",
    ),
    Case(
        name="a rule before a severity",
        flags=("--ignorefile={file}", "--severity=HIGH,CRITICAL"),
        environ={"TRIVY_IGNOREFILE": "{file}", "TRIVY_SEVERITY": "HIGH,CRITICAL"},
        file=("ignore", "CVE-2023-4911"),
    ),
)  # fmt: skip


def open_vex(*statements: Mapping[str, object], **fields: object) -> str:
    """Return an OpenVEX document; the fields that a statement lacks are filled in."""
    filled = [
        {"status": "not_affected", "justification": "vulnerable_code_not_present", **one}
        for one in statements
    ]
    head = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://example.invalid/vex",
        "author": "somebody",
        "timestamp": "2026-01-01T00:00:00Z",
        "version": 1,
    }
    return json.dumps({**head, **fields, "statements": filled})


def about(name: str, *products: object, **fields: object) -> dict[str, object]:
    """Return a statement about products, given by their package URLs or whole."""
    listed = [{"@id": one} if isinstance(one, str) else one for one in products]
    return {"vulnerability": {"name": name}, "products": listed, **fields}


def csaf(status: Mapping[str, object], *relations: object, names: Sequence[object] = ()) -> str:
    """Return a CSAF document about CVE-2023-4911."""
    products = [
        {"product_id": name, "name": name, "product_identification_helper": {"purl": purl}}
        for name, purl in CSAF_PRODUCTS.items()
    ]
    first, *others = products
    return json.dumps({
        "document": {"category": "csaf_vex", "csaf_version": "2.0", "title": "x"},
        "product_tree": {
            "branches": [{"category": "vendor", "name": "v", "branches": [
                {"category": "product_version", "name": "1", "product": first}]}],
            "full_product_names": others,
            "relationships": list(relations),
        },
        "vulnerabilities": [{"cve": "CVE-2023-4911", "product_status": status}, *names],
    })  # fmt: skip


CSAF_PRODUCTS = {
    "libc6": "pkg:deb/debian/libc6",
    "bin": "pkg:deb/debian/libc-bin@2.36-9+deb12u1?arch=amd64",
    "image": "pkg:oci/filters",
    "other": "pkg:oci/other",
}
INSIDE = {
    "category": "default_component_of",
    "product_reference": "libc6",
    "relates_to_product_reference": "image",
    "full_product_name": {"product_id": "libc6-in-image", "name": "libc6 in the image"},
}
LIBC6 = "pkg:deb/debian/libc6@2.36-9+deb12u1"
LODASH = "pkg:npm/lodash@4.17.11"
CVE = "CVE-2023-4911"
GO_CVE, NET, MAIN = "CVE-2023-39325", "pkg:golang/golang.org/x/net", "pkg:golang/example.com/app"
TWO = (about(CVE, LIBC6), about(CVE, LIBC6, status="affected"))
DATED = (
    about(CVE, LIBC6, timestamp="2026-03-01T00:00:00Z"),
    about(CVE, LIBC6, status="affected", timestamp="2026-02-01T00:00:00Z"),
)
VEX = {
    "a package": (open_vex(about(CVE, LIBC6)), True),
    "a package without a version": (open_vex(about(CVE, "pkg:deb/debian/libc6")), True),
    "a package of another version": (open_vex(about(CVE, "pkg:deb/debian/libc6@1")), False),
    "a package with a qualifier": (open_vex(about(CVE, f"{LIBC6}?arch=amd64")), True),
    "a package of another architecture": (open_vex(about(CVE, f"{LIBC6}?arch=arm64")), False),
    "a package and a path": (open_vex(about(CVE, f"{LIBC6}#usr/lib")), True),
    "fixed": (open_vex(about(CVE, LIBC6, status="fixed")), True),
    "affected": (open_vex(about(CVE, LIBC6, status="affected")), False),
    "being looked into": (open_vex(about(CVE, LIBC6, status="under_investigation")), False),
    "another vulnerability": (open_vex(about("CVE-1999-0001", LIBC6)), False),
    "an alias": (
        open_vex({**about("X", LIBC6), "vulnerability": {"name": "X", "aliases": [CVE]}}),
        True,
    ),
    "an address": (open_vex({**about("X", LIBC6), "vulnerability": {"@id": CVE}}), True),
    "an identifier": (open_vex(about(CVE, {"identifiers": {"purl": LIBC6}})), True),
    "another identifier": (open_vex(about(CVE, {"identifiers": {"cpe23": LIBC6}})), False),
    "the image": (open_vex(about(CVE, "pkg:oci/filters")), True),
    "the image's repository": (
        open_vex(about(CVE, "pkg:oci/filters?repository_url={repository}")),
        True,
    ),
    "the image's architecture": (open_vex(about(CVE, "pkg:oci/filters?arch=amd64")), True),
    "the image's digest": (open_vex(about(CVE, "pkg:oci/filters@{digest}")), True),
    "another image": (open_vex(about(CVE, "pkg:oci/other")), False),
    "another repository": (
        open_vex(about(CVE, "pkg:oci/filters?repository_url=elsewhere/filters")),
        False,
    ),
    "a package in the image": (
        open_vex(about(CVE, {"@id": "pkg:oci/filters", "subcomponents": [{"@id": LIBC6}]})),
        True,
    ),
    "another package in the image": (
        open_vex(about(CVE, {"@id": "pkg:oci/filters", "subcomponents": [{"@id": LODASH}]})),
        False,
    ),
    "a package in itself": (
        open_vex(about(CVE, {"@id": LIBC6, "subcomponents": [{"@id": LODASH}]})),
        True,
    ),
    "a package of a language": (open_vex(about("CVE-2019-10744", LODASH)), True),
    "a module": (open_vex(about(GO_CVE, NET)), True),
    "what a module is in": (open_vex(about(GO_CVE, MAIN)), True),
    "a module in what it is in": (
        open_vex(about(GO_CVE, {"@id": MAIN, "subcomponents": [{"@id": NET}]})),
        True,
    ),
    "a module in something else": (
        open_vex(about(GO_CVE, {"@id": LODASH, "subcomponents": [{"@id": NET}]})),
        False,
    ),
    "two statements of one age": (open_vex(*TWO), True),
    "two statements of one age, turned round": (open_vex(*reversed(TWO)), False),
    "two statements, the older last": (open_vex(*DATED), True),
    "two statements, the older first": (open_vex(*reversed(DATED)), True),
    "a statement older than its document": (
        open_vex(DATED[1], about(CVE, LIBC6), timestamp="2026-02-02T00:00:00Z"),
        True,
    ),
    "a statement younger than its document": (
        open_vex(about(CVE, LIBC6), DATED[1], timestamp="2026-01-01T00:00:00Z"),
        False,
    ),
    "no statements": (open_vex(), False),
    "csaf, a package": (csaf({"known_not_affected": ["libc6"]}), True),
    "csaf, fixed": (csaf({"fixed": ["bin"]}), True),
    "csaf, affected": (csaf({"known_affected": ["libc6"]}), False),
    "csaf, the image": (csaf({"known_not_affected": ["image"]}), True),
    "csaf, another image": (csaf({"known_not_affected": ["other"]}), False),
    "csaf, inside": (csaf({"known_not_affected": ["libc6-in-image"]}, INSIDE), True),
    "csaf, inside by another word": (
        csaf({"fixed": ["libc6-in-image"]}, {**INSIDE, "category": "optional_component_of"}),
        False,
    ),
    "csaf, inside another": (
        csaf({"fixed": ["libc6-in-image"]}, {**INSIDE, "relates_to_product_reference": "other"}),
        False,
    ),
    "csaf, the first of two": (
        csaf(
            {"known_affected": ["libc6"]},
            names=[{"cve": CVE, "product_status": {"fixed": ["libc6"]}}],
        ),
        False,
    ),
}
CASES = (*CASES, *(
    Case(name=f"vex: {name}", flags=("--vex={file}",), environ={"TRIVY_VEX": "{file}"},
         file=("vex.json", text), hides=hides)
    for name, (text, hides) in VEX.items()
))  # fmt: skip


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

    def run(*flags: str, more: Mapping[str, str]) -> Shown:
        argv = (
            trivy.path, "image", "--quiet", f"--cache-dir={cache}", "--image-src=remote",
            "--scanners=vuln,secret", "--image-config-scanners=secret", "--format=json",
            *flags, image.pinned,
        )  # fmt: skip
        ended = subprocess.run(
            argv,
            env=child_environment(more, cache, more=more),
            cwd=cache,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return shown_by_trivy(json.loads(ended.stdout))

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
    record: tuple[ImageKey, ImageRecord], reference: str, environ: Mapping[str, str]
) -> Shown:
    """Return the findings of our reports."""
    settings = load(
        {**environ, "SLUICE_ADDITIONAL_VULNERABILITY_REPORT_FIELDS": "Target,PackagePath"}
    )
    now_s = datetime.now(UTC).timestamp()
    context = ReportContext(
        reference=reference,
        digest=record[0].digest,
        scanner_version="",
        options=Filtering(settings).at(now_s),
    )
    found = [
        ("v", one["vulnerabilityID"], one["resource"], one["installedVersion"],
         one["fixedVersion"], one.get("packagePath", ""), one["target"])
        for one in entries(vulnerability.project([record], context), "vulnerabilities")
    ]  # fmt: skip
    hidden = [
        ("s", one["ruleID"], one["target"])
        for one in entries(secret.project([record], context), "secrets")
    ]
    return frozenset([*found, *hidden])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_filter_shows_what_the_command_line_shows(
    case: Case,
    record: tuple[ImageKey, ImageRecord],
    command_line: Callable[..., Shown],
    image: Pushed,
    tmp_path: Path,
) -> None:
    """What a user hid from Trivy is hidden here, and nothing else is."""
    file = tmp_path / (case.file[0] or "none")
    text = case.file[1].replace("{digest}", image.digest)
    text = text.replace("{repository}", f"{image.registry}/{image.repository}")
    file.write_text(text, encoding="utf-8")
    flags = [flag.format(file=file) for flag in case.flags]
    environ = {name: text.replace("{file}", str(file)) for name, text in case.environ.items()}
    theirs = command_line(*flags, more=case.more)
    assert shown_by_us(record, image.pinned, environ) == theirs
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
    theirs = command_line(*flags, more={})
    assert theirs
    assert shown_by_us((key, ours), image.pinned, {}) == theirs
