"""Filters by severity, status and type of package, and ignore files."""

from __future__ import annotations

from tests.filters.case import Case, ignoring

SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
STATUSES = ("affected", "fixed", "will_not_fix", "affected,will_not_fix", "end_of_life")
RULES = (
    Case(name="nothing", flags=(), environ={}, hides=False),
    *(
        Case(name=f"severity {one}", flags=(f"--severity={one}",), environ={"TRIVY_SEVERITY": one})
        for one in (*SEVERITIES, "LOW,CRITICAL")
    ),
    Case(
        name="ignore-unfixed",
        flags=("--ignore-unfixed",),
        environ={"TRIVY_IGNORE_UNFIXED": "true"},
    ),
    *(
        Case(
            name=f"ignore-status {one}",
            flags=(f"--ignore-status={one}",),
            environ={"TRIVY_IGNORE_STATUS": one},
            hides=one != "end_of_life",
        )
        for one in STATUSES
    ),
    Case(
        name="ignore-unfixed with ignore-status",
        flags=("--ignore-unfixed", "--ignore-status=fixed"),
        environ={"TRIVY_IGNORE_UNFIXED": "true", "TRIVY_IGNORE_STATUS": "fixed"},
    ),
    *(
        Case(name=f"{one} only", flags=(f"--pkg-types={one}",), environ={"TRIVY_PKG_TYPES": one})
        for one in ("os", "library")
    ),
    Case(name="vuln-type", flags=("--pkg-types=os",), environ={"TRIVY_VULN_TYPE": "os"}),
    ignoring("plain", "# why\n\nCVE-2023-4911\n  CVE-2019-10744 since it is ours\n", plain=True),
    ignoring("plain, a secret", "private-key\nPRIVATE-KEY\n", plain=True),
    ignoring("plain, ended", "CVE-2023-4911 exp:2020-01-31", plain=True, hides=False),
    ignoring("plain, not ended", "CVE-2023-4911 exp:2199-01-31", plain=True),
    ignoring("plain, not so written", "cve-2023-4911", plain=True, hides=False),
    ignoring("yaml", "vulnerabilities:\n  - id: CVE-2023-4911\n    statement: ours\n"),
    ignoring("yaml, wrong list", "secrets:\n  - id: CVE-2023-4911\n", hides=False),
    ignoring("yaml, secrets", "secrets: [{id: private-key, paths: [/app/id_*]}, {id: github-pat}]"),
    ignoring("yaml, ended", "vulnerabilities: [{id: CVE-2023-4911, expired_at: 2020-01-31}]",
             hides=False),
    ignoring("yaml, not ended", "vulnerabilities: [{id: CVE-2023-4911, expired_at: 2199-01-31}]"),
    ignoring(
        "yaml, ended at a time",
        "vulnerabilities: [{id: CVE-2023-4911, expired_at: 2020-01-31T10:00:00+02:00}]",
        hides=False,
    ),
    *(
        ignoring(
            f"path {path}",
            f"vulnerabilities: [{{id: CVE-2019-10744, paths: ['{path}']}}]\n"
            f"secrets: [{{id: private-key, paths: ['{path}']}}]",
            hides=hides,
        )
        for path, hides in {
            "app/node_modules/lodash/package.json": True,
            "app/node_modules/**": True,
            "app/**/package.json": True,
            "**/package.json": True,
            "**": True,
            "*": True,  # the target, `Node.js`
            "app/*/package.json": False,
            "app/node_modules/{lodash,left-pad}/package.json": True,
            "app/node_modules/[k-m]odash/package.json": True,
            "app/node_modules/[!k-m]odash/package.json": False,
            "app/node_modules/lodash": False,
            "Node.js": True,
            "/app/id_rsa": True,
            "/app/**": True,
            "app/id_rsa": False,
        }.items()
    ),
    *(
        ignoring(
            f"package {purl}",
            f"vulnerabilities: [{{id: {one}, purls: ['{purl}']}}]",
            hides=hides,
        )
        for purl, one, hides in (
            ("pkg:deb/debian/libc6@2.36-9+deb12u1", "CVE-2023-4911", True),
            ("pkg:deb/debian/libc6", "CVE-2023-4911", True),
            ("pkg:deb/Debian/LIBC6?arch=amd64", "CVE-2023-4911", True),
            ("pkg:deb/debian/libc6?arch=arm64", "CVE-2023-4911", False),
            ("pkg:deb/ubuntu/libc6", "CVE-2023-4911", False),
            ("pkg:deb/debian/libc6@2.36", "CVE-2023-4911", False),
            ("pkg:deb/debian/zlib1g@1.2.13.dfsg-1?epoch=1", "CVE-2023-45853", True),
            ("pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1", "CVE-2023-45853", False),
            ("pkg:npm/lodash@4.17.11", "CVE-2019-10744", True),
            ("pkg:pypi/DJANGO", "CVE-2023-36053", True),
            ("pkg:npm/django", "CVE-2023-36053", False),
        )
    ),
    ignoring(
        "path or package",
        "vulnerabilities: [{id: CVE-2019-10744, paths: [none]},"
        " {id: CVE-2019-10744, purls: ['pkg:npm/lodash']}]",
    ),
    Case(
        name="a rule before a severity",
        flags=("--ignorefile={file}", "--severity=HIGH,CRITICAL"),
        environ={"TRIVY_IGNOREFILE": "{file}", "TRIVY_SEVERITY": "HIGH,CRITICAL"},
        file=("ignore", "CVE-2023-4911"),
    ),
)  # fmt: skip
