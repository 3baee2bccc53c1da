"""The BoltDB writer's promise: what goes in comes out, whatever its size and shape."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox import bolt

_KEYS = st.text(min_size=1, max_size=12)
# Around a quarter of a page (inline buckets) and around whole pages (overflow).
_SIZES = st.sampled_from([0, 1, 900, 1000, 1010, 4064, 4096, 4100, 9000])
_VALUES = st.binary(max_size=20) | _SIZES.map(bytes)
_TREES: st.SearchStrategy[bolt.Tree] = st.recursive(
    st.dictionaries(_KEYS, _VALUES, max_size=6),
    lambda inner: st.dictionaries(_KEYS, inner | _VALUES, max_size=5),
    max_leaves=12,
)

# 120 such entries fill a leaf and 185 leaves a branch: one more would stand alone in the next.
_LARGE = st.sampled_from([1, 120, 121, 22_200, 22_201]).map(
    lambda count: {f"{number:06}": bytes(12) for number in range(count)}
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=_TREES)
def test_a_tree_reads_back_as_it_was_written(tmp_path: Path, tree: bolt.Tree) -> None:
    """A database that loses an advisory would make a wrong test green."""
    size = bolt.write(tmp_path / "t.db", tree)
    assert bolt.read(tmp_path / "t.db") == tree
    assert size == (tmp_path / "t.db").stat().st_size
    assert size % bolt.PAGE_BYTES == 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=_TREES | _LARGE)
def test_pages_obey_the_rules_of_bbolts_checker(tmp_path: Path, tree: bolt.Tree) -> None:
    """Reading back proves nothing about another reader; bbolt relies on these rules."""
    bolt.write(tmp_path / "t.db", tree)
    file = _File((tmp_path / "t.db").read_bytes())
    file.walk_bucket(file.root)
    assert file.seen == set(range(3, file.pages)), "each page is reached once, none is lost"


class _File:
    """A second reader, written from the format's rules alone."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.root, _, self.freelist, self.pages = struct.unpack_from("<QQQQ", content, 4096 + 32)
        self.seen: set[int] = set()
        assert self.freelist == 2
        assert len(content) == self.pages * 4096

    def walk_bucket(self, page: int) -> list[bytes]:
        """Check all below one page and return its keys."""
        start = page * 4096
        number, flags, count, overflow = struct.unpack_from("<QHHI", self.content, start)
        own = set(range(page, page + overflow + 1))
        assert number == page
        assert not own & self.seen
        self.seen |= own
        body = self.content[start : start + 4096 * (overflow + 1)]
        if flags == 1:
            return self._branch(body, count, overflow)
        assert flags == 2
        assert not overflow or count == 1, "only a single large value may take more pages"
        return self._leaf(body, count)

    def _branch(self, body: bytes, count: int, overflow: int) -> list[bytes]:
        assert count > 1
        assert not overflow
        keys: list[bytes] = []
        for at in range(16, 16 + 16 * count, 16):
            distance, size, child = struct.unpack_from("<IIQ", body, at)
            below = self.walk_bucket(child)
            assert body[at + distance : at + distance + size] == below[0]
            assert not keys or keys[-1] < below[0]
            keys += below
        return keys

    def _leaf(self, body: bytes, count: int) -> list[bytes]:
        keys = []
        for at in range(16, 16 + 16 * count, 16):
            flags, distance, key_size, size = struct.unpack_from("<IIII", body, at)
            end = at + distance + key_size + size
            assert end <= len(body)
            keys.append(body[at + distance : end - size])
            if flags == 1:
                self._nested(body[end - size : end])
        assert keys == sorted(set(keys))
        return keys

    def _nested(self, value: bytes) -> None:
        root = struct.unpack_from("<Q", value)[0]
        if root:
            self.walk_bucket(root)
            return
        inline = value[16:]
        _, flags, count, overflow = struct.unpack_from("<QHHI", inline)
        assert (flags, overflow) == (2, 0)
        assert len(inline) <= 1024
        elements = range(16, 16 + 16 * count, 16)
        assert not any(struct.unpack_from("<I", inline, at)[0] for at in elements)
        self._leaf(inline, count)


@pytest.mark.parametrize("count", [1, 2, 120, 121, 5_000, 60_000])
def test_many_keys_come_back_sorted_through_branch_pages(tmp_path: Path, count: int) -> None:
    """Keys are found by bisection: an unsorted page or a lost branch hides advisories."""
    tree = {f"package-{number * 7919 % count}": str(number).encode() for number in range(count)}
    bolt.write(tmp_path / "t.db", {"bucket": tree})
    (bucket,) = bolt.read(tmp_path / "t.db").values()
    assert isinstance(bucket, dict)
    assert bucket == tree
    assert list(bucket) == sorted(tree, key=str.encode)


def test_equal_trees_make_equal_files(tmp_path: Path) -> None:
    """The published artifact's digest must depend on its content alone."""
    bolt.write(tmp_path / "a.db", {"x": b"1", "y": {"z": b"2"}})
    bolt.write(tmp_path / "b.db", {"y": {"z": b"2"}, "x": b"1"})
    assert (tmp_path / "a.db").read_bytes() == (tmp_path / "b.db").read_bytes()


@pytest.mark.parametrize("key", ["", "k" * 32_769])
def test_a_key_that_bbolt_cannot_hold_is_refused(tmp_path: Path, key: str) -> None:
    """Trivy would fail later, in another process, without a name."""
    with pytest.raises(ValueError, match="BoltDB key of"):
        bolt.write(tmp_path / "t.db", {key: b""})


@pytest.mark.parametrize("damage", [b"", b"short", bytes(8192)])
def test_a_foreign_file_is_refused_with_its_name(tmp_path: Path, damage: bytes) -> None:
    """Reading on would return an empty database, which looks like a clean one."""
    (tmp_path / "t.db").write_bytes(damage)
    with pytest.raises(ValueError, match=r"t\.db is no BoltDB file"):
        bolt.read(tmp_path / "t.db")


def test_one_damaged_meta_is_survived_and_two_are_not(tmp_path: Path) -> None:
    """The format has two metas for exactly this; both must be valid in what we write."""
    path = tmp_path / "t.db"
    bolt.write(path, {"x": b"1"})
    content = bytearray(path.read_bytes())
    content[bolt.PAGE_BYTES + 40] ^= 1
    path.write_bytes(content)
    assert bolt.read(path) == {"x": b"1"}
    content[40] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no BoltDB file"):
        bolt.read(path)


def test_the_newer_of_two_valid_metas_counts(tmp_path: Path) -> None:
    """After an odd number of transactions the newer one is the first: Trivy's files may be so."""
    path = tmp_path / "t.db"
    bolt.write(path, {"x": b"1"})
    content = bytearray(path.read_bytes())
    root = 16 + 16
    struct.pack_into("<Q", content, 4096 + root, 2)  # the older one leads to the freelist
    struct.pack_into("<Q", content, 16 + 48, 9)  # transaction
    for page in (0, 4096):
        body = bytes(content[page + 16 : page + 72])
        struct.pack_into("<Q", content, page + 72, bolt._fnv1a_64(body))
    path.write_bytes(content)
    assert bolt.read(path) == {"x": b"1"}
