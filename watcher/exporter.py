"""Findings as metrics: trivy-operator's names and labels, from the reports' stamps alone.

No report's body is read. The text is rendered directly: 50,000 reports are 250,000 series, which
the client library would hold as objects of half a kilobyte each. Pure; any thread may render while
another folds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from common.reports.catalog import EXPOSED_SECRET_REPORT, VULNERABILITY_REPORT
from watcher.fold.reportfacts import ReportFact

# name, help, report kind, severities: as many as the kind's summary has, in its order
_FAMILIES = (
    (
        "trivy_image_vulnerabilities",
        "Number of container image vulnerabilities",
        VULNERABILITY_REPORT,
        ("Critical", "High", "Medium", "Low", "Unknown"),
    ),
    (
        "trivy_image_exposedsecrets",
        "Number of image exposed secrets",
        EXPOSED_SECRET_REPORT,
        ("Critical", "High", "Medium", "Low"),
    ),
)
_NOT_A_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_CAMEL = re.compile(r"([a-z0-9])([A-Z])")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def render(reports: Iterable[ReportFact], *, copied: Sequence[str], prefix: str) -> Iterator[bytes]:
    """Yield the findings in Prometheus' text format, one report at a time.

    `reports` are gone through once for each family. `copied` are the keys of copied labels,
    `prefix` what their metric labels begin with. A report without a stamp that can be read is not
    served: nobody knows its counts without its body.
    """
    names = tuple((key, label_name(prefix, key)) for key in copied)
    for family, text, kind, severities in _FAMILIES:
        yield f"# HELP {family} {text}\n# TYPE {family} gauge\n".encode()
        for report in reports:
            if report.kind == kind and report.gist.counts:
                yield _samples(family, report, severities, names).encode()


def label_name(prefix: str, key: str) -> str:
    """Return the metric label of a Kubernetes label key, as trivy-operator spells it."""
    return _CAMEL.sub(r"\1_\2", prefix + _NOT_A_LABEL.sub("_", key)).lower()


def _samples(
    family: str,
    report: ReportFact,
    severities: Sequence[str],
    names: Sequence[tuple[str, str]],
) -> str:
    """Return a line per severity; one with a count of 0 is a line too."""
    image, owner, labels = report.gist.artifact, report.owner, dict(report.gist.labels)
    fixed = _labels(
        namespace=report.namespace,
        name=report.name,
        resource_kind=owner.kind if owner else "",
        resource_name=owner.name if owner else "",
        container_name=report.gist.container,
        image_registry=image.registry,
        image_repository=image.repository,
        image_tag=image.tag,
        image_digest=image.digest,
    )
    tail = "".join(f",{name}={_quoted(labels.get(key, ''))}" for key, name in names)
    counted = zip(severities, report.gist.counts, strict=False)  # secrets have no unknown severity
    return "".join(
        f'{family}{{{fixed},severity="{severity}"{tail}}} {count}\n' for severity, count in counted
    )


def _labels(**values: str) -> str:
    return ",".join(f"{name}={_quoted(value)}" for name, value in values.items())


def _quoted(value: str) -> str:
    return f'"{value.translate(_ESCAPES)}"'
