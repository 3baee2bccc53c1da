"""Writes the package database of an RPM distribution, as `rpm` leaves it in an image.

Promise: Trivy reads it as it reads the real thing. Pure, but for a temporary file, because SQLite
writes no database elsewhere. The packages are names and versions only.
Source: the header format of RPM 4 (`lib/header.c`), without an immutable region.
"""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sandbox.oci import Files

_INT32, _STRING = 4, 6
_NAME, _VERSION, _RELEASE, _SIZE, _VENDOR = 1000, 1001, 1002, 1009, 1011
_LICENSE, _ARCHITECTURE, _SOURCE = 1014, 1022, 1044


@dataclass(frozen=True, slots=True, kw_only=True)
class RpmPackage:
    """An installed package; multilib installs one name for several architectures."""

    name: str
    version: str
    release: str
    architecture: str = "x86_64"
    license: str = "ASL 2.0"

    @property
    def source(self) -> str:
        """The source package; these are their own."""
        return f"{self.name}-{self.version}-{self.release}.src.rpm"


def alma(release: str, packages: Sequence[RpmPackage]) -> Files:
    """Return the files that make an image AlmaLinux `release` (`9.3`) with `packages`."""
    return {
        "etc/redhat-release": f"AlmaLinux release {release} (Shamrock Pampas Gazelle)\n",
        "etc/os-release": f'NAME="AlmaLinux"\nID="almalinux"\nVERSION_ID="{release}"\n',
        "var/lib/rpm/rpmdb.sqlite": _database(packages),
    }


def _database(packages: Sequence[RpmPackage]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "rpmdb.sqlite"
        with closing(sqlite3.connect(place)) as connection:
            connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
            rows = [(number, _header(each)) for number, each in enumerate(packages, start=1)]
            connection.executemany("INSERT INTO Packages VALUES (?, ?)", rows)
            connection.commit()
        return place.read_bytes()


def _header(package: RpmPackage) -> bytes:
    """Return a header: how many entries and bytes, an index of (tag, type, place, count), data."""
    index, data = b"", b""
    for tag, value in _tags(package):
        if isinstance(value, int):
            data += bytes(-len(data) % 4)
            index += struct.pack(">IIII", tag, _INT32, len(data), 1)
            data += struct.pack(">i", value)
        else:
            index += struct.pack(">IIII", tag, _STRING, len(data), 1)
            data += value.encode() + b"\0"
    return struct.pack(">II", len(index) // 16, len(data)) + index + data


def _tags(package: RpmPackage) -> Iterator[tuple[int, str | int]]:
    yield _NAME, package.name
    yield _VERSION, package.version
    yield _RELEASE, package.release
    yield _SIZE, 4096
    yield _VENDOR, "AlmaLinux"
    yield _LICENSE, package.license
    yield _ARCHITECTURE, package.architecture
    yield _SOURCE, package.source
