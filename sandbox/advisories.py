"""The sample database's content: public facts about the packages of the sample images.

Promise: identifiers, versions and scores are those of Alpine secdb, the Debian tracker, the GitHub
advisory database, the Go vulnerability database and NVD; only one entry differs, and says so.
`since` is the level of the sample database that knows an advisory first: level 2 is a later one,
which affects images on Alpine and Python and leaves those on Debian and Go as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN, LOW, MEDIUM, HIGH, CRITICAL = range(5)

_WORST = "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
_SLOW = "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"
_DOWN = "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"
_LOCAL_DOWN = "AV:L/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:H"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vulnerability:
    """What is known about one identifier, wherever it occurs."""

    id: str
    title: str
    severity: int
    published: str
    score: float | None = None  # None: not analysed yet
    vector: str = ""  # CVSS 3.1, without its prefix
    weaknesses: tuple[str, ...] = ()
    rated_by: str = "nvd"


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

VULNERABILITIES = (
    # OpenSSL
    Vulnerability(
        id="CVE-2023-3446",
        title="openssl: Excessive time spent checking DH keys and parameters",
        severity=MEDIUM,
        published="2023-07-19T12:15:10Z",
        score=5.3,
        vector=_SLOW,
        weaknesses=("CWE-1333",),
    ),
    Vulnerability(
        id="CVE-2023-5363",
        title="openssl: Incorrect cipher key and IV length processing",
        severity=HIGH,
        published="2023-10-25T18:17:43Z",
        score=7.5,
        vector="AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N",
    ),
    Vulnerability(
        id="CVE-2023-5678",
        title="openssl: Generating or checking excessively long X9.42 DH keys may be very slow",
        severity=MEDIUM,
        published="2023-11-06T16:15:42Z",
        score=5.3,
        vector=_SLOW,
        weaknesses=("CWE-754",),
    ),
    Vulnerability(
        id="CVE-2023-6129",
        title="openssl: POLY1305 MAC implementation corrupts vector registers on PowerPC",
        severity=MEDIUM,
        published="2024-01-09T17:15:12Z",
        score=6.5,
        vector="AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:L/A:H",
        weaknesses=("CWE-787",),
    ),
    Vulnerability(
        id="CVE-2024-0727",
        title="openssl: denial of service via null dereference",
        severity=MEDIUM,
        published="2024-01-26T09:15:07Z",
        score=5.5,
        vector=_LOCAL_DOWN,
        weaknesses=("CWE-476",),
    ),
    # BusyBox
    Vulnerability(
        id="CVE-2022-48174",
        title="busybox: stack overflow vulnerability in ash.c leads to arbitrary code execution",
        severity=CRITICAL,
        published="2023-08-22T19:16:31Z",
        score=9.8,
        vector=_WORST,
        weaknesses=("CWE-787",),
    ),
    Vulnerability(
        id="CVE-2023-42363",
        title="busybox: use-after-free in awk",
        severity=MEDIUM,
        published="2023-11-27T22:15:07Z",
        score=5.5,
        vector=_LOCAL_DOWN,
        weaknesses=("CWE-416",),
    ),
    Vulnerability(
        id="CVE-2023-42366",
        title="busybox: A heap-buffer-overflow",
        severity=MEDIUM,
        published="2023-11-27T23:15:07Z",
        score=5.5,
        vector=_LOCAL_DOWN,
        weaknesses=("CWE-787",),
    ),
    # Debian's base
    Vulnerability(
        id="CVE-2023-45853",
        title="zlib: integer overflow and heap-based buffer overflow in zipOpenNewFileInZip4_6",
        severity=CRITICAL,
        published="2023-10-14T02:15:09Z",
        score=9.8,
        vector=_WORST,
        weaknesses=("CWE-190",),
    ),
    Vulnerability(
        id="CVE-2023-4911",
        title="glibc: buffer overflow in ld.so leading to privilege escalation",
        severity=HIGH,
        published="2023-10-03T18:15:10Z",
        score=7.8,
        vector="AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H",
        weaknesses=("CWE-122", "CWE-787"),
    ),
    Vulnerability(
        id="CVE-2016-2781",
        title="coreutils: Non-privileged session can escape to the parent session in chroot",
        severity=MEDIUM,
        published="2017-02-07T15:59:00Z",
        score=6.5,
        vector="AV:L/AC:L/PR:L/UI:N/S:C/C:N/I:H/A:N",
        weaknesses=("CWE-20",),
    ),
    Vulnerability(
        id="CVE-2011-3374",
        title="It was found that apt-key in apt, all versions, do not correctly valid ...",
        severity=LOW,
        published="2019-11-26T00:15:11Z",
        score=3.7,
        vector="AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:L/A:N",
        weaknesses=("CWE-347",),
    ),
    # Python
    Vulnerability(
        id="CVE-2023-32681",
        title="Unintended leak of Proxy-Authorization header in requests",
        severity=MEDIUM,
        published="2023-05-22T20:36:32Z",
        score=6.1,
        vector="AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:N/A:N",
        weaknesses=("CWE-200",),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2023-43804",
        title="`Cookie` HTTP header isn't stripped on cross-origin redirects",
        severity=MEDIUM,
        published="2023-10-02T23:27:05Z",
        score=5.9,
        vector="AV:N/AC:H/PR:H/UI:N/S:U/C:H/I:H/A:N",
        weaknesses=("CWE-200",),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2023-36053",
        title="Django has regular expression denial of service in EmailValidator/URLValidator",
        severity=HIGH,
        published="2023-07-03T15:30:45Z",
        score=7.5,
        vector=_DOWN,
        weaknesses=("CWE-1333",),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2020-14343",
        title="Improper Input Validation in PyYAML",
        severity=CRITICAL,
        published="2021-03-25T21:26:26Z",
        score=9.8,
        vector=_WORST,
        weaknesses=("CWE-20",),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2024-22195",
        title="Jinja vulnerable to HTML attribute injection with user input as keys to xmlattr",
        severity=MEDIUM,
        published="2024-01-11T15:20:48Z",
        score=5.4,
        vector="AV:N/AC:L/PR:N/UI:R/S:U/C:L/I:L/A:N",
        weaknesses=("CWE-79",),
        rated_by="ghsa",
    ),
    # Node.js
    Vulnerability(
        id="CVE-2021-23337",
        title="Command Injection in lodash",
        severity=HIGH,
        published="2021-05-06T16:05:51Z",
        score=7.2,
        vector="AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H",
        weaknesses=("CWE-77", "CWE-94"),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2019-10744",
        title="Prototype Pollution in lodash",
        severity=CRITICAL,
        published="2019-07-10T19:45:23Z",
        score=9.1,
        vector="AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:H",
        weaknesses=("CWE-20",),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2021-44906",
        title="Prototype Pollution in minimist",
        severity=CRITICAL,
        published="2022-03-18T00:01:09Z",
        score=9.8,
        vector=_WORST,
        weaknesses=("CWE-1321",),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2022-25883",
        title="semver vulnerable to Regular Expression Denial of Service",
        severity=HIGH,
        published="2023-06-21T06:30:28Z",
        score=7.5,
        vector=_DOWN,
        weaknesses=("CWE-1333",),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2024-43796",
        title="express vulnerable to XSS via response.redirect()",
        severity=LOW,
        published="2024-09-10T19:41:04Z",
        score=5.0,
        vector="AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:L/A:L",
        weaknesses=("CWE-79",),
        rated_by="ghsa",
    ),
    # Go
    Vulnerability(
        id="CVE-2023-39325",
        title="HTTP/2 rapid reset can cause excessive work in net/http",
        severity=HIGH,
        published="2023-10-11T20:41:05Z",
        score=7.5,
        vector=_DOWN,
        weaknesses=("CWE-770",),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2023-3978",
        title="Improper rendering of text nodes in golang.org/x/net/html",
        severity=MEDIUM,
        published="2023-08-02T21:30:20Z",
        score=6.1,
        vector="AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
        weaknesses=("CWE-79",),
        rated_by="ghsa",
    ),
    Vulnerability(
        id="CVE-2023-24538",
        title="golang: html/template: backticks not treated as string delimiters",
        severity=CRITICAL,
        published="2023-04-06T16:15:07Z",
        score=9.8,
        vector=_WORST,
        weaknesses=("CWE-94",),
    ),
    # As a database shows it between publication and analysis; NVD has rated it MEDIUM since.
    Vulnerability(
        id="CVE-2023-39319",
        title="golang: html/template: improper handling of special tags within script contexts",
        severity=UNKNOWN,
        published="2023-09-08T17:15:27Z",
    ),
)

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
