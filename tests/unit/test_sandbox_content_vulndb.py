"""The sample database has the layout that Trivy expects, and level 2 only adds."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from gzip import decompress
from pathlib import Path

import pytest

from sandbox import bolt, vulndb
from sandbox.packages import alpine, apk, deb, debian, node, python

_MOMENT = datetime(2026, 11, 24, 6, tzinfo=UTC)


def _flat(tree: bolt.Tree, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    """Return every value of a tree by its path, decoded."""
    found: dict[tuple[str, ...], object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, (*path, key))
        else:
            found[(*path, key)] = json.loads(value)
    return found


def test_the_later_database_adds_and_changes_nothing() -> None:
    """A change of an old entry would move reports that the update must leave alone."""
    before, after = _flat(vulndb.tree(1)), _flat(vulndb.tree(2))
    assert before.items() <= after.items()
    added = {path[0] for path in after.keys() - before.keys()}
    assert added == {
        "vulnerability",
        "alpine 3.18",
        "pip::GitHub Security Advisory pip",
        "k8s::Official Kubernetes CVE Feed",
    }


def test_every_bucket_names_its_source() -> None:
    """Without it a finding loses its data source and, with that, its own severity."""
    tree = vulndb.tree(2)
    sources = tree["data-source"]
    assert isinstance(sources, Mapping)
    assert set(sources) == set(tree) - {"vulnerability", "data-source"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (
            ("alpine 3.18", "openssl", "CVE-2023-5363"),
            {"FixedVersion": "3.1.4-r0"},
        ),
        (
            ("debian 12", "coreutils", "CVE-2016-2781"),
            {"Status": 5, "Severity": 1},
        ),
        (
            ("debian 12", "glibc", "CVE-2023-4911"),
            {"FixedVersion": "2.36-9+deb12u3", "VendorIDs": ["DSA-5514-1"]},
        ),
        (
            ("pip::GitHub Security Advisory pip", "urllib3", "CVE-2023-43804"),
            {
                "VulnerableVersions": [">=2.0.0, <2.0.6", "<1.26.17"],
                "PatchedVersions": ["2.0.6", "1.26.17"],
                "VendorIDs": ["GHSA-v845-jxx5-vc9f"],
            },
        ),
        (
            ("data-source", "go::The Go Vulnerability Database"),
            {
                "ID": "govulndb",
                "Name": "The Go Vulnerability Database",
                "URL": "https://pkg.go.dev/vuln/",
            },
        ),
    ],
)
def test_an_advisory_is_stored_as_trivy_db_stores_it(path: tuple[str, ...], value: object) -> None:
    """One row for each form that an advisory can have."""
    assert _flat(vulndb.tree(1))[path] == value


def test_a_vulnerability_tells_who_rated_it_and_one_is_not_rated() -> None:
    """Trivy derives severities from the rating's source; the unrated one must be UNKNOWN."""
    found = _flat(vulndb.tree(1))
    rated, unrated = (found["vulnerability", each] for each in ("CVE-2020-14343", "CVE-2023-39319"))
    assert isinstance(rated, dict)
    assert isinstance(unrated, dict)
    assert rated["VendorSeverity"] == {"ghsa": 4}
    assert rated["CVSS"]["ghsa"]["V3Score"] == 9.8
    assert rated["CVSS"]["ghsa"]["V3Vector"].startswith("CVSS:3.1/AV:")
    assert rated["References"][1] == "https://github.com/advisories/GHSA-8q59-q68h-6hv4"
    assert not {"VendorSeverity", "CVSS"} & set(unrated)
    assert unrated["Severity"] == "UNKNOWN"


@pytest.mark.parametrize("level", [1, 2])
def test_the_files_hold_the_tree_and_the_version(tmp_path: Path, level: vulndb.Level) -> None:
    """The version is what matchers compare to find out that a database is new."""
    elsewhere = _MOMENT.astimezone(timezone(timedelta(hours=5)))
    vulndb.build(tmp_path, level=level, updated_at=elsewhere)
    assert bolt.read(tmp_path / "db" / "trivy.db") == vulndb.tree(level)
    assert json.loads((tmp_path / "db" / "metadata.json").read_bytes()) == {
        "Version": 2,
        "UpdatedAt": "2026-11-24T06:00:00Z",
        "NextUpdate": "2026-11-25T06:00:00Z",
        "DownloadedAt": "2026-11-24T06:00:00Z",
    }


def test_the_java_index_is_empty_and_can_be_built_again(tmp_path: Path) -> None:
    """Trivy fails a whole image that holds a jar when there is no index."""
    for _ in range(2):
        vulndb.build_java(tmp_path, updated_at=_MOMENT)
    with closing(sqlite3.connect(tmp_path / "java-db" / "trivy-java.db")) as connection:
        assert connection.execute("SELECT count(*) FROM indices").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM artifacts").fetchone() == (0,)
    assert json.loads((tmp_path / "java-db" / "metadata.json").read_bytes())["Version"] == 1


def test_the_published_form_is_a_flat_archive(tmp_path: Path) -> None:
    """Trivy unpacks it right into its `db` folder."""
    vulndb.build(tmp_path, level=1, updated_at=_MOMENT)
    image = vulndb.artifact(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(decompress(image.blobs[1].body))) as archive:
        assert archive.getnames() == ["metadata.json", "trivy.db"]
    assert image.digest == vulndb.artifact(tmp_path).digest


def test_an_alpine_entry_names_its_source_package() -> None:
    """Advisories name source packages: without it half of the findings vanish."""
    files = alpine("3.18.2", [apk("libssl3", "3.1.1-r1", "Apache-2.0", source="openssl")])
    entry = files["lib/apk/db/installed"]
    assert isinstance(entry, str)
    assert {"P:libssl3", "V:3.1.1-r1", "o:openssl", "L:Apache-2.0"} <= set(entry.splitlines())
    assert entry.endswith("\n\n")
    assert files["etc/alpine-release"] == "3.18.2\n"


def test_a_debian_entry_names_its_source_package_only_if_it_has_another_name() -> None:
    """The same for Debian, where the field is left out when it would repeat the name."""
    packages = [deb("libc6", "2.36", "LGPL-2.1", source="glibc"), deb("openssl", "3", "Apache-2.0")]
    files = debian("12.1", packages)
    status = files["var/lib/dpkg/status"]
    assert isinstance(status, str)
    first, second = status.split("\n\n")
    assert "Source: glibc" in first.splitlines()
    assert "Source:" not in second
    assert "License: LGPL-2.1" in str(files["usr/share/doc/libc6/copyright"])


def test_libraries_lie_where_pip_and_npm_put_them() -> None:
    """Trivy finds installed libraries in images, never lock files."""
    assert {path.rpartition("/")[2] for path in python({"Django": "4.2.1"})} == {
        "METADATA",
        "RECORD",
    }
    (path,) = node({"lodash": "4.17.11"})
    assert path == "app/node_modules/lodash/package.json"
