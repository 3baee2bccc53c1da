"""The keys in a client's request are what later matches are made of."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import TransientError
from worker.evidence.image.scan_request import Recording, parse_scan_request

BODY = (Path(__file__).parents[1] / "golden/trivy/scan_request.bin").read_bytes()


def test_the_recorded_request_gives_its_keys() -> None:
    """All four layers, in order: matching applies them one over the other."""
    found = parse_scan_request(BODY)
    assert found.target.startswith("127.0.0.1:50000/sample/app@sha256:")
    assert found.artifact_id.startswith("sha256:85369f2f")
    assert [blob[:15] for blob in found.blob_ids] == [
        "sha256:fa8fbda3",
        "sha256:5d610c73",
        "sha256:02d518cc",
        "sha256:425d1a75",
    ]


def field(number: int, value: bytes) -> bytes:
    """Return a short length-delimited protobuf field."""
    return bytes([number << 3 | 2, len(value)]) + value


def test_fields_of_newer_versions_are_skipped() -> None:
    """Trivy adds fields in every other release."""
    body = (
        bytes([9 << 3 | 0, 0xFF, 0x01])  # a varint of two bytes
        + bytes([10 << 3 | 1]) + bytes(8)  # 64 bits
        + bytes([11 << 3 | 5]) + bytes(4)  # 32 bits
        + field(12, b"new")
        + field(1, b"name") + field(2, b"artifact") + field(3, b"one") + field(3, b"two")
    )  # fmt: skip
    assert parse_scan_request(body) == Recording(
        target="name", artifact_id="artifact", blob_ids=("one", "two")
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        field(1, b"name"),
        b"\x0a\x05ab",
        b"\x0a",
        b"\xff" * 12,
        bytes([1 << 3 | 3]),
        field(2, b"\xff\xfe"),
    ],
)
def test_what_is_no_request_is_said_so(body: bytes) -> None:
    """Empty keys would be stored and never match anything."""
    with pytest.raises(TransientError) as caught:
        parse_scan_request(body)
    assert caught.value.reason == "ScanRequestUnreadable"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_recorder(body: bytes) -> None:
    """The recorder's thread must not die of what a child process sends."""
    with contextlib.suppress(TransientError):
        assert parse_scan_request(body).artifact_id
