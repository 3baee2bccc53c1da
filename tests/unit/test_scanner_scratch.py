"""A job's folders are private, and gone afterwards."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.scanner.scratch import Workshop


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """Give a workshop whose disk is this test's folder; its part in memory is wiped."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = Workshop(tmp_path / "scanner.sock")
    yield made
    made.wipe()


def test_folders_are_private_and_removed_whatever_happens(workshop: Workshop) -> None:
    """They hold a foreign image's files and a tenant's credentials."""
    kept: list[Path] = []

    def fail_midway() -> None:
        with workshop.job() as scratch:
            kept.extend((scratch.cwd, scratch.files, scratch.secrets))
            (scratch.secrets / "config.json").write_text("{}", encoding="ascii")
            (scratch.files / "unpacked").write_text("x", encoding="ascii")
            assert list(scratch.cwd.iterdir()) == []
            for path in (scratch.files.parent, scratch.secrets, scratch.secrets.parent):
                assert stat.S_IMODE(path.stat().st_mode) == 0o700
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()
    assert len(kept) == 3
    assert [path for path in kept if path.exists()] == []


def test_jobs_do_not_share_folders(workshop: Workshop) -> None:
    """Two run at once."""
    with workshop.job() as one, workshop.job() as other:
        assert {one.cwd, one.files, one.secrets}.isdisjoint({other.cwd, other.files, other.secrets})


def test_what_a_killed_scanner_left_is_wiped(workshop: Workshop) -> None:
    """Its own clean-up never ran."""
    with workshop.job() as scratch:
        left = scratch.secrets / "config.json"
        left.write_text("{}", encoding="ascii")
        workshop.wipe()
        assert not left.exists()
        assert not scratch.files.exists()


def test_a_folder_that_somebody_else_can_enter_is_refused(
    workshop: Workshop, tmp_path: Path
) -> None:
    """Names below /tmp can be guessed and taken before us."""
    with workshop.job() as scratch:
        root = scratch.files.parent.parent
    root.chmod(0o755)
    with pytest.raises(PermissionError, match="not private"), workshop.job():
        pass
    workshop.wipe()
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    root.symlink_to(private)
    with pytest.raises(PermissionError, match="not private"), workshop.job():
        pass
    assert list(private.iterdir()) == []
