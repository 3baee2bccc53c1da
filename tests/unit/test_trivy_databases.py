"""Database folders are complete or absent, and come from where the setting says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.model.errors import BadReferenceError, SluiceError, SourceUnavailableError
from common.model.refs import ImageDigest, ImageReference
from common.ops.trivy_program import Trivy
from worker.evidence.image.access import Access, Accesses
from worker.evidence.image.java_database import make_empty
from worker.evidence.image.layer_cache import LayerCache
from worker.evidence.image.vulnerability_database import (
    DEFAULT_REPOSITORIES,
    Database,
    DatabaseFolders,
    DatabaseSource,
    Downloader,
    Seen,
)

OLD, NEW = "2026-11-24T06:00:00Z", "2026-11-25T06:00:00.123456789Z"


class Registry:
    """A registry that knows one digest per repository, or fails."""

    def __init__(self, answers: dict[str, str | SluiceError]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def resolve(
        self, reference: ImageReference, docker_config: bytes | None = None, *, access: Access
    ) -> ImageDigest:
        """Return the digest."""
        self.asked.append(reference.canonical)
        found = self.answers[reference.canonical]
        if isinstance(found, SluiceError):
            raise found
        return ImageDigest(found)


def unpacked(folder: Path, updated_at: str = OLD, *, schema: int = 2) -> Path:
    """Return a cache folder as Trivy leaves it after a download."""
    (folder / "db").mkdir(parents=True)
    (folder / "db" / "trivy.db").write_bytes(b"bolt")
    metadata = {"Version": schema, "UpdatedAt": updated_at, "NextUpdate": "x", "DownloadedAt": "x"}
    (folder / "db" / "metadata.json").write_text(json.dumps(metadata), encoding="ascii")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> DatabaseFolders:
    """Give an empty root."""
    return DatabaseFolders(tmp_path / "db", LayerCache(tmp_path))


@pytest.mark.parametrize(
    ("setting", "repositories"),
    [
        ("", DEFAULT_REPOSITORIES),
        (" , ", DEFAULT_REPOSITORIES),
        ("r.example/db:2", ("r.example/db:2",)),
        ("r.example/db", ("r.example/db:2",)),
        ("r.example:5000/db", ("r.example:5000/db:2",)),
        ("a.example/db:2, b.example/db:latest", ("a.example/db:2", "b.example/db:latest")),
    ],
)
def test_the_setting_is_read_as_trivy_reads_it(setting: str, repositories: tuple[str, ...]) -> None:
    """A name without a tag means the schema; nothing means Trivy's own."""
    source = DatabaseSource.parse(setting, Registry({}), Accesses(insecure=False))
    assert source.repositories == repositories


def test_a_repository_that_is_none_is_refused_at_start() -> None:
    """Not an hour later, at the first look."""
    with pytest.raises(BadReferenceError):
        DatabaseSource.parse("UPPER CASE", Registry({}), Accesses(insecure=False))


def test_a_download_becomes_a_version_with_the_shared_layers(
    folders: DatabaseFolders, tmp_path: Path
) -> None:
    """The layer cache outlives every database."""
    first = folders.add(unpacked(folders.fresh()))
    second = folders.add(unpacked(folders.fresh(), NEW))
    assert (first.version, second.version) == (OLD, NEW)
    for database in (first, second):
        folders.link(database)
        assert (database.folder / "fanal").resolve() == tmp_path / "layers"
        assert (database.folder / "db" / "trivy.db").read_bytes() == b"bolt"
    assert folders.newest() == second


def test_layers_that_stand_in_the_links_place_give_way(
    folders: DatabaseFolders, tmp_path: Path
) -> None:
    """Whoever starts `trivy server` on a version's folder leaves a folder there."""
    database = folders.add(unpacked(folders.fresh()))
    (database.folder / "fanal").mkdir()
    folders.link(database)
    assert (database.folder / "fanal").resolve() == tmp_path / "layers"


def test_the_same_version_again_changes_nothing(folders: DatabaseFolders) -> None:
    """A running server has that very file mapped."""
    first = folders.add(unpacked(folders.fresh()))
    before = (first.folder / "db" / "trivy.db").stat().st_ino
    again = folders.add(unpacked(folders.fresh()))
    assert again == first
    assert (first.folder / "db" / "trivy.db").stat().st_ino == before


def test_only_complete_versions_count(folders: DatabaseFolders, tmp_path: Path) -> None:
    """A download that was killed leaves a folder without metadata, or with a name of its own."""
    assert folders.newest() is None
    folders.fresh()
    (tmp_path / "db" / "2026-11-26T06:00:00Z").mkdir()
    assert folders.newest() is None


def test_pruning_keeps_one_version_and_the_layers(folders: DatabaseFolders, tmp_path: Path) -> None:
    """Old folders hold a link to the layers, which must not be followed."""
    old = folders.add(unpacked(folders.fresh()))
    new = folders.add(unpacked(folders.fresh(), NEW))
    folders.fresh()
    folders.link(folders.newest() or pytest.fail("no database"))
    layer = tmp_path / "layers" / "fanal.db"
    layer.write_bytes(b"layers")
    folders.note(Seen(repository="r", digest="d", version=NEW))
    folders.prune(keep=new)
    assert [path.name for path in (tmp_path / "db").iterdir() if path.is_dir()] == [NEW]
    assert not old.folder.exists()
    assert layer.read_bytes() == b"layers"
    assert folders.last_seen() == Seen(repository="r", digest="d", version=NEW)


@pytest.mark.parametrize("schema", [1, 3])
def test_another_schema_is_refused(folders: DatabaseFolders, schema: int) -> None:
    """Trivy would refuse it at start, with the old server gone already."""
    with pytest.raises(SourceUnavailableError, match=f"schema {schema}"):
        folders.add(unpacked(folders.fresh(), schema=schema))


@pytest.mark.parametrize("updated_at", ["", "../../etc", "soon", "2026-11-24/x"])
def test_a_version_that_is_no_time_names_no_folder(
    folders: DatabaseFolders, updated_at: str
) -> None:
    """It comes out of a downloaded file."""
    with pytest.raises(SourceUnavailableError):
        folders.add(unpacked(folders.fresh(), updated_at))


def test_a_download_without_a_database_is_refused(folders: DatabaseFolders) -> None:
    """An artifact may hold anything."""
    with pytest.raises(SourceUnavailableError, match="holds no vulnerability database"):
        folders.add(folders.fresh())


def downloader(folders: DatabaseFolders, registry: Registry, *repositories: str) -> Downloader:
    """Return a downloader whose Trivy does not exist: only looks can succeed."""
    source = DatabaseSource(
        repositories=repositories, registry=registry, accesses=Accesses(insecure=False)
    )
    missing = Trivy(path="/nonexistent/trivy", version="0.76.0")
    return Downloader(missing, folders, source=source, environment={})


def test_a_digest_that_was_downloaded_before_is_not_downloaded_again(
    folders: DatabaseFolders,
) -> None:
    """One HEAD an hour."""
    registry = Registry({"r.example/db:2": "sha256:a"})
    current = folders.add(unpacked(folders.fresh()))
    folders.note(Seen(repository="r.example/db:2", digest="sha256:a", version=OLD))
    assert downloader(folders, registry, "r.example/db:2").newer_than(current) is None
    assert registry.asked == ["r.example/db:2"]


@pytest.mark.parametrize(
    "seen",
    [
        None,
        Seen(repository="r.example/db:2", digest="sha256:b", version=OLD),
        Seen(repository="other.example/db:2", digest="sha256:a", version=OLD),
        Seen(repository="r.example/db:2", digest="sha256:a", version=NEW),
    ],
)
def test_anything_else_is_downloaded(folders: DatabaseFolders, seen: Seen | None) -> None:
    """Another digest, another repository, or a version that was refused before."""
    registry = Registry({"r.example/db:2": "sha256:a"})
    current = folders.add(unpacked(folders.fresh()))
    if seen is not None:
        folders.note(seen)
    with pytest.raises(SluiceError, match="cannot start"):
        downloader(folders, registry, "r.example/db:2").newer_than(current)


def test_the_next_repository_is_asked_when_one_fails(folders: DatabaseFolders) -> None:
    """A mirror that is down must not stop updates; the last error is told if none helps."""
    registry = Registry(
        {
            "a.example/db:2": SourceUnavailableError("a is down"),
            "b.example/db:2": "sha256:b",
            "c.example/db:2": SourceUnavailableError("c is down"),
        }
    )
    current = folders.add(unpacked(folders.fresh()))
    folders.note(Seen(repository="b.example/db:2", digest="sha256:b", version=OLD))
    two = downloader(folders, registry, "a.example/db:2", "b.example/db:2")
    assert two.newer_than(current) is None
    with pytest.raises(SourceUnavailableError, match="c is down"):
        downloader(folders, registry, "a.example/db:2", "c.example/db:2").newer_than(current)


def test_a_broken_note_is_no_note(folders: DatabaseFolders, tmp_path: Path) -> None:
    """It costs one download."""
    folders.fresh()
    (tmp_path / "db" / "downloaded.json").write_text("{", encoding="ascii")
    assert folders.last_seen() is None


def test_versions_order_by_time() -> None:
    """The newest on disk is served first after a restart."""
    older, newer = (Database(version=version, folder=Path("/x")) for version in (OLD, NEW))
    assert max(newer, older) == newer


def test_an_empty_java_index_replaces_a_broken_one(tmp_path: Path) -> None:
    """What a cut download left must not be opened."""
    (tmp_path / "java-db").mkdir()
    (tmp_path / "java-db" / "trivy-java.db").write_bytes(b"broken")
    make_empty(tmp_path)
    assert (tmp_path / "java-db" / "trivy-java.db").read_bytes().startswith(b"SQLite format 3")
    metadata = json.loads((tmp_path / "java-db" / "metadata.json").read_bytes())
    assert metadata["Version"] == 1
