"""The layer cache's folder: when it begins anew, and what is remembered of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.evidence.image.layer_cache import LayerCache


def filled(root: Path, **fields: float) -> LayerCache:
    """Return a cache that holds 1000 bytes."""
    cache = LayerCache(root, **fields)  # type: ignore[arg-type] # a test's shorthand
    cache.folder.mkdir(parents=True, exist_ok=True)
    (cache.folder / "fanal.db").write_bytes(b"x" * 1000)
    return cache


@pytest.mark.parametrize(
    ("limit_bytes", "too_large"), [(0, False), (999, True), (1000, False), (10**9, False)]
)
def test_its_bound_is_what_decides(tmp_path: Path, limit_bytes: int, *, too_large: bool) -> None:
    """0 means that only the volume's own limit counts."""
    assert filled(tmp_path, limit_bytes=limit_bytes).is_too_large() is too_large


def test_a_new_folder_is_empty_and_the_old_one_is_gone(tmp_path: Path) -> None:
    """Its space is why it goes; other folders of the matcher stay."""
    (tmp_path / "db").mkdir()
    cache = filled(tmp_path)
    for _ in range(3):
        before = cache.folder
        cache.renew()
        assert cache.folder != before
        assert not before.exists()
        assert cache.size_bytes() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "layers-3", "layers.json"]


def test_a_restart_finds_the_folder_and_who_was_not_told(tmp_path: Path) -> None:
    """Killed between the two, nobody would ever analyse the images again."""
    cache = filled(tmp_path)
    cache.renew()
    again = LayerCache(tmp_path)
    assert (again.folder, again.untold) == (cache.folder, True)
    again.told()
    assert not LayerCache(tmp_path).untold


def test_a_bound_that_is_too_small_does_not_pull_everything_over_and_over(tmp_path: Path) -> None:
    """A new folder stays for as long as it takes to fill it."""
    cache = filled(tmp_path, limit_bytes=1, rest_s=3600)
    assert cache.may_renew()  # the first one may go at once
    cache.renew()
    assert not cache.may_renew()
    assert not LayerCache(tmp_path, rest_s=3600).may_renew()
    assert LayerCache(tmp_path, rest_s=0).may_renew()


def test_an_older_trivy_never_serves_what_a_newer_one_stored(tmp_path: Path) -> None:
    """It would read it in part, without a word. A newer one reads all."""
    cache = filled(tmp_path)
    assert not cache.serve_by("0.76.0")
    assert not cache.serve_by("0.77.1")
    assert not LayerCache(tmp_path).serve_by("0.77.0")  # a patch release less is the same
    assert LayerCache(tmp_path).serve_by("0.76.0")
    after = LayerCache(tmp_path)
    assert (after.untold, after.size_bytes()) == (True, 0)
    assert not after.serve_by("0.76.0")


@pytest.mark.parametrize(
    "note", [b"", b"[]", b'{"folder":"../db"}', b'{"folder":"layers-x"}', b'{"folder":7}']
)
def test_a_note_that_nobody_wrote_means_the_first_folder(tmp_path: Path, note: bytes) -> None:
    """A disk that lost it must neither stop the matcher nor lead it elsewhere."""
    (tmp_path / "layers.json").write_bytes(note)
    assert LayerCache(tmp_path).folder == tmp_path / "layers"
