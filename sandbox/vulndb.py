"""Makes the sample vulnerability database, in Trivy's own format, and publishes it.

Promise: Trivy opens it, and downloads it from a registry as it downloads the public one. The same
level and time make the same bytes. An empty Java index goes with it, because Trivy refuses every
image that holds a jar without one. Source: trivy-db schema 2, trivy-java-db schema 1.
"""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Final, Literal

from sandbox import bolt, oci
from sandbox.advisories import ADVISORIES, Advisory, LibraryAdvisory, OsAdvisory
from sandbox.upload import Registry
from sandbox.vulnerabilities import UNKNOWN, VULNERABILITIES, Vulnerability

Level = Literal[1, 2]

REPOSITORY, TAG = "sample/trivy-db", "2"
JAVA_REPOSITORY, JAVA_TAG = "sample/trivy-java-db", "1"
_MEDIA = "application/vnd.aquasec.trivy."

# The public database says it is good for a day.
VALID_FOR = timedelta(days=1)
_SCHEMA, _JAVA_SCHEMA = 2, 1
_SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
_STATUS = {"affected": 2, "will_not_fix": 5}  # trivy-db stores the number

# ID, name, URL; the bucket of a library advisory is named after the second.
_GITHUB = "https://github.com/advisories?query=type%3Areviewed+ecosystem%3A"
_SOURCES: Final[Mapping[str, tuple[str, str, str]]] = {
    "alpine": ("alpine", "Alpine Secdb", "https://secdb.alpinelinux.org/"),
    "debian": (
        "debian",
        "Debian Security Tracker",
        "https://salsa.debian.org/security-tracker-team/security-tracker",
    ),
    "alma": ("alma", "AlmaLinux Product Errata", "https://errata.almalinux.org/"),
    "pip": ("ghsa", "GitHub Security Advisory pip", f"{_GITHUB}pip"),
    "npm": ("ghsa", "GitHub Security Advisory npm", f"{_GITHUB}npm"),
    "go": ("ghsa", "GitHub Security Advisory Go", f"{_GITHUB}go"),
    "gostd": ("govulndb", "The Go Vulnerability Database", "https://pkg.go.dev/vuln/"),
}


def build(
    folder: Path, *, level: Level, updated_at: datetime, valid_for: timedelta = VALID_FOR
) -> None:
    """Write `db/trivy.db` and `db/metadata.json` below `folder`, a Trivy cache folder.

    `updated_at` is the database's version. Trivy itself downloads again once `valid_for` is over
    and the last download is an hour old.
    """
    place = folder / "db"
    place.mkdir(parents=True, exist_ok=True)
    bolt.write(place / "trivy.db", tree(level))
    (place / "metadata.json").write_bytes(_metadata(_SCHEMA, updated_at, valid_for))


def build_java(folder: Path, *, updated_at: datetime, valid_for: timedelta = VALID_FOR) -> None:
    """Write an empty `java-db/trivy-java.db` with its `metadata.json` below `folder`."""
    place = folder / "java-db"
    place.mkdir(parents=True, exist_ok=True)
    database = place / "trivy-java.db"
    database.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            "CREATE TABLE artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);"
            "CREATE TABLE indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT,"
            " FOREIGN KEY (artifact_id) REFERENCES artifacts(id));"
            "CREATE UNIQUE INDEX artifacts_idx ON artifacts(artifact_id, group_id);"
            "CREATE INDEX indices_artifact_idx ON indices(artifact_id);"
            "CREATE UNIQUE INDEX indices_sha1_idx ON indices(sha1);"
        )
    (place / "metadata.json").write_bytes(_metadata(_JAVA_SCHEMA, updated_at, valid_for))


def push(address: str, folder: Path, *, repository: str = REPOSITORY, tag: str = TAG) -> str:
    """Publish the database in `folder` to the registry at `address`; return the digest."""
    with Registry(address) as registry:
        return registry.push(repository, artifact(folder), tag)


def push_java(
    address: str, folder: Path, *, repository: str = JAVA_REPOSITORY, tag: str = JAVA_TAG
) -> str:
    """Publish the Java index in `folder` to the registry at `address`; return the digest."""
    with Registry(address) as registry:
        return registry.push(repository, java_artifact(folder), tag)


def artifact(folder: Path) -> oci.Image:
    """Return the database in `folder` as it is published."""
    files = {name: (folder / "db" / name).read_bytes() for name in ("trivy.db", "metadata.json")}
    return _artifact(files, kind="db", config=f"{_MEDIA}config.v1+json")


def java_artifact(folder: Path) -> oci.Image:
    """Return the Java index in `folder` as it is published."""
    place = folder / "java-db"
    files = {name: (place / name).read_bytes() for name in ("trivy-java.db", "metadata.json")}
    return _artifact(files, kind="javadb", config=f"{_MEDIA}javadb.config.v1+json")


def _artifact(files: oci.Files, *, kind: str, config: str) -> oci.Image:
    packed = gzip.compress(oci.tar(files), mtime=0)
    layer = oci.Blob(media_type=f"{_MEDIA}{kind}.layer.v1.tar+gzip", body=packed)
    return oci.artifact(layer, config_type=config, title=f"{kind}.tar.gz")


def _metadata(schema: int, updated_at: datetime, valid_for: timedelta) -> bytes:
    return oci.json_bytes(
        {
            "Version": schema,
            "UpdatedAt": _rfc3339(updated_at),
            "NextUpdate": _rfc3339(updated_at + valid_for),
            "DownloadedAt": _rfc3339(updated_at),
        }
    )


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the database as buckets ----------------------------------------------------------------------


def tree(level: Level) -> bolt.Tree:
    """Return the buckets of the database of `level`."""
    buckets: dict[str, dict[str, dict[str, bytes]]] = {}
    sources: dict[str, bytes] = {}
    known = [each for each in ADVISORIES if each.since <= level]
    for advisory in known:
        bucket, source = _bucket(advisory)
        identity, name, url = _SOURCES[source]
        sources[bucket] = oci.json_bytes({"ID": identity, "Name": name, "URL": url})
        package = buckets.setdefault(bucket, {}).setdefault(advisory.package, {})
        package[advisory.id] = oci.json_bytes(_advisory(advisory))
    needed = {each.id for each in known}
    details = {
        each.id: oci.json_bytes(_details(each)) for each in VULNERABILITIES if each.id in needed
    }
    return {"vulnerability": details, "data-source": sources, **buckets}


def _bucket(advisory: Advisory) -> tuple[str, str]:
    """Return the bucket's name and the key of its source."""
    match advisory:
        case OsAdvisory(release=release):
            return release, release.partition(" ")[0]
        case LibraryAdvisory(ecosystem=ecosystem):
            prefix = "go" if ecosystem == "gostd" else ecosystem
            return f"{prefix}::{_SOURCES[ecosystem][1]}", ecosystem


def _advisory(advisory: Advisory) -> dict[str, object]:
    vendor = {"VendorIDs": [advisory.vendor_id]} if advisory.vendor_id else {}
    match advisory:
        case OsAdvisory(fixed=fixed, status=status, severity=severity):
            stated = {"FixedVersion": fixed, "Status": _STATUS.get(status), "Severity": severity}
            return {**vendor, **{name: value for name, value in stated.items() if value}}
        case LibraryAdvisory(ranges=ranges):
            patched = [each.rpartition("<")[2] for each in ranges]
            return {**vendor, "VulnerableVersions": list(ranges), "PatchedVersions": patched}


def _details(one: Vulnerability) -> dict[str, object]:
    rated: dict[str, object] = {}
    if one.severity != UNKNOWN:
        rated["VendorSeverity"] = {one.rated_by: one.severity}
    if one.score is not None:
        vector = f"CVSS:3.1/{one.vector}"
        rated["CVSS"] = {one.rated_by: {"V3Vector": vector, "V3Score": one.score}}
    return {
        "Title": one.title,
        "Description": _description(one),
        "Severity": _SEVERITIES[one.severity],
        "CweIDs": list(one.weaknesses),
        "References": list(_links(one.id)),
        "PublishedDate": one.published,
        "LastModifiedDate": one.published,
        **rated,
    }


def _description(one: Vulnerability) -> str:
    where = sorted({each.package for each in ADVISORIES if each.id == one.id})
    return f"{one.title}. Affects {', '.join(where)}; see the references for the fixed versions."


def _links(identifier: str) -> Iterator[str]:
    """Yield the pages about a vulnerability, the general one first."""
    pages = (
        f"https://github.com/advisories/{each.vendor_id}"
        for each in ADVISORIES
        if each.id == identifier and each.vendor_id.startswith("GHSA")
    )
    return chain([f"https://nvd.nist.gov/vuln/detail/{identifier}"], pages)
