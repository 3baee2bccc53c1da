"""Replay against Trivy's own command line, field by field, on package databases of real size."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.model.image import Finding, Inventory
from common.ops.trivy_program import Trivy
from sandbox import bolt, oci, vulndb
from sandbox.images import Pushed, Sample, push
from sandbox.packages import node, python
from sandbox.registry import Registry
from sandbox.rpm import alma
from tests.fixtures_trivy import UPDATED, VERSION, RunningScanner, inventory_job, match_server
from tests.real import database
from tests.real.packages import apk_database, apks, debs, distroless, dpkg, rpms
from tests.trivy_image import told_by_trivy
from worker.evidence.image.match import TwirpMatcher
from worker.project.union import retarget
from worker.project.vulnerability import told_once

pytestmark = pytest.mark.integration

Json = Mapping[str, Any]
SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
# What Trivy prints of a finding and we do not keep: hashes of what is kept, and references into an
# SBOM of that one run.
NOT_KEPT = {"Fingerprint"}
KEPT_OF_IDENTIFIER = "PURL"
NODE = {"lodash": "4.17.11", "minimist": "1.2.5", "semver": "7.5.1", "express": "4.18.2"}
PYTHON = {"Django": "4.2.1", "Jinja2": "3.1.2", "PyYAML": "5.3.1", "urllib3": "1.26.14"}


def release(family: str, version: str, name: str, *more: str) -> str:
    """Return an os-release."""
    lines = [f'NAME="{name}"', f"ID={family}", f'VERSION_ID="{version}"', *more]
    return "\n".join([*lines, f'PRETTY_NAME="{name} {version}"', ""])


def of_debian(version: str) -> oci.Files:
    major = version.partition(".")[0]
    text = release("debian", major, "Debian GNU/Linux")
    return {"etc/debian_version": f"{version}\n", "etc/os-release": text}


def of_alpine(version: str, repository: str) -> oci.Files:
    return {
        "etc/alpine-release": f"{version}\n",
        "etc/os-release": release("alpine", version, "Alpine Linux"),
        "etc/apk/repositories": "".join(
            f"https://dl-cdn.alpinelinux.org/alpine/{repository}/{part}\n"
            for part in ("main", "community")
        ),
    }


def twice() -> oci.Files:
    """Return libraries that are there twice: vendored, and listed by an SBOM in the image."""
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [
            {"bom-ref": f"{name}-{number}", "type": "library", "name": name, "version": version,
             "purl": f"pkg:npm/{name}@{version}"}
            for name, version in NODE.items()
            for number in range(2)
        ],
    }  # fmt: skip
    vendored = {name.replace("app/", "app/vendored/", 1): text for name, text in node(NODE).items()}
    return {**node(NODE), **vendored, **python(PYTHON), "opt/app/bom.cdx.json": json.dumps(bom)}


def two_layers() -> oci.Image:
    """Return a Debian whose second layer installs more and brings libraries."""
    return image({**of_debian("12.5"), **dpkg(debs()[:200])}, {**dpkg(debs()), **twice()})


def image(*layers: oci.Files) -> oci.Image:
    made = [oci.layer(files, f"COPY {number} / # sample") for number, files in enumerate(layers)]
    return oci.image(made, entrypoint=["/none"])


IMAGES: Mapping[str, Callable[[], oci.Image]] = {
    "debian": lambda: image({**of_debian("12.5"), **dpkg(debs())}),
    "debian-layers": two_layers,
    "debian-eol": lambda: image({**of_debian("9.13"), **dpkg(debs()[:150])}),
    "distroless": lambda: image(
        {**of_debian("12.5"), **distroless([one for one in debs() if one.architecture != "i386"])}
    ),
    "ubuntu": lambda: image(
        {
            "etc/lsb-release": "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=22.04\n",
            "etc/debian_version": "bookworm/sid\n",
            "etc/os-release": release("ubuntu", "22.04", "Ubuntu", "ID_LIKE=debian"),
            **dpkg(debs()),
        }
    ),
    "alpine": lambda: image({**of_alpine("3.18.2", "v3.18"), **apk_database(apks()), **twice()}),
    "alpine-eol": lambda: image({**of_alpine("3.10.9", "v3.10"), **apk_database(apks()[:60])}),
    "alpine-edge": lambda: image(
        {**of_alpine("3.23_alpha20250612", "edge"), **apk_database(apks())}
    ),
    "wolfi": lambda: image(
        {"etc/os-release": release("wolfi", "20230201", "Wolfi"), **apk_database(apks())}
    ),
    "alma": lambda: image(alma("9.3", rpms())),
}
END_OF_LIFE = {"debian-eol", "alpine-eol"}
LEAST = {"alma": 50, "wolfi": 60, "alpine-eol": 30, "distroless": 200}  # findings; others: 100


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a cache folder with the database."""
    folder = tmp_path_factory.mktemp("real-size")
    vulndb.build(folder, level=1, updated_at=UPDATED[1])
    bolt.write(folder / "db" / "trivy.db", database.tree())
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All who take part."""

    trivy: Trivy
    cache: Path  # a cache folder with the database
    server: str  # a match server with it
    stored: Mapping[str, Pushed]
    scanner: RunningScanner


@pytest.fixture(scope="module")
def parts(
    trivy: Trivy,
    cache: Path,
    registry: Registry,
    scanner: RunningScanner,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Parts]:
    """Give the parts, and the images in a registry."""
    wanted = [
        Sample(name=f"real-{name}", tags=("1",), build=build) for name, build in IMAGES.items()
    ]
    stored = push(registry.address, wanted)
    with match_server(trivy, cache, tmp_path_factory.mktemp("home")) as server:
        yield Parts(trivy=trivy, cache=cache, server=server, stored=stored, scanner=scanner)


def command_line(parts: Parts, reference: str, folder: Path, *flags: str) -> Json:
    """Return what Trivy itself says of the image, in a cache of its own with the same database."""
    shutil.copytree(parts.cache / "db", folder / "db")
    return told_by_trivy(parts.trivy, folder, reference, *flags)


def theirs(report: Json) -> Counter[str]:
    """Return the command line's findings, each as one text of all its fields."""
    found = []
    for result in report.get("Results") or ():
        place = {"Target": result["Target"], "Class": result["Class"], "Type": result["Type"]}
        for one in result.get("Vulnerabilities") or ():
            fields = {name: value for name, value in one.items() if name not in NOT_KEPT}
            identifier = fields.pop("PkgIdentifier", {})
            fields["PURL"] = identifier.get(KEPT_OF_IDENTIFIER)
            fields["References"] = sorted(fields.get("References") or ())
            found.append(_text({**place, **fields}))
    return Counter(found)


def ours(findings: list[Finding], inventory: Inventory, reference: str) -> Counter[str]:
    """Return the replay's findings in the same form."""
    return Counter(
        _text(
            {
                "Target": retarget(one.target, inventory, reference),
                "Class": one.package_class,
                "Type": one.package_type,
                "VulnerabilityID": one.vulnerability_id,
                "VendorIDs": one.vendor_ids,
                "PkgID": one.pkg_id,
                "PkgName": one.resource,
                "PkgPath": one.package_path,
                "PURL": one.purl,
                "InstalledVersion": one.installed_version,
                "FixedVersion": one.fixed_version,
                "Status": one.status,
                "Layer": one.layer,
                "SeveritySource": one.severity_source,
                "PrimaryURL": one.primary_link,
                "DataSource": one.data_source,
                "Title": one.title,
                "Description": one.description,
                "Severity": one.own_severity,
                "CweIDs": one.cwe_ids,
                "VendorSeverity": {
                    rater: SEVERITIES.index(word) for rater, word in one.vendor_severity.items()
                },
                "CVSS": one.cvss,
                "References": sorted(one.links),
                "PublishedDate": one.published,
                "LastModifiedDate": one.modified,
            }
        )
        for one in findings
    )


def _text(fields: Json) -> str:
    """Return the fields that have a value; times in whole seconds, as reports have them."""
    kept = {name: value for name, value in fields.items() if value}
    for name in ("PublishedDate", "LastModifiedDate"):
        if name in kept:
            kept[name] = str(kept[name]).partition(".")[0].removesuffix("Z")
    return json.dumps(kept, sort_keys=True)


def first(difference: Counter[str]) -> str:
    """Return one of what only one side has: hundreds of them say no more."""
    return next(iter(sorted(difference)), "")


def packages_of(report: Json) -> Counter[str]:
    """Return the package URLs of everything that the command line found installed."""
    return Counter(
        package["Identifier"]["PURL"]
        for result in report.get("Results") or ()
        for package in result.get("Packages") or ()
        if package.get("Identifier", {}).get("PURL")
    )


def packages_told(inventory: Inventory) -> set[str]:
    """Return those of our bill of materials."""
    assert inventory.sbom is not None
    components = inventory.sbom["components"]
    assert isinstance(components, list)
    return {one["purl"] for one in components if one.get("purl")}


def agreed(image: Pushed, report: Json, parts: Parts) -> tuple[list[Finding], Inventory]:
    """Return what our own parts found, after it was the same as what the report says."""
    job = inventory_job(image.pinned, parts.server)
    inventory = parts.scanner.scanner.inventory(job).inventory
    with closing(TwirpMatcher(parts.server)) as matcher:
        match = matcher.match(inventory)
    found = told_once(match.findings)
    assert match.db_version == VERSION[1]
    mine, cli = ours(found, inventory, image.pinned), theirs(report)
    assert (first(mine - cli), first(cli - mine)) == ("", "")
    assert mine == cli
    system = report["Metadata"].get("OS", {})
    assert (inventory.os.family, inventory.os.name, inventory.os.eosl) == (
        system.get("Family", ""),
        system.get("Name", ""),
        system.get("EOSL", False),
    )
    assert packages_told(inventory) == set(packages_of(report))
    return found, inventory


@pytest.mark.parametrize("name", IMAGES)
def test_a_replay_tells_what_the_command_line_tells(
    parts: Parts, name: str, tmp_path: Path
) -> None:
    """Every field of every finding, the release's end of life, and every package."""
    image = parts.stored[f"real-{name}"]
    report = command_line(parts, image.pinned, tmp_path)
    found, inventory = agreed(image, report, parts)
    assert len(found) >= LEAST.get(name, 100)
    assert inventory.os.eosl or name not in END_OF_LIFE


def test_a_replay_tells_what_the_command_line_tells_with_a_server(
    parts: Parts, tmp_path: Path
) -> None:
    """The other way to run Trivy. What dpkg has for two architectures is told once."""
    image = parts.stored["real-debian-layers"]
    report = command_line(parts, image.pinned, tmp_path, f"--server={parts.server}")
    found, _ = agreed(image, report, parts)
    foreign = {purl.partition("?")[0] for purl in packages_of(report) if "arch=i386" in purl}
    assert len(foreign) == 48
    twins = [one for one in found if one.purl.partition("?")[0] in foreign]
    assert len({(one.vulnerability_id, one.resource) for one in twins}) == len(twins) > 5
    assert len({one.layer["Digest"] for one in found}) == 2
    assert {one.status for one in found} >= {"fixed", "affected", "will_not_fix", "end_of_life"}


def test_every_field_counts(parts: Parts, tmp_path: Path) -> None:
    """A field that nobody compares may be anything; a new one of Trivy's shows as a difference."""
    report = command_line(parts, parts.stored["real-debian-layers"].pinned, tmp_path)
    whole, seen = theirs(report), set[str]()
    for result in report["Results"]:
        for one in result.get("Vulnerabilities") or ():
            for name in set(one) - seen - NOT_KEPT:
                kept = one[name]
                one[name] = {"PURL": "other"} if name == "PkgIdentifier" else "other"
                assert theirs(report) != whole, name
                one[name] = kept
                seen.add(name)
    assert {"Status", "SeveritySource", "VendorIDs", "PkgPath", "CVSS", "Layer"} <= seen
