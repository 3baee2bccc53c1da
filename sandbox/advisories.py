"""Which packages of the sample images have which vulnerabilities: public facts.

Promise: identifiers and versions are those of Alpine secdb, the Debian tracker, the GitHub advisory
database and the Go vulnerability database. `since` is the level of the sample database that knows
an advisory first: level 2 is a later one, which affects images on Alpine and Python and leaves
those on Debian and Go as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.vulnerabilities import LOW, UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class OsAdvisory:
    """A source package of one distribution release that has a vulnerability."""

    release: str  # `alpine 3.18`
    package: str
    id: str
    fixed: str = ""  # empty: no fixed version
    status: str = ""  # Debian's word for why there is none
    severity: int = UNKNOWN  # the distribution's own rating; UNKNOWN: it has none
    vendor_id: str = ""
    since: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryAdvisory:
    """A library with a vulnerability in `ranges`."""

    ecosystem: str  # `pip`, `npm`, `go`, `gostd`
    package: str
    id: str
    ranges: tuple[str, ...]
    vendor_id: str = ""
    since: int = 1


Advisory = OsAdvisory | LibraryAdvisory

ADVISORIES: tuple[Advisory, ...] = (
    OsAdvisory(release="alpine 3.18", package="openssl", id="CVE-2023-3446", fixed="3.1.1-r3"),
    OsAdvisory(release="alpine 3.18", package="openssl", id="CVE-2023-5363", fixed="3.1.4-r0"),
    OsAdvisory(release="alpine 3.18", package="openssl", id="CVE-2023-5678", fixed="3.1.4-r1"),
    OsAdvisory(release="alpine 3.18", package="busybox", id="CVE-2022-48174", fixed="1.36.1-r1"),
    OsAdvisory(
        release="alpine 3.18", package="openssl", id="CVE-2023-6129", fixed="3.1.4-r3", since=2
    ),
    OsAdvisory(
        release="alpine 3.18", package="openssl", id="CVE-2024-0727", fixed="3.1.4-r5", since=2
    ),
    OsAdvisory(
        release="alpine 3.18", package="busybox", id="CVE-2023-42363", fixed="1.36.1-r7", since=2
    ),
    OsAdvisory(
        release="alpine 3.18", package="busybox", id="CVE-2023-42366", fixed="1.36.1-r6", since=2
    ),
    OsAdvisory(release="debian 12", package="zlib", id="CVE-2023-45853", status="will_not_fix"),
    OsAdvisory(
        release="debian 12",
        package="glibc",
        id="CVE-2023-4911",
        fixed="2.36-9+deb12u3",
        vendor_id="DSA-5514-1",
    ),
    OsAdvisory(
        release="debian 12",
        package="openssl",
        id="CVE-2023-5363",
        fixed="3.0.11-1~deb12u2",
        vendor_id="DSA-5532-1",
    ),
    OsAdvisory(
        release="debian 12",
        package="coreutils",
        id="CVE-2016-2781",
        status="will_not_fix",
        severity=LOW,
    ),
    OsAdvisory(
        release="debian 12", package="apt", id="CVE-2011-3374", status="affected", severity=LOW
    ),
    # No sample image is an AlmaLinux; a test's is.
    OsAdvisory(release="alma 9", package="zlib", id="CVE-2022-37434", fixed="1.2.11-40.el9"),
    LibraryAdvisory(
        ecosystem="pip",
        package="requests",
        id="CVE-2023-32681",
        ranges=(">=2.3.0, <2.31.0",),
        vendor_id="GHSA-j8r2-6x86-q33q",
    ),
    LibraryAdvisory(
        ecosystem="pip",
        package="urllib3",
        id="CVE-2023-43804",
        ranges=(">=2.0.0, <2.0.6", "<1.26.17"),
        vendor_id="GHSA-v845-jxx5-vc9f",
    ),
    LibraryAdvisory(
        ecosystem="pip",
        package="django",
        id="CVE-2023-36053",
        ranges=(">=3.2.0, <3.2.20", ">=4.0.0, <4.1.10", ">=4.2.0, <4.2.3"),
        vendor_id="GHSA-jh3w-4vvf-mjgr",
    ),
    LibraryAdvisory(
        ecosystem="pip",
        package="pyyaml",
        id="CVE-2020-14343",
        ranges=("<5.4",),
        vendor_id="GHSA-8q59-q68h-6hv4",
    ),
    LibraryAdvisory(
        ecosystem="pip",
        package="jinja2",
        id="CVE-2024-22195",
        ranges=("<3.1.3",),
        vendor_id="GHSA-h5c8-rqwp-cp95",
        since=2,
    ),
    LibraryAdvisory(
        ecosystem="npm",
        package="lodash",
        id="CVE-2021-23337",
        ranges=("<4.17.21",),
        vendor_id="GHSA-35jh-r3h4-6jhm",
    ),
    LibraryAdvisory(
        ecosystem="npm",
        package="lodash",
        id="CVE-2019-10744",
        ranges=("<4.17.12",),
        vendor_id="GHSA-jf85-cpcp-j695",
    ),
    LibraryAdvisory(
        ecosystem="npm",
        package="minimist",
        id="CVE-2021-44906",
        ranges=(">=1.0.0, <1.2.6", "<0.2.4"),
        vendor_id="GHSA-xvch-5gv4-984h",
    ),
    LibraryAdvisory(
        ecosystem="npm",
        package="semver",
        id="CVE-2022-25883",
        ranges=(">=7.0.0, <7.5.2", ">=6.0.0, <6.3.1", "<5.7.2"),
        vendor_id="GHSA-c2qf-rxjj-qqgw",
    ),
    LibraryAdvisory(
        ecosystem="npm",
        package="express",
        id="CVE-2024-43796",
        ranges=("<4.20.0",),
        vendor_id="GHSA-qw6h-vgh9-j6wx",
    ),
    LibraryAdvisory(
        ecosystem="go",
        package="golang.org/x/net",
        id="CVE-2023-39325",
        ranges=("<0.17.0",),
        vendor_id="GHSA-4374-p667-p6c8",
    ),
    LibraryAdvisory(
        ecosystem="go",
        package="golang.org/x/net",
        id="CVE-2023-3978",
        ranges=("<0.13.0",),
        vendor_id="GHSA-2wrh-6pvc-2jm9",
    ),
    LibraryAdvisory(
        ecosystem="gostd",
        package="stdlib",
        id="CVE-2023-24538",
        ranges=("<1.19.8", ">=1.20.0-0, <1.20.3"),
        vendor_id="GO-2023-1703",
    ),
    LibraryAdvisory(
        ecosystem="gostd",
        package="stdlib",
        id="CVE-2023-39319",
        ranges=("<1.20.8", ">=1.21.0-0, <1.21.1"),
        vendor_id="GO-2023-2043",
    ),
)
