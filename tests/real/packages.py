"""Writes package databases with hundreds of packages as dpkg, apk and rpm leave them. Pure."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sandbox.oci import Files
from sandbox.rpm import RpmPackage

_HERE = Path(__file__).parent
_FORM = "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deb:
    """A package of Debian."""

    name: str
    version: str
    architecture: str
    source: str  # empty: the package's own name
    source_version: str  # empty: the package's own version
    section: str
    depends: tuple[str, ...]

    @property
    def made_from(self) -> tuple[str, str]:
        """Source and its version: what advisories are about."""
        return self.source or self.name, self.source_version or self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Apk:
    """A package of Alpine; a virtual one, which `apk add -t` makes, has no origin."""

    name: str
    version: str
    origin: str
    license: str

    @property
    def made_from(self) -> tuple[str, str]:
        """Origin and version."""
        return self.origin or self.name, self.version


@cache
def debs() -> tuple[Deb, ...]:
    """Return 448 packages of Debian 12, 48 of them the second architecture of one."""
    return tuple(
        Deb(
            name=name,
            version=version,
            architecture=architecture,
            source=source,
            source_version=source_version,
            section=section,
            depends=tuple(filter(None, depends.split(","))),
        )
        for name, version, architecture, source, source_version, section, depends in _rows(
            "debian-12"
        )
    )


@cache
def apks() -> tuple[Apk, ...]:
    """Return 137 packages of Alpine 3.18."""
    return tuple(
        Apk(name=name, version=version, origin=origin, license=license_)
        for name, version, origin, license_ in _rows("alpine-3.18")
    )


@cache
def rpms() -> tuple[RpmPackage, ...]:
    """Return packages of an RPM distribution, every fifth of them for two architectures."""
    made = []
    for number, (name, version) in enumerate(dict(one.made_from for one in debs()).items()):
        upstream = version.rpartition(":")[2].partition("-")[0].replace("~", "_")
        for architecture in ("x86_64", "i686") if number % 5 == 0 else ("x86_64",):
            package = RpmPackage(
                name=name,
                version=upstream,
                release=f"{number % 9 + 1}.el9_{number % 4}",
                architecture=architecture,
            )
            made.append(package)
    return tuple(made[:200])


def _rows(name: str) -> Iterator[list[str]]:
    for line in (_HERE / f"{name}.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line.split("\t")


def dpkg(packages: Sequence[Deb]) -> Files:
    """Return `status` with these packages, some that are gone, and what dpkg keeps beside it."""
    gone = "Package: rc-{0}\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: {0}\n"
    entries = [_stanza(one) for one in packages] + [gone.format(number) for number in range(1, 9)]
    files: dict[str, str] = {"var/lib/dpkg/status": "\n".join(entries)}
    for one in packages[::7]:
        place = f"usr/share/doc/{one.name}"
        files[f"{place}/copyright"] = f"Format: {_FORM}\n\nFiles: *\nLicense: GPL-2+\n"
        files[f"var/lib/dpkg/info/{one.name}.list"] = f"/.\n/usr\n/{place}\n/{place}/copyright\n"
        files[f"var/lib/dpkg/info/{one.name}.md5sums"] = f"{'0' * 32}  {place}/copyright\n"
    return files


def distroless(packages: Sequence[Deb]) -> Files:
    """Return `status.d`, a file for each package, as images without dpkg have it."""
    files: dict[str, str] = {}
    for one in packages:
        place = f"var/lib/dpkg/status.d/{one.name}"
        files[place] = _stanza(one, status=False)
        files[f"{place}.md5sums"] = f"{'0' * 32}  usr/share/doc/{one.name}/copyright\n"
    return files


def _stanza(one: Deb, *, status: bool = True) -> str:
    source = f"{one.source} ({one.source_version})" if one.source_version else one.source
    fields = {
        "Package": one.name,
        "Status": "install ok installed" if status else "",
        "Priority": "optional",
        "Section": one.section,
        "Installed-Size": "100",
        "Maintainer": "Sample Maintainers <sample@example.invalid>",
        "Architecture": one.architecture,
        "Multi-Arch": "same" if one.name.startswith("lib") else "",
        "Source": source,
        "Version": one.version,
        "Depends": ", ".join(f"{name} (>= 0)" for name in one.depends),
        "Description": f"{one.name} of the sample\n It has a second line,\n .\n and a fourth.",
        "Homepage": "https://example.invalid/",
    }
    return "".join(f"{name}: {text}\n" for name, text in fields.items() if text)


def apk_database(packages: Sequence[Apk]) -> Files:
    """Return apk's `installed`."""
    return {"lib/apk/db/installed": "".join(map(_entry, packages))}


def _entry(one: Apk) -> str:
    checksum = b64encode(hashlib.sha1(one.name.encode(), usedforsecurity=False).digest()).decode()
    lines = [
        f"C:Q1{checksum}", f"P:{one.name}", f"V:{one.version}", "A:x86_64", "S:1000", "I:4096",
        f"T:{one.name} of the sample", "U:https://example.invalid/", f"L:{one.license}",
        *([f"o:{one.origin}", "m:Sample <sample@example.invalid>"] if one.origin else []),
        "t:1690000000", f"c:{'0' * 40}", "D:so:libc.musl-x86_64.so.1 /bin/sh", "p:so:sample.so.1=1",
        "F:usr/share", f"F:usr/share/{one.name}", "M:0:0:1755", "R:data", "a:0:0:644",
        f"Z:Q1{checksum}", "", "",
    ]  # fmt: skip
    return "\n".join(lines)
