"""Sentences about reports that hold for any input."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from common.model.bounded import EPOCH_LIMIT
from common.model.canonical import content_hash
from common.model.image import Os
from common.reports.assemble import LabelPolicy, assemble, draft, metadata_patch
from common.reports.body import ReportBody, body_hash
from common.reports.catalog import PRODUCED_KINDS
from common.reports.duration import go_duration, parse_go_duration
from common.reports.fit import fit, size_bytes
from common.reports.labels import OWN_ANNOTATIONS, OWN_LABELS
from common.reports.naming import (
    check_report_name,
    collision_name,
    container_report_name,
    hash_string,
    infra_report_name,
    is_dns_label,
    is_label_value,
)
from common.reports.stamp import (
    CONTENT_HASH_ANNOTATION,
    STAMP_ANNOTATION,
    Stamp,
    StampArtifact,
    StampInput,
    parse,
    render,
)
from tests.fakes.report_builders import NOW, row

_TEXT = st.text(max_size=40)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | _TEXT,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(_TEXT, below, max_size=4),
    max_leaves=20,
)
_REPORT = st.dictionaries(_TEXT, _JSON, max_size=6)
_DNS = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,80}[a-z0-9])?", fullmatch=True)
_CONTAINER = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
_KIND = st.sampled_from(["Pod", "ReplicaSet", "StatefulSet", "CronJob"])
_SEVERITY = st.sampled_from(["CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN"])
_FINDING = st.fixed_dictionaries(
    {
        "vulnerabilityID": _TEXT,
        "severity": _SEVERITY,
        "title": st.text(max_size=300),
        "links": st.lists(_TEXT, max_size=3),
    },
    optional={"description": st.text(max_size=500), "packagePURL": st.just("pkg:a/b?c&d<e>")},
)
_SECRET = st.fixed_dictionaries(
    {
        "severity": _SEVERITY,
        "title": _TEXT,
        "match": st.text(max_size=500),
        "target": _TEXT,
    }
)
_COMPONENT = st.fixed_dictionaries(
    {"bom-ref": _TEXT},
    optional={
        "properties": st.lists(_JSON, max_size=3),
        "hashes": st.lists(_JSON, max_size=3),
        "name": _TEXT,
    },
)
_SUMMARY = st.dictionaries(st.sampled_from(["highCount", "lowCount"]), st.integers(0, 10**6))


def _shuffled(value: Any, draw: random.Random) -> Any:
    """Return an equal value whose maps are filled in another order."""
    match value:
        case dict():
            names = list(value)
            draw.shuffle(names)
            return {name: _shuffled(value[name], draw) for name in names}
        case list():
            return [_shuffled(below, draw) for below in value]
        case _:
            return value


def _bodies() -> st.SearchStrategy[ReportBody]:
    bom = st.fixed_dictionaries(
        {
            "components": st.lists(_COMPONENT, max_size=8),
            "dependencies": st.lists(_JSON, max_size=4),
        },
        optional={"metadata": st.fixed_dictionaries({"component": _COMPONENT})},
    )
    parts = (
        ("VulnerabilityReport", "vulnerabilities", st.lists(_FINDING, max_size=12)),
        ("ExposedSecretReport", "secrets", st.lists(_SECRET, max_size=12)),
        ("SbomReport", "components", bom),
    )
    kinds: list[st.SearchStrategy[ReportBody]] = [
        st.builds(
            lambda kind, field, content, summary: ReportBody(
                kind=kind, report={"summary": summary, field: content}
            ),
            st.just(kind),
            st.just(field),
            content,
            _SUMMARY,
        )
        for kind, field, content in parts
    ]
    return st.one_of(kinds)


@given(_REPORT, st.randoms(use_true_random=False))
def test_equal_bodies_have_equal_hashes_whatever_the_order_of_keys(
    report: dict[str, Any], draw: random.Random
) -> None:
    """A report is written only if its content differs, and order is not content."""
    one = ReportBody(kind="SbomReport", report=report)
    other = ReportBody(kind="SbomReport", report=_shuffled(report, draw))
    assert body_hash(one) == body_hash(other)


@given(_REPORT, _REPORT)
def test_different_bodies_have_different_hashes(
    report: dict[str, Any], other: dict[str, Any]
) -> None:
    """A difference that is not seen is a report that stays false."""
    same = content_hash(report) == content_hash(other)
    hashes = [body_hash(ReportBody(kind="SbomReport", report=one)) for one in (report, other)]
    assert (hashes[0] == hashes[1]) is same


@given(_bodies(), st.integers(0, 4000))
@settings(max_examples=200)
def test_a_fitted_body_is_within_the_limit_or_as_small_as_it_gets(
    body: ReportBody, limit: int
) -> None:
    """Whatever an image holds: the API server must be able to store its report."""
    cut = fit(body, limit)
    smallest = fit(body, 0)
    assert size_bytes(cut.report) <= max(limit, size_bytes(smallest.report))
    assert cut.report["summary"] == body.report["summary"]


@given(_bodies(), st.integers(0, 4000))
def test_a_body_is_marked_exactly_when_something_was_left_out(body: ReportBody, limit: int) -> None:
    """An unmarked report is complete."""
    cut = fit(body, limit)
    assert bool(cut.truncated) is (cut.report != body.report)


@given(_bodies(), st.integers(0, 4000))
def test_fitting_again_changes_nothing(body: ReportBody, limit: int) -> None:
    """Unchanged input must not be written a second time."""
    cut = fit(body, limit)
    assert fit(cut, limit).report == cut.report


@given(_REPORT)
def test_the_size_is_what_gos_encoder_would_write(report: dict[str, Any]) -> None:
    """Compared with an encoder of its own: JSON with five characters spelled out."""
    plain = {name: value for name, value in report.items() if not _has_float(value)}
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    assert size_bytes(plain) == len(text.encode())


def _has_float(value: Any) -> bool:
    """Floats are spelled in more than one way; the definitions hold few."""
    match value:
        case dict():
            return any(map(_has_float, value.values()))
        case list():
            return any(map(_has_float, value))
        case _:
            return isinstance(value, float)


@given(_KIND, _DNS, _CONTAINER)
def test_a_report_name_is_one_that_the_api_server_takes(
    kind: str, name: str, container: str
) -> None:
    """A refused name would park the workload for ever."""
    for made in (
        container_report_name(kind, name, container),
        check_report_name(kind, name),
        infra_report_name(kind, name),
        collision_name(kind, name, container),
    ):
        assert is_label_value(made)
        assert made == made.lower()
    assert is_dns_label(check_report_name(kind, name))


@given(st.text())
def test_the_hash_is_short_and_safe(text: str) -> None:
    """1 to 10 characters that can neither spell a word nor need quoting."""
    made = hash_string(text)
    assert 1 <= len(made) <= 10
    assert set(made) <= set("456789bcdf")


@given(st.integers(0, 10**9))
def test_a_printed_duration_is_read_back(seconds: int) -> None:
    """What is written into the annotation must mean the same to its reader."""
    assert parse_go_duration(go_duration(seconds)) == seconds


@given(st.text(alphabet="0123456789.hmsnuµ+-", max_size=12))
def test_reading_a_duration_never_fails(text: str) -> None:
    """Anybody may edit an annotation."""
    parsed = parse_go_duration(text)
    assert parsed is None or isinstance(parsed, float)


_STAMPS = st.builds(
    Stamp,
    content_hash=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    epoch=st.integers(0, EPOCH_LIMIT),
    generation=st.integers(0, 2**53),
    inputs=st.lists(
        st.builds(StampInput, digest=_TEXT, platform=_TEXT, options=_TEXT), max_size=3
    ).map(tuple),
    summary=st.dictionaries(_TEXT, st.integers(0, 10**6), max_size=6),
    artifact=st.builds(StampArtifact, registry=_TEXT, repository=_TEXT, tag=_TEXT, digest=_TEXT),
    os=st.builds(Os, family=_TEXT, name=_TEXT, eosl=st.booleans()),
    covered=st.booleans(),
    db_version=_TEXT,
)


@given(_STAMPS)
def test_any_stamp_is_read_as_it_was_written(stamp: Stamp) -> None:
    """What one worker stamps the next one must understand."""
    assert parse(render(stamp)) == stamp


@given(st.text(max_size=60), st.text(max_size=60) | _JSON.map(json.dumps))
def test_reading_a_stamp_never_fails(hashed: str, text: str) -> None:
    """Anybody may edit an annotation; bad text is no stamp."""
    stamp = parse({CONTENT_HASH_ANNOTATION: hashed, STAMP_ANNOTATION: text})
    assert stamp is None or isinstance(stamp.epoch, int)


class _Stored:
    """Metadata of a stored report."""

    def __init__(self, labels: dict[str, str], annotations: dict[str, str]) -> None:
        self.labels = labels
        self.annotations = annotations
        self.resource_version = "1"


_NAMES = st.sampled_from(sorted(OWN_LABELS | OWN_ANNOTATIONS | {"foreign/one", "foreign/two"}))
_STORED = st.builds(
    _Stored,
    labels=st.dictionaries(_NAMES, _TEXT, max_size=6),
    annotations=st.dictionaries(_NAMES, _TEXT, max_size=6),
)


@given(stored=_STORED, kind=st.sampled_from(PRODUCED_KINDS), covered=st.booleans())
def test_merging_is_done_after_once_and_keeps_what_is_foreign(
    *, stored: _Stored, kind: str, covered: bool
) -> None:
    """The second pass over the same cluster finds nothing to write."""
    wanted = draft(
        row(),
        "app",
        ReportBody(kind=kind, report={"summary": {}}, covered=covered),
        policy=LabelPolicy(report_ttl="24h0m0s"),
    )
    stamp = Stamp(content_hash=wanted.content_hash, epoch=1, generation=1)
    first: Any = assemble(wanted, stamp, now=NOW, existing=stored)["metadata"]
    again = _Stored(first["labels"], first["annotations"])
    assert assemble(wanted, stamp, now=NOW, existing=again)["metadata"] == first
    patch: Any = metadata_patch(wanted, stamp, existing=again)["metadata"]
    assert {**first["labels"], **patch["labels"]} == first["labels"]
    assert {**first["annotations"], **patch["annotations"]} == first["annotations"]
    for name in ("labels", "annotations"):
        kept = {
            key: value
            for key, value in getattr(stored, name).items()
            if key not in OWN_LABELS | OWN_ANNOTATIONS
        }
        assert kept.items() <= first[name].items()
