"""Chunks to lines."""

from __future__ import annotations

import pytest

from watcher.stream.lines import LINE_LIMIT_BYTES, LineSplitter, LineTooLongError


def lines_of(*chunks: bytes) -> list[bytes]:
    """Feed chunks; return the lines without their ends."""
    splitter = LineSplitter()
    return [line.rstrip(b"\n") for chunk in chunks for line in splitter.feed(chunk)]


def test_a_chunk_that_is_a_line_is_not_copied() -> None:
    """Go's server sends an event as one chunk: the common case costs nothing."""
    chunk = b'{"type":"ADDED"}\n'
    assert LineSplitter().feed(chunk)[0] is chunk


def test_lines_come_whole_however_they_were_cut() -> None:
    """Proxies cut where they like."""
    assert lines_of(b"a\nb", b"", b"b", b"b\nc\n") == [b"a", b"bbb", b"c"]
    assert lines_of(b"a", b"\n", b"\n") == [b"a", b""]


def test_an_unfinished_line_is_not_a_line_and_is_known() -> None:
    """At the end of a body it is the sign of a torn stream."""
    splitter = LineSplitter()
    assert list(splitter.feed(b"a\nbc")) == [b"a"]
    assert splitter.unfinished_bytes == 2
    assert [bytes(line) for line in splitter.feed(b"d\n")] == [b"bcd\n"]
    assert splitter.unfinished_bytes == 0


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    """Something that never sends a line end is no API server."""
    splitter = LineSplitter()
    piece = b"x" * (LINE_LIMIT_BYTES // 2)
    splitter.feed(piece)
    splitter.feed(piece)
    with pytest.raises(LineTooLongError, match=str(LINE_LIMIT_BYTES)):
        splitter.feed(b"x")
