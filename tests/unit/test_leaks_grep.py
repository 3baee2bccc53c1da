"""The search for leaked secrets finds what it is meant to find; else it would prove nothing."""

from __future__ import annotations

import base64
import gzip
import zlib

import pytest

from tests.leaks import holds, leaks, made_up

SECRET = made_up("here")


@pytest.mark.parametrize(
    "content",
    [
        f"before {SECRET} after".encode(),
        base64.b64encode(f"robot:{SECRET}".encode()),
        base64.b64encode(f"bob:{SECRET}".encode()),
        base64.urlsafe_b64encode(f"an:{SECRET}?".encode()),
        SECRET.encode().hex().encode(),
        b"a row\n" + zlib.compress(f'{{"text":"{SECRET}"}}'.encode(), 1) + b"\nanother row",
        b"\x00" + zlib.compress(base64.b64encode(SECRET.encode()), 9),
        gzip.compress(SECRET.encode()),
    ],
)
def test_every_spelling_is_found(content: bytes) -> None:
    """As credentials travel and as records are stored."""
    assert holds(content, SECRET)
    assert leaks({"it": SECRET, "another": made_up("else")}, {"there": content}) == ["it: there"]


def test_what_is_not_there_is_not_found() -> None:
    """Half of a secret is none."""
    assert not holds(f"{SECRET[:-3]} {SECRET[3:]}".encode(), SECRET)
