"""Writes package databases as apk, dpkg, pip and npm leave them in an image.

Promise: Trivy reads each of them as it reads the real thing. Pure. The packages are names and
versions only; none of their files exists.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox.oci import Files, json_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An installed operating system package; advisories name its `source`."""

    name: str
    version: str
    source: str
    license: str


def apk(name: str, version: str, license_: str, *, source: str = "") -> Package:
    """Return an Alpine package; most are their own source."""
    return Package(name=name, version=version, source=source or name, license=license_)


def deb(name: str, version: str, license_: str, *, source: str = "") -> Package:
    """Return a Debian package; most are their own source."""
    return Package(name=name, version=version, source=source or name, license=license_)


def alpine(release: str, packages: Sequence[Package], *, architecture: str = "x86_64") -> Files:
    """Return the files that make an image Alpine `release` (`3.18.2`) with `packages`."""
    branch = release.rpartition(".")[0]
    return {
        "etc/alpine-release": f"{release}\n",
        "etc/apk/repositories": f"https://dl-cdn.alpinelinux.org/alpine/v{branch}/main\n",
        "etc/os-release": (
            f'NAME="Alpine Linux"\nID=alpine\nVERSION_ID={release}\n'
            f'PRETTY_NAME="Alpine Linux v{branch}"\n'
        ),
        "lib/apk/db/installed": "".join(_apk_entry(each, architecture) for each in packages),
    }


def _apk_entry(package: Package, architecture: str) -> str:
    checksum = hashlib.sha1(package.name.encode(), usedforsecurity=False).digest()
    return (
        f"C:Q1{b64encode(checksum).decode()}\nP:{package.name}\nV:{package.version}\n"
        f"A:{architecture}\nS:1000\nI:4096\nT:{package.name}\nU:https://alpinelinux.org\n"
        f"L:{package.license}\no:{package.source}\nm:Sample <sample@example.invalid>\n"
        "t:1690000000\n\n"
    )


def debian(release: str, packages: Sequence[Package]) -> Files:
    """Return the files that make an image Debian `release` (`12.1`) with `packages`."""
    major = release.partition(".")[0]
    copyrights = {
        f"usr/share/doc/{each.name}/copyright": _copyright(each.license) for each in packages
    }
    return {
        "etc/debian_version": f"{release}\n",
        "etc/os-release": (
            f'PRETTY_NAME="Debian GNU/Linux {major}"\nNAME="Debian GNU/Linux"\n'
            f'VERSION_ID="{major}"\nID=debian\n'
        ),
        "var/lib/dpkg/status": "\n".join(_dpkg_entry(each) for each in packages),
        **copyrights,
    }


def _dpkg_entry(package: Package) -> str:
    source = f"Source: {package.source}\n" if package.source != package.name else ""
    return (
        f"Package: {package.name}\nStatus: install ok installed\nPriority: optional\n"
        f"Section: misc\nInstalled-Size: 100\nMaintainer: Sample <sample@example.invalid>\n"
        f"Architecture: amd64\n{source}Version: {package.version}\nDescription: {package.name}\n"
    )


def _copyright(license_: str) -> str:
    form = "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
    return f"Format: {form}\n\nFiles: *\nLicense: {license_}\n"


def python(versions: Mapping[str, str]) -> Files:
    """Return what pip leaves of each package (name → version): its `dist-info`."""
    files: dict[str, str] = {}
    for name, version in versions.items():
        folder = f"usr/local/lib/python3.11/site-packages/{name}-{version}.dist-info"
        files[f"{folder}/METADATA"] = (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: Apache-2.0\n\n"
        )
        files[f"{folder}/RECORD"] = ""
    return files


def node(versions: Mapping[str, str]) -> Files:
    """Return what npm leaves of each package (name → version) below `app`."""
    return {
        f"app/node_modules/{name}/package.json": json_bytes(
            {"name": name, "version": version, "license": "MIT"}
        )
        for name, version in versions.items()
    }
