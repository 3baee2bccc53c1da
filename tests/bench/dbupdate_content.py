"""A thousand inventories of a realistic size mix, and databases that change a tenth of them. Pure.

Sizes are those of common base images: Alpine 16 to 40 packages, Debian slim about 100, full Debian
up to 700, and libraries of npm and PyPI on top. A fifth of Debian's packages have unfixed findings,
as the public database has them. Names are made up.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from sandbox import bolt
from sandbox.oci import json_bytes

LAYERS = 6  # one holds the system's packages, one the application's, the others files only
CHANGED = "libchanged"  # each database has one finding more in it than the one before
CHANGED_EVERY = 10  # every tenth image has it
_DEBIAN, _ALPINE = "debian 12", "alpine 3.20"
_NPM, _PIP = "npm::GitHub Security Advisory npm", "pip::GitHub Security Advisory pip"
_SOURCES = {
    _DEBIAN: ("debian", "Debian Security Tracker", "https://security-tracker.debian.org"),
    _ALPINE: ("alpine", "Alpine Secdb", "https://secdb.alpinelinux.org/"),
    _NPM: ("ghsa", "GitHub Security Advisory npm", "https://github.com/advisories"),
    _PIP: ("ghsa", "GitHub Security Advisory pip", "https://github.com/advisories"),
}
_POOL = {_DEBIAN: 900, _ALPINE: 300, _NPM: 3000, _PIP: 800}  # names to choose from
# Of a package of each system: how likely it has findings, and how many at most.
_LIKELY = {_DEBIAN: (0.2, 6), _ALPINE: (0.05, 2), _NPM: (0.04, 2), _PIP: (0.06, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One sort of image: how often, and how many packages of what."""

    share: float
    system: str
    packages: tuple[int, int]
    npm: tuple[int, int] = (0, 0)
    pip: tuple[int, int] = (0, 0)


FAMILIES = (
    Family(share=0.25, system=_ALPINE, packages=(16, 40)),
    Family(share=0.15, system=_DEBIAN, packages=(4, 8), pip=(0, 30)),  # distroless
    Family(share=0.25, system=_DEBIAN, packages=(88, 110), npm=(150, 400)),
    Family(share=0.15, system=_DEBIAN, packages=(88, 130), pip=(40, 120)),
    Family(share=0.15, system=_DEBIAN, packages=(410, 700), npm=(0, 200)),
    Family(share=0.05, system=_DEBIAN, packages=(600, 720), npm=(800, 1200)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What Trivy would have found in one image, in the words of its server's cache."""

    number: int
    packages: int
    changes: bool
    blobs: Mapping[str, Mapping[str, Any]]  # blob id → BlobInfo

    @property
    def digest(self) -> str:
        """The image's digest."""
        return _sha(f"image {self.number}")

    @property
    def artifact_id(self) -> str:
        """The key of the artifact in Trivy's cache."""
        return _sha(f"artifact {self.number}")


def images(number: int, *, seed: int = 7) -> Iterator[Image]:
    """Yield that many images, always the same ones."""
    draw = random.Random(seed)  # noqa: S311 # no secret
    weights = [family.share for family in FAMILIES]
    for at in range(number):
        (family,) = draw.choices(FAMILIES, weights)
        yield _image(at, family, draw)


def _image(at: int, family: Family, draw: random.Random) -> Image:
    changes = at % CHANGED_EVERY == 0
    system = _names(family.system, family.packages, draw)
    system += [CHANGED] if changes and family.system == _DEBIAN else []
    npm, pip = _names(_NPM, family.npm, draw), _names(_PIP, family.pip, draw)
    pip += [CHANGED] if changes and family.system != _DEBIAN else []
    name, _, release = family.system.partition(" ")
    bodies: list[dict[str, Any]] = [{} for _ in range(LAYERS)]
    path = "lib/apk/db/installed" if name == "alpine" else "var/lib/dpkg/status"
    bodies[0] = {
        "os": {"family": name, "name": release},
        "package_infos": [{"file_path": path, "packages": [_package(name, one) for one in system]}],
    }
    bodies[-1] = {
        "applications": [
            {"type": kind, "file_path": file, "packages": [_library(one) for one in libraries]}
            for kind, file, libraries in (
                ("npm", "app/package-lock.json", npm),
                ("pip", "app/requirements.txt", pip),
            )
            if libraries
        ]
    }
    blobs = {}
    for layer, body in enumerate(bodies):
        identity = _sha(f"layer {at} {layer}")
        head = {"schema_version": 2, "digest": identity, "diff_id": identity}
        blobs[identity] = {**head, **body}
    return Image(
        number=at, packages=len(system) + len(npm) + len(pip), changes=changes, blobs=blobs
    )


def _names(system: str, span: tuple[int, int], draw: random.Random) -> list[str]:
    return [
        f"{system.split(':', maxsplit=1)[0].split(maxsplit=1)[0]}-lib{one}"
        for one in draw.sample(range(_POOL[system]), draw.randint(*span))
    ]


def _package(system: str, name: str) -> dict[str, Any]:
    version = "1.4.2-r3" if system == "alpine" else "1.4.2-3"
    return {
        "id": f"{name}@{version}",
        "name": name,
        "version": version.partition("-")[0] if system == "debian" else version,
        "release": "3" if system == "debian" else "",
        "arch": "amd64",
        "src_name": name,
        "src_version": version.partition("-")[0] if system == "debian" else version,
        "src_release": "3" if system == "debian" else "",
        "licenses": ["MIT"],
        "identifier": {"purl": f"pkg:{'apk' if system == 'alpine' else 'deb'}/{name}@{version}"},
    }


def _library(name: str) -> dict[str, Any]:
    return {
        "id": f"{name}@1.2.3",
        "name": name,
        "version": "1.2.3",
        "identifier": {"purl": f"pkg:generic/{name}@1.2.3"},
    }


def database(number: int, *, seed: int = 7) -> bolt.Tree:
    """Return the buckets of the database of that number: 0 is the first."""
    draw = random.Random(seed)  # noqa: S311 # no secret
    found: dict[str, dict[str, dict[str, bytes]]] = {system: {} for system in _SOURCES}
    details: dict[str, bytes] = {}
    serial = count(10_000)

    def add(system: str, package: str, identifier: str) -> None:
        found[system].setdefault(package, {})[identifier] = json_bytes(_advisory(system))
        details[identifier] = json_bytes(_details(identifier, package))

    for system, (likely, most) in _LIKELY.items():
        prefix = system.split(":")[0].split()[0]
        for one in range(_POOL[system]):
            if draw.random() < likely:
                for _ in range(draw.randint(1, most)):
                    add(system, f"{prefix}-lib{one}", f"CVE-2025-{next(serial)}")
    for system in (_DEBIAN, _PIP):
        for one in range(number + 1):
            add(system, CHANGED, f"CVE-2026-{90_000 + one}")
    sources = {
        system: json_bytes({"ID": identity, "Name": name, "URL": url})
        for system, (identity, name, url) in _SOURCES.items()
    }
    return {"vulnerability": details, "data-source": sources, **found}


def _advisory(system: str) -> dict[str, object]:
    if "::" in system:
        return {"VulnerableVersions": ["<2.0.0"], "PatchedVersions": ["2.0.0"]}
    return {"FixedVersion": "1.9.0-r0"} if system == _ALPINE else {"Status": 2, "Severity": 2}


def _details(identifier: str, package: str) -> dict[str, object]:
    """Return about as many bytes as the public database has on a vulnerability."""
    text = f"A flaw was found in {package}. A crafted request may exhaust its memory. "
    return {
        "Title": f"{package}: denial of service by a crafted request",
        "Description": text * 5,
        "Severity": "HIGH",
        "CweIDs": ["CWE-400"],
        "VendorSeverity": {"nvd": 3, "redhat": 2, "ghsa": 3, "debian": 2},
        "CVSS": {
            "nvd": {"V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", "V3Score": 7.5},
            "redhat": {"V3Vector": "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H", "V3Score": 5.9},
        },
        "References": [f"https://example.com/advisories/{identifier}/{one}" for one in range(8)],
        "PublishedDate": "2025-06-01T10:00:00Z",
        "LastModifiedDate": "2025-07-01T10:00:00Z",
    }


def _sha(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
