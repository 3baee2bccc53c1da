"""Reads and writes BoltDB files, the container of Trivy's vulnerability database.

Promise: what `write` wrote, bbolt opens and its own checker accepts, and `read` returns it equal.
The whole file is built at once, in memory, as bbolt would leave it after compaction: no free
pages, no second transaction. Not for files that do not fit in memory.

All numbers are little-endian. Source: the format as bbolt's `internal/common` declares it.

    file     pages of 4096 bytes: 0 and 1 meta, 2 the empty freelist, then the tree, children first
    page     id, flags, count of elements, count of overflow pages; then the elements
    leaf     flags (1: the value is a bucket), distance to its key, length of key, length of value
    branch   distance to its key, length of key, page of the child; the key is the child's first
    bucket   root page (0: a whole leaf page follows inline), sequence
    meta     magic, version, page size, flags, root bucket, freelist, pages, transaction, checksum
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

Tree: TypeAlias = "Mapping[str, bytes | Tree]"
T = TypeVar("T")

PAGE_BYTES = 4096
_MAGIC, _VERSION = 0xED0CDAED, 2
_BRANCH, _LEAF, _META, _FREELIST = 0x01, 0x02, 0x04, 0x10
_IS_BUCKET = 1
_FIRST_FREE_PAGE = 3
# bbolt keeps a bucket inside its parent's value up to a quarter of a page (`maxInlineBucketSize`).
_INLINE_BYTES = PAGE_BYTES // 4
_KEY_LIMIT_BYTES = 32_768  # bbolt's MaxKeySize

_PAGE = struct.Struct("<QHHI")
_LEAF_ELEMENT = struct.Struct("<IIII")
_BRANCH_ELEMENT = struct.Struct("<IIQ")
_BUCKET = struct.Struct("<QQ")
_META_BODY = struct.Struct("<IIIIQQQQQ")
_CHECKSUM = struct.Struct("<Q")


class _Entry(NamedTuple):
    key: bytes
    value: bytes
    flags: int


class _Child(NamedTuple):
    first_key: bytes
    page: int


class _Pages:
    """The pages written so far; ids grow in the order of writing."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.next_id = _FIRST_FREE_PAGE

    def add(self, flags: int, count: int, body: bytes) -> int:
        """Append one page, with as many overflow pages as `body` needs, and return its id."""
        pages = -(-(_PAGE.size + len(body)) // PAGE_BYTES)
        page_id = self.next_id
        self.chunks.append(_page(page_id, flags, count, body, overflow=pages - 1))
        self.next_id += pages
        return page_id


def write(path: Path, tree: Tree) -> int:
    """Write `tree` to `path` and return the file's size in bytes.

    Raises ValueError for an empty or overlong key: bbolt cannot hold it.
    """
    pages = _Pages()
    root = _store(pages, _entries(pages, tree))
    metas = [_meta(page_id, root, pages.next_id) for page_id in (0, 1)]
    content = b"".join((*metas, _page(2, _FREELIST, 0, b""), *pages.chunks))
    path.write_bytes(content)
    return len(content)


def read(path: Path) -> Tree:
    """Return the whole tree of the file at `path`.

    Raises ValueError for a file that is no BoltDB of version 2 with pages of 4096 bytes.
    """
    content = path.read_bytes()
    return dict(_read_page(content, _root_of(content, path) * PAGE_BYTES, content))


# --- writing -------------------------------------------------------------------------------------


def _page(page_id: int, flags: int, count: int, body: bytes, *, overflow: int = 0) -> bytes:
    head = _PAGE.pack(page_id, flags, count, overflow)
    return (head + body).ljust((overflow + 1) * PAGE_BYTES, b"\0")


def _meta(page_id: int, root: int, pages: int) -> bytes:
    # The transaction number is the page's own: of two valid metas the higher one counts.
    body = _META_BODY.pack(_MAGIC, _VERSION, PAGE_BYTES, 0, root, 0, 2, pages, page_id)
    return _page(page_id, _META, 0, body + _CHECKSUM.pack(_fnv1a_64(body)))


def _fnv1a_64(data: bytes) -> int:
    """Return the checksum that bbolt expects behind a meta (FNV-1a, 64 bits)."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def _entries(pages: _Pages, tree: Tree) -> list[_Entry]:
    """Return the tree's own level as sorted leaf entries; nested buckets are stored first."""
    entries = []
    for key, value in tree.items():
        raw = key.encode()
        if not 0 < len(raw) <= _KEY_LIMIT_BYTES:
            raise ValueError(
                f"BoltDB key of {len(raw)} bytes; 1 to {_KEY_LIMIT_BYTES} are possible"
            )
        if isinstance(value, Mapping):
            entries.append(_Entry(raw, _bucket(pages, value), _IS_BUCKET))
        else:
            entries.append(_Entry(raw, value, 0))
    return sorted(entries)


def _bucket(pages: _Pages, tree: Tree) -> bytes:
    """Return the value that stands for a nested bucket: inline if small and flat, as bbolt does."""
    entries = _entries(pages, tree)
    body = _leaf_body(entries)
    nested = any(entry.flags & _IS_BUCKET for entry in entries)
    if not nested and _PAGE.size + len(body) <= _INLINE_BYTES:
        return _BUCKET.pack(0, 0) + _PAGE.pack(0, _LEAF, len(entries), 0) + body
    return _BUCKET.pack(_store(pages, entries), 0)


def _store(pages: _Pages, entries: Sequence[_Entry]) -> int:
    """Store one bucket as a B+tree and return its root page: leaves, then branches over them."""
    level = [
        _Child(chunk[0].key if chunk else b"", pages.add(_LEAF, len(chunk), _leaf_body(chunk)))
        for chunk in _chunks(entries, lambda e: _LEAF_ELEMENT.size + len(e.key) + len(e.value))
    ]
    while len(level) > 1:
        level = [
            _Child(chunk[0].first_key, pages.add(_BRANCH, len(chunk), _branch_body(chunk)))
            for chunk in _branch_chunks(level)
        ]
    return level[0].page


def _branch_chunks(level: Sequence[_Child]) -> list[list[_Child]]:
    """Split one level so that no branch has a single child, which bbolt never writes."""
    chunks = list(_chunks(level, lambda c: _BRANCH_ELEMENT.size + len(c.first_key)))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-1].insert(0, chunks[-2].pop())
    return chunks


def _chunks(items: Sequence[T], size_bytes: Callable[[T], int]) -> Iterator[list[T]]:
    """Fill pages in order; an item larger than a page gets one of its own. Always at least one."""
    chunk: list[T] = []
    used = _PAGE.size
    for item in items:
        size = size_bytes(item)
        if chunk and used + size > PAGE_BYTES:
            yield chunk
            chunk, used = [], _PAGE.size
        chunk.append(item)
        used += size
    yield chunk


def _leaf_body(entries: Sequence[_Entry]) -> bytes:
    elements, data = [], []
    position = _LEAF_ELEMENT.size * len(entries)
    for number, (key, value, flags) in enumerate(entries):
        distance = position - _LEAF_ELEMENT.size * number
        elements.append(_LEAF_ELEMENT.pack(flags, distance, len(key), len(value)))
        data.append(key + value)
        position += len(key) + len(value)
    return b"".join(elements + data)


def _branch_body(children: Sequence[_Child]) -> bytes:
    elements, data = [], []
    position = _BRANCH_ELEMENT.size * len(children)
    for number, (key, page) in enumerate(children):
        distance = position - _BRANCH_ELEMENT.size * number
        elements.append(_BRANCH_ELEMENT.pack(distance, len(key), page))
        data.append(key)
        position += len(key)
    return b"".join(elements + data)


# --- reading -------------------------------------------------------------------------------------


def _root_of(content: bytes, path: Path) -> int:
    """Return the root page of the newest valid meta."""
    newest: tuple[int, int] | None = None
    for start in (_PAGE.size, PAGE_BYTES + _PAGE.size):
        raw = content[start : start + _META_BODY.size]
        stored = content[start + _META_BODY.size : start + _META_BODY.size + _CHECKSUM.size]
        if len(stored) < _CHECKSUM.size or _CHECKSUM.unpack(stored)[0] != _fnv1a_64(raw):
            continue
        magic, version, page_bytes, _, root, _, _, _, transaction = _META_BODY.unpack(raw)
        if (magic, version, page_bytes) == (_MAGIC, _VERSION, PAGE_BYTES):
            newest = max(newest or (-1, 0), (transaction, root))
    if newest is None:
        raise ValueError(f"{path.name} is no BoltDB file of version 2 with {PAGE_BYTES}-byte pages")
    return newest[1]


def _read_page(page: bytes, start: int, content: bytes) -> Iterator[tuple[str, bytes | Tree]]:
    """Yield the keys and values below one page; `page` may be an inline bucket's own bytes."""
    _, flags, count, _ = _PAGE.unpack_from(page, start)
    for number in range(count):
        if flags & _BRANCH:
            at = start + _PAGE.size + _BRANCH_ELEMENT.size * number
            child = _BRANCH_ELEMENT.unpack_from(page, at)[2]
            yield from _read_page(content, child * PAGE_BYTES, content)
            continue
        at = start + _PAGE.size + _LEAF_ELEMENT.size * number
        kind, distance, key_bytes, value_bytes = _LEAF_ELEMENT.unpack_from(page, at)
        middle = at + distance + key_bytes
        value = page[middle : middle + value_bytes]
        key = page[at + distance : middle].decode()
        yield key, _read_bucket(value, content) if kind & _IS_BUCKET else value


def _read_bucket(value: bytes, content: bytes) -> Tree:
    root = _BUCKET.unpack_from(value)[0]
    if root == 0:
        return dict(_read_page(value[_BUCKET.size :], 0, content))
    return dict(_read_page(content, root * PAGE_BYTES, content))
