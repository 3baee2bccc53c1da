"""The BoltDB writer's promise: what goes in comes out, whatever its size and shape."""

from __future__ import annotations

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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=_TREES)
def test_a_tree_reads_back_as_it_was_written(tmp_path: Path, tree: bolt.Tree) -> None:
    """A database that loses an advisory would make a wrong test green."""
    size = bolt.write(tmp_path / "t.db", tree)
    assert bolt.read(tmp_path / "t.db") == tree
    assert size == (tmp_path / "t.db").stat().st_size
    assert size % bolt.PAGE_BYTES == 0


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
