"""What is kept of an image of everyday size, in Trivy's own shapes. Pure, always the same.

Calibrated by a Debian 12 of 719 packages, scanned by Trivy 0.76: its SBOM packs to 70 bytes a
package, this one's to a little more.
"""

from __future__ import annotations

import random

import msgspec

from common.model.image import Inventory, Os
from worker.evidence.image.cyclonedx import reduce_bom

_DIGEST = "sha256:" + "c" * 64
TARGET = f"registry.example/team/app@{_DIGEST}"
_SYLLABLES = (
    *("lib", "ssl", "core", "util", "py", "net", "gtk", "perl", "dev", "data", "x", "icu", "gl"),
    *("krb", "sys", "auth", "pam", "zip", "xml", "json", "curl", "git", "man", "db", "tex", "ai"),
)
_WORDS = (
    *("buffer", "overflow", "null", "pointer", "crafted", "file", "remote", "attacker", "denial"),
    *("service", "heap", "stack", "memory", "leak", "integer", "parse", "function", "allows"),
    *("before", "handling", "certificate", "header", "decode", "read", "write", "race", "path"),
    *("condition", "symlink", "traversal", "local", "user", "kernel", "entity", "expression"),
)
Package = tuple[str, str, str]  # name, version, purl


def packages(number: int, *, seed: int = 7) -> list[Package]:
    """Return that many packages of Debian."""
    draw = random.Random(seed)  # noqa: S311 # no secret
    found = []
    for at in range(number):
        name = "".join(draw.choices(_SYLLABLES, k=draw.randint(2, 3))) + f"{at % 97 or ''}"
        version = f"{draw.randint(0, 12)}.{draw.randint(0, 40)}.{draw.randint(0, 9)}"
        version += f"-{draw.randint(1, 9)}" + draw.choice(("", "", "+deb12u1", "+b1"))
        purl = f"pkg:deb/debian/{name}@{version}?arch=amd64&distro=debian-12.5"
        found.append((name, version, purl))
    return found


def inventory(known: list[Package], *, seed: int = 7) -> Inventory:
    """Return what the scanner hands over of an image with these packages."""
    draw = random.Random(seed)  # noqa: S311 # no secret
    root = {"bom-ref": "00000000-0000-4000-8000-000000000000", "type": "container", "name": TARGET}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {"component": root},
        "components": [_component(*one, draw) for one in known],
        "dependencies": [
            {
                "ref": purl,
                "dependsOn": [other[2] for other in draw.sample(known, draw.randint(0, 8))],
            }
            for _, _, purl in known
        ],
    }
    return Inventory(
        scanner_version="0.76.0",
        artifact_id=_digest(draw),
        blob_ids=tuple(_digest(draw) for _ in range(7)),
        target=TARGET,
        os=Os(family="debian", name="12.5"),
        covered=True,
        has_packages=True,
        sbom=reduce_bom(document, scanner_version="0.76.0"),
    )


def _component(name: str, version: str, purl: str, draw: random.Random) -> dict[str, object]:
    upstream, _, release = version.partition("-")
    properties = {
        "LayerDiffID": _DIGEST,
        "PkgID": f"{name}@{version}",
        "PkgType": "debian",
        "SrcName": name if draw.random() < 0.5 else name.rstrip("0123456789"),
        "SrcRelease": release,
        "SrcVersion": upstream,
    }
    return {
        "bom-ref": purl,
        "type": "library",
        "supplier": {"name": f"{draw.choice(_SYLLABLES)} team <{draw.choice(_WORDS)}@debian.org>"},
        "name": name,
        "version": version,
        "licenses": [{"license": {"name": draw.choice(("GPL-2.0-only", "MIT", "LGPL-2.1"))}}],
        "purl": purl,
        "properties": [
            {"name": f"aquasecurity:trivy:{key}", "value": value}
            for key, value in properties.items()
        ],
    }


def answer(known: list[Package], number: int, *, seed: int = 7) -> bytes:
    """Return what the match server says of them: that many findings, as the public database has."""
    draw = random.Random(seed)  # noqa: S311 # no secret
    found = [_vulnerability(draw.choice(known), draw) for _ in range(number)]
    result = {
        "target": f"{TARGET} (debian 12.5)",
        "class": "os-pkgs",
        "type": "debian",
        "vulnerabilities": found,
    }
    return msgspec.json.encode({"results": [result]})


def _vulnerability(package: Package, draw: random.Random) -> dict[str, object]:
    name, version, purl = package
    identifier = f"CVE-20{draw.randint(16, 26)}-{draw.randint(1000, 59999)}"
    return {
        "vulnerability_id": identifier,
        "pkg_id": f"{name}@{version}",
        "pkg_name": name,
        "installed_version": version,
        "fixed_version": "" if draw.random() < 0.6 else f"{version}.1",
        "status": draw.choice((2, 3, 6)),
        "title": f"{name}: {_text(draw, 8)}",
        "description": _text(draw, 60),
        "references": _references(identifier, draw),
        "pkg_identifier": {"purl": purl},
        "severity_source": "debian",
        "severity": draw.choice(("LOW", "MEDIUM", "HIGH")),
        "vendor_severity": {"debian": "LOW", "nvd": "HIGH", "redhat": "MEDIUM"},
        "cvss": {
            "nvd": {"v3_vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", "v3_score": 7.5},
            "redhat": {
                "v3_vector": "CVSS:3.1/AV:L/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:H",
                "v3_score": draw.choice((3.3, 5.5)),
            },
        },
        "primary_url": f"https://avd.aquasec.com/nvd/{identifier.lower()}",
        "published_date": _moment(draw),
        "last_modified_date": _moment(draw),
        "cwe_ids": [f"CWE-{draw.choice((79, 119, 125, 400, 787))}"],
        "layer": {"digest": _DIGEST, "diff_id": _DIGEST},
        "data_source": {
            "id": "debian",
            "name": "Debian Security Tracker",
            "url": "https://salsa.debian.org/security-tracker-team/security-tracker",
        },
    }


def _references(identifier: str, draw: random.Random) -> list[str]:
    return [
        f"https://access.redhat.com/security/cve/{identifier}",
        f"https://github.com/{draw.choice(_WORDS)}/commit/{draw.getrandbits(160):040x}",
        f"https://nvd.nist.gov/vuln/detail/{identifier}",
        f"https://www.cve.org/CVERecord?id={identifier}",
        f"https://ubuntu.com/security/notices/USN-{draw.randint(1000, 7000)}-1",
        f"https://lists.debian.org/{draw.choice(_WORDS)}/{draw.getrandbits(40)}",
    ]


def _text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(_WORDS, k=words))


def _moment(draw: random.Random) -> str:
    day = f"20{draw.randint(16, 26)}-0{draw.randint(1, 9)}-{draw.randint(10, 28)}"
    return f"{day}T{draw.randint(10, 23)}:15:{draw.randint(10, 59)}.{draw.randint(100, 999)}Z"


def _digest(draw: random.Random) -> str:
    return f"sha256:{draw.getrandbits(256):064x}"
