"""What the sample database says about each vulnerability, wherever it occurs.

Promise: titles, scores and dates are those of NVD and the GitHub advisory database; only one entry
differs, and says so. `advisories` says which packages have them.
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
        id="CVE-2022-37434",
        title="zlib: heap-based buffer over-read and overflow in inflate() via a large gzip header",
        severity=CRITICAL,
        published="2022-08-05T07:15:07Z",
        score=9.8,
        vector="AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        weaknesses=("CWE-787",),
        rated_by="nvd",
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
