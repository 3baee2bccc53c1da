"""User and password for the registry of the databases: read when they are needed, never kept."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.model.errors import SourceUnavailableError
from common.settings.value import Settings
from worker.evidence.image.docker_config import Credential, config_for

# Keys of trivy-operator's Secret, which counts for nothing with one of the two: as there.
_OPERATOR_USERNAME, _OPERATOR_PASSWORD = "trivy.dbRepositoryUsername", "trivy.dbRepositoryPassword"
_MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs; what we make there is private (0700)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLogin:
    """Whose files hold what, and for which registry alone."""

    registry: str
    username_file: str
    password_file: str
    is_optional: bool = False  # True: files that are not there say that anybody may pull

    @classmethod
    def of_settings(cls, settings: Settings, registry: str) -> DatabaseLogin | None:
        """Return the login for the first database's registry; None: anybody may pull."""
        chosen = settings.credentials
        if chosen.database_username_file:
            return cls(
                registry=registry,
                username_file=chosen.database_username_file,
                password_file=chosen.database_password_file,
            )
        if not chosen.operator_secret_dir:
            return None
        folder = Path(chosen.operator_secret_dir)
        return cls(
            registry=registry,
            username_file=str(folder / _OPERATOR_USERNAME),
            password_file=str(folder / _OPERATOR_PASSWORD),
            is_optional=True,
        )

    def config_for(self, registry: str) -> bytes | None:
        """Return a docker config for `registry`, None where it is not ours.

        Read anew each time, for a mounted Secret changes under us. Raises SourceUnavailableError
        when a file cannot be read.
        """
        if registry != self.registry:
            return None
        paths = (self.username_file, self.password_file)
        if self.is_optional and not all(Path(path).exists() for path in paths):
            return None
        username, password = _read(self.username_file), _read(self.password_file)
        return config_for(registry, Credential(username=username, password=password))


def config_of(login: DatabaseLogin | None, registry: str) -> bytes | None:
    """Return what to present to `registry`, None: nothing."""
    return None if login is None else login.config_for(registry)


@contextlib.contextmanager
def config_folder(config: bytes | None) -> Iterator[dict[str, str]]:
    """Give the environment that leads a child to `config`, in memory while it runs."""
    if config is None:
        yield {}
        return
    memory = str(_MEMORY) if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sluice-login-", dir=memory) as folder:
        path = Path(folder) / "config.json"
        path.touch(mode=0o600)
        path.write_bytes(config)
        yield {"DOCKER_CONFIG": folder}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        cause = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise SourceUnavailableError(
            f"{path}: {cause}; the databases' registry needs it", reason="DatabaseDownloadFailed"
        ) from exc
