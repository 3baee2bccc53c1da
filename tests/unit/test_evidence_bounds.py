"""What is kept of an image is bounded, and what was too much is told with exact counts."""

from __future__ import annotations

import json
import zlib
from contextlib import closing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import TerminalError, TransientError
from common.model.evidence import EVIDENCE_LIMIT_BYTES, left_out
from common.model.image import Inventory, Os
from common.reports.fit import fit
from common.state.images import pack, unpack_record
from common.state.readable import inflate
from tests.fakes.report_builders import context, image_key, record
from tests.fakes.web import Say, web
from worker.evidence.image import wire
from worker.evidence.image.bounded_bom import read_bom
from worker.evidence.image.match import TwirpMatcher
from worker.project.sbom import project


def document(components: int, dependencies: int) -> bytes:
    """Return a CycloneDX document as Trivy writes one."""
    whole = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "version": 1,
        "metadata": {"component": {"bom-ref": "root", "type": "container", "name": "web"}},
        "components": [
            {"bom-ref": f"pkg:npm/p@{at}", "type": "library", "name": f"p{at}"}
            for at in range(components)
        ],
        "dependencies": [{"ref": f"pkg:npm/p@{at}"} for at in range(dependencies)],
    }
    return json.dumps(whole).encode()


def inventory(**fields: Any) -> Inventory:
    """Return an inventory."""
    values: dict[str, Any] = {
        "scanner_version": "0.76.0",
        "artifact_id": "a",
        "blob_ids": ("b",),
        "target": "t",
        "os": Os(),
        "covered": True,
        "has_packages": True,
    }
    return Inventory(**(values | fields))


@given(components=st.integers(0, 30), dependencies=st.integers(0, 30))
def test_an_sbom_beyond_its_limit_is_told_by_its_counts_and_marked(
    components: int, dependencies: int
) -> None:
    """The report says what it lacks; its counts are those of the whole document."""
    written = document(components, dependencies)
    whole = read_bom(written, scanner_version="0.76.0")
    cut = read_bom(written, scanner_version="0.76.0", limit_bytes=len(written) - 1)
    assert left_out(whole) == (0, 0)
    assert left_out(cut) == (components, dependencies)
    assert cut["components"] == []
    bodies = [project([(image_key(), record(sbom=bom))], context()) for bom in (whole, cut)]
    assert all(body is not None for body in bodies)
    first, second = (body.report["summary"] for body in bodies if body is not None)
    assert first == second
    marks = [body.truncated for body in bodies if body is not None]
    lacking = bool(components or dependencies)
    assert marks == [(), ("dependencies", "details") if lacking else ()]


def test_the_mark_outlives_the_fitting() -> None:
    """A body that fits is sent as it is, with what it lacked before."""
    cut = read_bom(document(3, 3), scanner_version="0.76.0", limit_bytes=1)
    body = project([(image_key(), record(sbom=cut))], context())
    assert body is not None
    assert fit(body).truncated == ("dependencies", "details")


def test_what_is_no_sbom_is_told_apart_whatever_its_size() -> None:
    """A cut file is tried again."""
    for limit in (1, 10_000):
        with pytest.raises(TransientError) as caught:
            read_bom(document(3, 3)[:-9], scanner_version="0.76.0", limit_bytes=limit)
        assert caught.value.reason == "ReportUnreadable"


@pytest.mark.parametrize("stored", [{}, {"leftOut": 3}, {"leftOut": {"components": "x"}}])
def test_a_mark_by_anothers_hand_breaks_nothing(stored: dict[str, object]) -> None:
    """Records may be written by anybody who reaches Redis."""
    assert left_out(stored) == (0, 0)


def test_an_answer_that_nobody_would_read_is_a_refusal_with_its_class() -> None:
    """Else the worker hangs up, and takes the scanner for dead, over and over."""
    big = inventory(sbom={"components": ["x" * EVIDENCE_LIMIT_BYTES]})
    frame = wire.answer_frame(wire.Done(inventory=big, seconds=1.0))
    answer = wire.decode_answer(frame[4:])
    assert isinstance(answer, wire.Failed)
    error = wire.raised(answer)
    assert isinstance(error, TerminalError)
    assert error.reason == "EvidenceTooLarge"
    assert "64 MB" in str(error)
    small = wire.answer_frame(wire.Done(inventory=inventory(), seconds=1.0))
    assert isinstance(wire.decode_answer(small[4:]), wire.Done)


def test_a_match_servers_answer_is_read_as_far_as_its_limit() -> None:
    """Findings without end would fill the worker first, and Redis next."""
    found = {"vulnerability_id": "CVE-1", "pkg_name": "a", "installed_version": "1"}
    huge = json.dumps({"results": [{"vulnerabilities": [found]}]}).encode()
    huge += b" " * EVIDENCE_LIMIT_BYTES
    version = json.dumps({"VulnerabilityDB": {"UpdatedAt": "v1"}}).encode()
    with (
        web(lambda asked: Say(body=version if asked.path == "/version" else huge)) as server,
        closing(TwirpMatcher(server.url)) as matcher,
        pytest.raises(TerminalError) as caught,
    ):
        matcher.match(inventory())
    assert caught.value.reason == "EvidenceTooLarge"


def test_a_stored_bomb_is_unreadable_and_fills_no_memory() -> None:
    """Redis is shared: whoever writes there must not take every worker down."""
    bomb = zlib.compress(msgspec.json.encode("x" * (EVIDENCE_LIMIT_BYTES + 1)))
    assert len(bomb) < 100_000
    assert unpack_record(bomb, bomb, b"").inventory is None
    with pytest.raises(zlib.error):
        inflate(bomb)
    stored = pack(inventory())
    assert unpack_record(stored, b"", b"").inventory == inventory()
    assert unpack_record(stored[:-5], b"", b"").inventory is None
