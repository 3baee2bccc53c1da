"""Makes up advisories about hundreds of packages, in every shape that a database has them. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sandbox.bolt import Tree
from tests.real.packages import apks, debs, rpms

Json = dict[str, Any]
# trivy-db's numbers of its words, but for `fixed`, which it does not store.
_UNFIXED = {"affected": 2, "under_investigation": 4, "will_not_fix": 5, "fix_deferred": 6,
            "end_of_life": 7}  # fmt: skip
# Bucket, its data source, and the name under which that one rates.
_SOURCES: Mapping[str, tuple[str, str]] = {
    "debian 9": ("debian", "Debian Security Tracker"),
    "debian 12": ("debian", "Debian Security Tracker"),
    "ubuntu 22.04": ("ubuntu", "Ubuntu CVE Tracker"),
    "alpine 3.10": ("alpine", "Alpine Secdb"),
    "alpine 3.18": ("alpine", "Alpine Secdb"),
    "alpine edge": ("alpine", "Alpine Secdb"),
    "wolfi": ("wolfi", "Wolfi Secdb"),
    "alma 9": ("alma", "AlmaLinux Product Errata"),
    "npm::GitHub Security Advisory npm": ("ghsa", "GitHub Security Advisory npm"),
    "pip::GitHub Security Advisory pip": ("ghsa", "GitHub Security Advisory pip"),
}
_LIBRARIES = {
    "npm::GitHub Security Advisory npm": ("lodash", "minimist", "semver", "express"),
    "pip::GitHub Security Advisory pip": ("django", "jinja2", "pyyaml", "urllib3"),
}


def tree() -> Tree:
    """Return the buckets."""
    buckets: dict[str, dict[str, dict[str, bytes]]] = {}
    for bucket, package, identity, advisory in _advisories():
        buckets.setdefault(bucket, {}).setdefault(package, {})[identity] = _json(advisory)
    known = sorted({one for kept in buckets.values() for each in kept.values() for one in each})
    sources = {
        bucket: _json({"ID": identity, "Name": name, "URL": f"https://example.invalid/{identity}"})
        for bucket, (identity, name) in _SOURCES.items()
    }
    details = {
        one: _json(_details(one, number))
        for number, one in enumerate(known)
        if number % 11  # of some, nobody knows more than that they exist
    }
    return {"vulnerability": details, "data-source": sources, **buckets}


def _json(value: Json) -> bytes:
    return json.dumps(value).encode()


def _advisories() -> Iterator[tuple[str, str, str, Json]]:
    """Yield bucket, package, identifier and advisory."""
    made_from = sorted(dict(one.made_from for one in debs()).items())
    for bucket in ("debian 9", "debian 12", "ubuntu 22.04"):
        yield from _of(bucket, made_from, newer=lambda version: f"{version}+deb99u1", older="~rc1")
    origins = sorted(dict(one.made_from for one in apks()).items())
    for bucket in ("alpine 3.10", "alpine 3.18", "alpine edge", "wolfi"):
        yield from _of(bucket, origins, newer=_next_release, older="_rc1")
    sources = sorted({one.name: f"{one.version}-{one.release}" for one in rpms()}.items())
    yield from _of("alma 9", sources, newer=lambda version: f"{version}.99", older="")
    for bucket, names in _LIBRARIES.items():
        for number, name in enumerate(names * 3):
            identity = f"CVE-2023-{7000 + number}"
            known: Json = {"VulnerableVersions": ["<99.0.0"], "VendorIDs": [f"GHSA-{number}"]}
            yield bucket, name, identity, {**known, "PatchedVersions": ["99.0.0"][: number % 3]}


def _next_release(version: str) -> str:
    """Return an apk version after `version`."""
    stem, _, release = version.rpartition("-r")
    return f"{stem}-r{int(release) + 90}" if stem else f"{version}-r99"


def _of(
    bucket: str, packages: Iterable[tuple[str, str]], *, newer: Callable[[str], str], older: str
) -> Iterator[tuple[str, str, str, Json]]:
    """Yield advisories in turn: fixed later, fixed already, several at once, unfixed in each way.

    Neighbours share an identifier, as packages of one project do.
    """
    words = list(_UNFIXED)
    for number, (package, version) in enumerate(packages):
        identity = f"CVE-20{10 + number % 15}-{1000 + number // 2}"
        turn = number % 8
        if turn <= 2:
            ids = {"VendorIDs": [f"SA-{number}-1", f"SA-{number}-2"][: number % 3]}
            yield bucket, package, identity, {"FixedVersion": newer(version), **ids}
        if turn in (2, 3) and older:
            patched = f"{version}{older}" if bucket.startswith(("debian", "ubuntu")) else "0.0.1-r0"
            yield bucket, package, f"{identity}9", {"FixedVersion": patched}
        if turn > 3 and bucket.startswith(("debian", "ubuntu")):
            status = {"Status": _UNFIXED[words[number % 5]], "Severity": number % 5}
            yield (
                bucket,
                package,
                identity,
                {name: value for name, value in status.items() if value},
            )
        if turn == 7:
            for more in range(6):
                yield bucket, package, f"{identity}{more}", {"FixedVersion": newer(version)}


def _details(identity: str, number: int) -> Json:
    """Return what is known of it: in turn more and less, as public databases do."""
    raters = ("nvd", "debian", "ubuntu", "alpine", "redhat", "ghsa", "alma", "wolfi")
    rated = {rater: (number + at) % 5 for at, rater in enumerate(raters) if (number >> at) % 3 != 1}
    score = {"V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "V3Score": 9.8}
    cvss: Json = {
        "nvd": {**score, "V2Vector": "AV:N/AC:L/Au:N/C:P/I:P/A:P", "V2Score": 7.5},
        "ghsa": {"V40Vector": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H", "V40Score": 9.3},
        "redhat": score,
    }
    fields: Json = {
        "Title": f"sample: <b>{identity}</b> \u2013 a finding & more" if number % 4 else "",
        "Description": f"{identity} does harm.\n\tIt is ünlike others. " * (number % 40),
        "Severity": ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")[number % 5],
        "CweIDs": [f"CWE-{20 + number % 700}", "CWE-79"][: number % 3],
        "VendorSeverity": rated,
        "CVSS": dict(list(cvss.items())[: number % 4]),
        "References": [f"https://example.invalid/{identity}/{page}" for page in range(number % 30)],
        "PublishedDate": f"2023-0{number % 9 + 1}-17T08:15:00Z",
        "LastModifiedDate": f"2024-02-0{number % 9 + 1}T10:10:10.123Z" if number % 3 else None,
    }
    return {name: value for name, value in fields.items() if value}
