"""A layer's content by its name, however it is packed and however it arrives."""

from __future__ import annotations

import gzip
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import DamagedImageError, TerminalError
from worker.scanner.layer_content import LayerContent

CONTENT = bytes(range(256)) * 5000


def name(content: bytes) -> str:
    """Return a content's name."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def seen(*pieces: bytes) -> str:
    """Return what a layer that arrives in pieces unpacks to."""
    content = LayerContent(lambda _: None, named=True)
    for piece in pieces:
        content.update(piece)
    return content.diff_id()


@given(content=st.binary(max_size=3000), more=st.binary(max_size=300), size=st.integers(1, 700))
def test_the_name_does_not_depend_on_how_it_travels(content: bytes, more: bytes, size: int) -> None:
    """Packed once, packed in two parts, not packed: in pieces of any size."""
    for blob in (
        gzip.compress(content + more),
        gzip.compress(content) + gzip.compress(more),
        b"plain" + content + more,
    ):
        expected = content + more if blob[:2] == b"\x1f\x8b" else blob
        pieces = [blob[at : at + size] for at in range(0, len(blob), size)]
        assert seen(*pieces) == name(expected)


def test_a_large_layer_is_unpacked_in_parts() -> None:
    """A bomb of a thousand to one fills no memory."""
    spent: list[int] = []
    content = LayerContent(spent.append, named=True)
    bomb = bytes(20_000_000)
    content.update(gzip.compress(bomb))
    assert content.diff_id() == name(bomb)
    assert sum(spent) == len(bomb)
    assert max(spent) <= 1024 * 1024


def test_who_counts_may_end_it() -> None:
    """The limit on an image is kept while it unpacks."""

    def refuse(_: int) -> None:
        raise TerminalError("too large")

    with pytest.raises(TerminalError):
        LayerContent(refuse, named=True).update(gzip.compress(CONTENT))


@pytest.mark.parametrize(
    "blob",
    [
        gzip.compress(CONTENT)[:40] + b"garbage" * 9,
        gzip.compress(CONTENT) + b"more of it",
        gzip.compress(CONTENT)[:-1] + b"?",
    ],
)
def test_what_cannot_be_unpacked_is_damaged(blob: bytes) -> None:
    """It is told at the end: damage on the way is told by the blob's own digest."""
    content = LayerContent(lambda _: None, named=True)
    content.update(blob)
    content.update(b"more")
    with pytest.raises(DamagedImageError):
        content.diff_id()


def test_a_layer_that_is_cut_has_another_name() -> None:
    """Half a layer is never taken for the whole."""
    assert seen(gzip.compress(CONTENT)[:-30]) != name(CONTENT)


def test_zstd_passes_for_nobody_here_can_unpack_it() -> None:
    """docs/limits.md says so."""
    assert seen(b"\x28\xb5\x2f\xfd" + CONTENT) == ""


def test_a_layer_of_a_few_bytes_is_what_it_is() -> None:
    """Too short to say how it is packed."""
    assert seen(b"abc") == name(b"abc")
    assert seen() == name(b"")


def test_without_a_name_it_is_counted_all_the_same() -> None:
    """A limit on what layers unpack to holds where nobody verifies them."""
    spent: list[int] = []
    content = LayerContent(spent.append, named=False)
    content.update(gzip.compress(CONTENT))
    assert content.diff_id() == ""
    assert sum(spent) == len(CONTENT)


def test_zstd_is_counted_from_its_first_block_to_its_last() -> None:
    """Nobody here can unpack it, and a bomb of it is worse than one of gzip."""
    blocks = 40 * ((1 << 1 | 128 * 1024 << 3).to_bytes(3, "little") + b"\0")
    blob = b"\x28\xb5\x2f\xfd\x00\x68" + blocks
    for size in (1, 7, len(blob)):
        spent: list[int] = []
        content = LayerContent(spent.append, named=True)
        for at in range(0, len(blob), size):
            content.update(blob[at : at + size])
        assert sum(spent) == 40 * 128 * 1024
