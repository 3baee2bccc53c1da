"""Sentences about projection that hold for any evidence."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from common.model.image import Finding, ImageRecord, Match, Os, Secret
from common.model.key import ImageKey
from tests.fakes.report_builders import NOW, context, inventory
from tests.fakes.report_schema import validate
from worker.project import sbom, secret, vulnerability
from worker.project.bom import Bom, Component, Dependency, steady
from worker.project.context import ADDITIONAL_FIELDS, SEVERITIES

_TEXT = st.text(max_size=12)
_FEW = st.sampled_from(["", "a", "b"])
_SEVERITY = st.sampled_from([*SEVERITIES, "", "NEGLIGIBLE"])
_FINDINGS = st.lists(
    st.builds(
        Finding,
        vulnerability_id=st.sampled_from(["CVE-1", "CVE-2", "CVE-3"]),
        resource=_FEW,
        installed_version=_FEW,
        fixed_version=_FEW,
        severity=_SEVERITY,
        title=_TEXT,
        description=_TEXT,
        score=st.none() | st.floats(0, 10),
        target=st.sampled_from(["scanned (alpine 3.18)", "Node.js", "scanned"]),
        package_class=st.sampled_from(["os-pkgs", "lang-pkgs"]),
        package_path=_FEW,
        purl=_FEW,
        links=st.lists(_TEXT, max_size=2).map(tuple),
        cvss=st.dictionaries(
            _FEW, st.dictionaries(st.sampled_from(["V3Score"]), st.floats(0, 10)), max_size=2
        ),
    ),
    max_size=6,
).map(tuple)
_SECRETS = st.lists(
    st.builds(
        Secret,
        target=st.sampled_from(["/a", "/b", "scanned"]),
        rule_id=_FEW,
        title=_TEXT,
        category=_TEXT,
        severity=_SEVERITY,
        match=_FEW,
    ),
    max_size=5,
).map(tuple)
_KEYS = st.builds(
    ImageKey,
    digest=st.sampled_from(["sha256:" + one * 64 for one in "abc"]),
    platform=st.sampled_from(["linux-amd64", "linux-arm64"]),
    options=st.just("0f0f0f0f"),
)
_RECORDS = st.builds(
    lambda findings, secrets, os, covered: ImageRecord(
        inventory=inventory(secrets=secrets, os=os, covered=covered, target="scanned"),
        match=Match(db_version="", findings=findings),
    ),
    _FINDINGS,
    _SECRETS,
    st.builds(Os, family=_FEW, name=_FEW, eosl=st.booleans()),
    st.booleans(),
)
_EVIDENCE = st.dictionaries(_KEYS, _RECORDS, min_size=1, max_size=3).map(
    lambda found: list(found.items())
)
_VIEWS = st.builds(
    lambda severities, statuses, fields: context(
        severities=severities, ignored_statuses=statuses, additional_fields=fields
    ),
    st.frozensets(st.sampled_from(SEVERITIES)),
    st.frozensets(st.sampled_from(["affected", "fixed"])),
    st.frozensets(st.sampled_from(ADDITIONAL_FIELDS)),
)


@given(_EVIDENCE, _VIEWS)
def test_any_evidence_gives_a_report_that_the_api_server_accepts(
    evidence: list[Any], view: Any
) -> None:
    """And none of its fields is pruned: the definition names them all."""
    for body in (vulnerability.project(evidence, view), secret.project(evidence, view)):
        validate(body.kind, {"updateTimestamp": NOW, **body.report})


@given(_EVIDENCE, _VIEWS)
def test_counts_add_up_to_the_entries(evidence: list[Any], view: Any) -> None:
    """Nothing is counted that is not told, and the other way round."""
    for body, field in (
        (vulnerability.project(evidence, view), "vulnerabilities"),
        (secret.project(evidence, view), "secrets"),
    ):
        summary: Any = body.report["summary"]
        entries: Any = body.report[field]
        assert sum(summary.values()) == len(entries)


@given(_EVIDENCE, _VIEWS, st.randoms(use_true_random=False))
def test_no_order_matters_but_the_primarys(
    evidence: list[Any], view: Any, draw: random.Random
) -> None:
    """Trap 30. Pods come and go, Trivy lists as it likes: only the newest pod's digest leads."""
    primary, *others = ((key, _reshuffled(record, draw)) for key, record in evidence)
    draw.shuffle(others)
    for module in (vulnerability, secret):
        assert module.project(evidence, view) == module.project([primary, *others], view)


def _reshuffled(record: ImageRecord, draw: random.Random) -> ImageRecord:
    """Return the record as another run of Trivy might have listed it."""
    assert record.match is not None
    assert record.inventory is not None
    findings, secrets = list(record.match.findings), list(record.inventory.secrets)
    draw.shuffle(findings)
    draw.shuffle(secrets)
    return msgspec.structs.replace(
        record,
        inventory=msgspec.structs.replace(record.inventory, secrets=tuple(secrets)),
        match=Match(db_version="later", findings=tuple(findings)),
    )


@given(_EVIDENCE, _VIEWS)
def test_a_further_image_never_hides_a_finding(evidence: list[Any], view: Any) -> None:
    """The union of more images tells at least what the primary alone tells."""
    alone: Any = vulnerability.project(evidence[:1], view).report["vulnerabilities"]
    all_of_them: Any = vulnerability.project(evidence, view).report["vulnerabilities"]
    told = {one["vulnerabilityID"] for one in all_of_them}
    assert {one["vulnerabilityID"] for one in alone} <= told


_REFS = st.sampled_from(
    [
        "e14111d4-b121-496a-85e7-544d984d2f0f",
        "00000000-1111-4222-8333-444444444444",
        "11111111-1111-4222-8333-444444444444",
        "pkg:a/a@1",
        "pkg:a/b@1",
    ]
)
_BOMS = st.builds(
    lambda refs, names, needs: Bom(
        root=Component(ref="root", name="app"),
        components=tuple(
            Component(ref=ref, name=name) for ref, name in zip(refs, names, strict=False)
        ),
        dependencies=tuple(Dependency(ref=ref, depends_on=tuple(on)) for ref, on in needs.items()),
        spec_version="1.7",
    ),
    st.lists(_REFS, unique=True, max_size=5),
    st.lists(_FEW, min_size=5, max_size=5),
    st.dictionaries(_REFS, st.lists(_REFS, unique=True, max_size=2), max_size=3),
)


@given(_BOMS)
def test_steadying_twice_is_steadying_once(bom: Bom) -> None:
    """An inventory that was made steady before stays what it is in number and content."""
    once = steady(bom)
    assert len(once.components) == len({one.ref for one in once.components}) == len(bom.components)
    assert sorted(one.name for one in once.components) == sorted(one.name for one in bom.components)


@given(_BOMS, st.randoms(use_true_random=False))
def test_the_order_of_components_does_not_matter(bom: Bom, draw: random.Random) -> None:
    """Trap 32. Trivy orders by identifiers that it draws at random."""
    shuffled = list(bom.components)
    draw.shuffle(shuffled)
    assert steady(bom) == steady(msgspec.structs.replace(bom, components=tuple(shuffled)))


@given(_EVIDENCE)
def test_no_document_no_report(evidence: list[Any]) -> None:
    """An SBOM report without a document would claim an empty image."""
    assert sbom.project(evidence, context()) is None
