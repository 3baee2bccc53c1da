"""What a zstd blob unpacks to, told by the headers of its blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.scanner.zstd_size import ZstdSize

KB = 1024
# Kind of a block, its size, and what it takes of the blob.
BLOCKS = st.lists(
    st.one_of(
        st.integers(0, 300).map(lambda size: (0, size, bytes(size))),
        st.integers(0, 128 * KB).map(lambda size: (1, size, b"x")),
        st.integers(2, 300).map(lambda size: (2, size, b"\xff" * size)),
    ),
    min_size=1,
    max_size=8,
)


def frame(
    blocks: list[tuple[int, int, bytes]], *, described: int = 0, more: bytes = b"\x68"
) -> bytes:
    """Return one frame of these blocks; `more` is what its header has behind the descriptor."""
    blob = b"\x28\xb5\x2f\xfd" + bytes([described]) + more
    for at, (kind, size, content) in enumerate(blocks):
        last = at == len(blocks) - 1
        blob += (last | kind << 1 | size << 3).to_bytes(3, "little") + content
    return blob + (b"sum!" if described & 4 else b"")


def counted(blob: bytes, size: int) -> int:
    """Return what is counted of a blob that arrives in pieces."""
    reader = ZstdSize()
    return sum(reader.update(blob[at : at + size]) for at in range(0, len(blob), size))


def expected(blocks: list[tuple[int, int, bytes]]) -> int:
    """Return what these blocks have at most."""
    return sum(128 * KB if kind == 2 else size for kind, size, _ in blocks)


@given(one=BLOCKS, other=BLOCKS, size=st.integers(1, 400), checksum=st.booleans())
def test_the_bound_does_not_depend_on_how_it_travels(
    one: list[tuple[int, int, bytes]],
    other: list[tuple[int, int, bytes]],
    size: int,
    checksum: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    """Two frames, and one between them that decoders skip, in pieces of any size."""
    skipped = b"\x53\x2a\x4d\x18" + (7).to_bytes(4, "little") + b"skipped"
    blob = frame(one, described=4 * checksum) + skipped + frame(other)
    assert counted(blob, size) == expected(one) + expected(other)


@pytest.mark.parametrize(
    ("described", "more"),
    [
        (0b00_0_000_00, b"\x68"),  # a window
        (0b00_1_000_00, b"\x05"),  # all at once, its size in one byte
        (0b01_1_000_01, b"\x01" + b"\x00\x01"),  # a dictionary, its size in two
        (0b10_0_000_10, b"\x68" + b"\x01\x02" + bytes(4)),
        (0b11_0_001_11, b"\x68" + bytes(4) + bytes(8)),  # and a checksum
    ],
)
def test_every_shape_of_a_frames_header_is_read_over(described: int, more: bytes) -> None:
    """One byte too many, and a block's header is read from the middle of a block."""
    blocks = [(1, 1000, b"x"), (0, 5, b"hello")]
    blob = frame(blocks, described=described, more=more) * 2
    assert counted(blob, 3) == 2 * 1005


@given(blob=st.binary(max_size=400), size=st.integers(1, 50))
def test_garbage_counts_something_and_breaks_nothing(blob: bytes, size: int) -> None:
    """Whoever unpacks it will refuse it."""
    assert counted(b"\x28\xb5\x2f\xfd" + blob, size) >= 0
    assert counted(blob, size) >= 0
