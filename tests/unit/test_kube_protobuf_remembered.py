"""What was read from the same bytes before is not read again, and takes little room."""

from __future__ import annotations

import pytest

from common.kube.protobuf.remembered import Remembered


def test_the_same_bytes_are_read_once() -> None:
    """Most of a Pod stays as it is when its status changes."""
    read: list[bytes] = []

    def reader(raw: bytes) -> list[bytes]:
        read.append(raw)
        return [raw]

    known = Remembered(reader, most=8)
    first = known(b"spec")
    assert known(bytes(bytearray(b"spec"))) is first  # equal, and not the same object
    assert known(b"other") == [b"other"]
    assert read == [b"spec", b"other"]


def test_bytes_that_cannot_be_read_are_refused_each_time() -> None:
    """An error that became a value would hide a Pod."""

    def reader(raw: bytes) -> int:
        raise ValueError(raw)

    known = Remembered(reader, most=8)
    for _ in range(2):
        with pytest.raises(ValueError, match="spec"):
            known(b"spec")


def test_it_does_not_grow_without_end() -> None:
    """A cluster has more Pods than are remembered."""
    known = Remembered[bytes, int](int, most=8)
    for number in range(100):
        assert known(str(number).encode()) == number
    assert len(known._known) <= 8
