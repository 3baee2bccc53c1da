"""Rego ignore policies."""

from __future__ import annotations

from tests.filters.case import Case

# The rule by which a finding is left out, and whether it hides anything in the image.
IGNORED_IF = {
    "nothing": ("false", False),
    "everything": ("true", True),
    "a package": ('input.PkgName == "lodash"', True),
    "one of several": ('{"zlib1g", "coreutils"}[input.PkgName]', True),
    "a severity": ('input.Severity == "LOW"', True),
    "a package's address": ('startswith(input.PkgIdentifier.PURL, "pkg:npm/minimist@")', True),
    "a weakness": ('input.CweIDs[_] == "CWE-787"', True),
    "a vector": (
        'trivy.parse_cvss_vector_v3(input.CVSS.nvd.V3Vector).AttackVector == "Local"',
        True,
    ),
    "a score": ("input.CVSS.ghsa.V3Score > 7", True),
    "a source": ('input.DataSource.ID == "debian"', True),
    "a severity's source": ('input.SeveritySource == "ghsa"', True),
    "a vendor's severity": ("input.VendorSeverity.ghsa > 3", True),
    "a vendor's name": ('startswith(input.VendorIDs[_], "GHSA-")', True),
    "a layer": ('input.Type == "vulnerability"; input.Layer.DiffID', True),
    "a path": ('startswith(input.PkgPath, "usr/local/lib")', True),
    "a status": ('input.Status != "fixed"', True),
    "a date": ('input.PublishedDate < "2023-01-01"', True),
    "words": ('contains(input.Title, "glibc"); input.FixedVersion', True),
    "a link": ('contains(input.References[_], "GHSA-")', True),
    "secrets": ('input.Type == "secret"; input.Category == "GitHub"', True),
    "a secret's words": ('input.RuleID == "private-key"; contains(input.Match, "*")', True),
    "what never is": ("input.PkgName == 1", False),
}


def policy(rule: str) -> str:
    """Return the Rego text of a rule."""
    return f"package trivy\nimport data.lib.trivy\ndefault ignore = false\nignore {{\n{rule}\n}}\n"


CASES = (
    *(
        Case(
            name=f"policy: {name}",
            flags=("--ignore-policy={file}",),
            environ={"TRIVY_IGNORE_POLICY": "{file}"},
            file=("policy.rego", policy(rule)),
            hides=hides,
        )
        for name, (rule, hides) in IGNORED_IF.items()
    ),
    Case(
        name="policy with severities and statuses",
        flags=("--ignore-policy={file}", "--severity=HIGH,CRITICAL", "--ignore-unfixed"),
        environ={
            "TRIVY_IGNORE_POLICY": "{file}",
            "TRIVY_SEVERITY": "HIGH,CRITICAL",
            "TRIVY_IGNORE_UNFIXED": "true",
        },
        file=("policy.rego", policy('input.PkgName == "lodash"')),
    ),
)
