"""The databases' login reaches its own registry, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.model.errors import SourceUnavailableError
from common.settings.parse import parse
from worker.evidence.image.access import Accesses
from worker.evidence.image.database_login import DatabaseLogin, config_folder, config_of
from worker.evidence.image.docker_config import Credential, credential_in
from worker.evidence.image.java_database import JavaSource
from worker.evidence.image.registry import HttpRegistry
from worker.evidence.image.vulnerability_database import DatabaseSource


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Give settings whose files hold bob's login."""
    (tmp_path / "user").write_text("bob\n", encoding="utf-8")
    (tmp_path / "password").write_text("pass word \n", encoding="utf-8")
    return {
        "SLUICE_DB_REPOSITORY_USERNAME_FILE": str(tmp_path / "user"),
        "SLUICE_DB_REPOSITORY_PASSWORD_FILE": str(tmp_path / "password"),
        "TRIVY_DB_REPOSITORY": "r.example/db,other.example/db",
    }


def login(settings: dict[str, str]) -> DatabaseLogin | None:
    """Return the login that the settings describe."""
    return DatabaseSource.of_settings(parse(settings), HttpRegistry()).login


def test_it_is_for_the_first_registry_alone(files: dict[str, str]) -> None:
    """The second is somebody else's mirror, perhaps."""
    config = config_of(login(files), "r.example")
    assert credential_in(config, "r.example") == Credential(username="bob", password="pass word ")  # noqa: S106 - made up
    assert config_of(login(files), "other.example") is None
    assert config_of(login({}), "mirror.gcr.io") is None


@pytest.mark.parametrize(
    ("repository", "ours"), [("r.example/java", True), ("java.example/x:1", False), ("", False)]
)
def test_the_java_database_has_it_where_the_registry_is_the_same(
    files: dict[str, str],
    repository: str,
    ours: bool,  # noqa: FBT001 # a table's column
) -> None:
    """One setting for both, and no leak to a third."""
    source = JavaSource.of_settings(parse(files | {"TRIVY_JAVA_DB_REPOSITORY": repository}))
    assert (config_of(source.login, source.origin.registry) is not None) is ours


def test_a_file_that_is_missing_is_named(files: dict[str, str], tmp_path: Path) -> None:
    """With the path, and without what the other one holds."""
    (tmp_path / "user").unlink()
    with pytest.raises(SourceUnavailableError, match="user: No such file") as caught:
        config_of(login(files), "r.example")
    assert caught.value.reason == "DatabaseDownloadFailed"
    assert "pass word" not in str(caught.value)


def test_the_config_exists_while_it_is_used() -> None:
    """Private, and gone afterwards."""
    with config_folder(b"{}") as environment:
        path = Path(environment["DOCKER_CONFIG"]) / "config.json"
        assert path.read_bytes() == b"{}"
        assert os.stat(path).st_mode & 0o077 == 0  # noqa: PTH116
    assert not path.parent.exists()
    with config_folder(None) as environment:
        assert environment == {}


def test_databases_may_be_excused_without_images() -> None:
    """`trivy.dbRepositoryInsecure` says nothing about anybody's images."""
    settings = parse({"SLUICE_DB_REPOSITORY_INSECURE": "true"})
    assert Accesses.of_databases(settings).insecure
    assert not Accesses.of_settings(settings).insecure
    assert JavaSource.of_settings(settings).origin.insecure


def test_the_secret_of_trivy_operator_counts_where_nothing_else_is_named(
    files: dict[str, str], tmp_path: Path
) -> None:
    """It is mounted whether or not it exists; with one of its two keys it says nothing."""
    told = {"TRIVY_DB_REPOSITORY": "r.example/db", "SLUICE_OPERATOR_SECRET_DIR": str(tmp_path)}
    assert config_of(login(told), "r.example") is None
    (tmp_path / "trivy.dbRepositoryUsername").write_text("ann\n")
    assert config_of(login(told), "r.example") is None
    (tmp_path / "trivy.dbRepositoryPassword").write_text("word\n")
    config = config_of(login(told), "r.example")
    assert credential_in(config, "r.example") == Credential(username="ann", password="word")  # noqa: S106 - made up
    assert config_of(login(told), "other.example") is None
    named = login({**told, **files})
    assert named is not None
    assert not named.is_optional
