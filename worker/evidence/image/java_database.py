"""The Java index that a Trivy client needs as soon as an image holds a jar.

Owns its folder. Nothing is downloaded (700 MB) before the first jar is met. Where none can be had,
an empty index stands in: jars that name themselves are still found, those that only a checksum
identifies are missed until a download succeeds, which is tried again every hour.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from common.model.errors import ScanTimeoutError, SluiceError, SourceUnavailableError
from common.ops.trivy_program import Trivy
from common.settings.value import Settings
from worker.evidence.failures import classify
from worker.evidence.image.database_login import DatabaseLogin, config_folder, config_of
from worker.evidence.image.java_origin import JavaOrigin
from worker.evidence.image.trivy_cli import child_environment, download_argv
from worker.evidence.image.trivy_process import TrivyRun, run_trivy

_log = structlog.get_logger()

_DOWNLOAD_S = 900.0  # 700 MB at 1 MB/s
_REFRESH_S = 3 * 86_400.0  # it is rebuilt every third day
_RETRY_S = 3_600.0
_FILE = Path("java-db/trivy-java.db")

# Trivy's schema 1, as it looks the rows up; without rows every look-up misses.
_SCHEMA = """
CREATE TABLE artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);
CREATE TABLE indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT,
  FOREIGN KEY (artifact_id) REFERENCES artifacts(id));
CREATE UNIQUE INDEX artifacts_idx ON artifacts(artifact_id, group_id);
CREATE INDEX indices_artifact_idx ON indices(artifact_id);
CREATE UNIQUE INDEX indices_sha1_idx ON indices(sha1);
"""
_EMPTY_METADATA = (
    b'{"Version":1,"NextUpdate":"2099-01-01T00:00:00Z",'
    b'"UpdatedAt":"2000-01-01T00:00:00Z","DownloadedAt":"2000-01-01T00:00:00Z"}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaSource:
    """Where the index comes from."""

    origin: JavaOrigin = field(default_factory=JavaOrigin)
    login: DatabaseLogin | None = None  # None: anybody may pull

    @classmethod
    def of(cls, origin: JavaOrigin, settings: Settings) -> JavaSource:
        """Return an origin with this process' own login.

        The login is the vulnerability database's, and counts where the registry is the same: it
        must not go elsewhere.
        """
        named = origin.login_registry
        return cls(
            origin=origin, login=DatabaseLogin.of_settings(settings, named) if named else None
        )

    @classmethod
    def of_settings(cls, settings: Settings) -> JavaSource:
        """Return where the settings say; raises BadReferenceError."""
        return cls.of(JavaOrigin.of_settings(settings), settings)


class JavaDatabase:
    """One index in a folder of its own, replaced as a whole. Thread-safe."""

    def __init__(
        self,
        trivy: Trivy,
        folder: Path,
        *,
        environment: Mapping[str, str],
        source: JavaSource | None = None,
    ) -> None:
        """`source`: where to download from; None: Trivy's default."""
        self._trivy = trivy
        self._folder = folder
        self._environment = environment
        self._source = source or JavaSource()
        self._lock = threading.Lock()
        self._fetch: threading.Thread | None = None
        self._due_at_s = self._due_on_disk()  # monotonic; when the next download may begin

    @property
    def cache_dir(self) -> Path:
        """The cache folder to give to Trivy; it stays whole while one newer replaces it."""
        return (self._folder / "current").resolve()

    def take_from(self, source: JavaSource) -> None:
        """Download from there from now on; what is there serves until that has succeeded."""
        with self._lock:
            if source != self._source:
                self._source, self._due_at_s = source, -math.inf

    def provide(self, until_s: float) -> None:
        """Wait for an index, an empty one at worst.

        Raises ScanTimeoutError when `until_s` (monotonic) comes first; the download goes on.
        """
        with self._lock:
            fetch = self._start()
        if fetch is not None:
            fetch.join(max(0.0, until_s - time.monotonic()))
        if not (self.cache_dir / _FILE).exists():
            raise ScanTimeoutError("the Java database was still on its way at the scan's deadline")

    def tend(self) -> None:
        """Start a download in the background when the index in use is due for one."""
        if (self.cache_dir / _FILE).exists():
            with self._lock:
                self._start()

    def _start(self) -> threading.Thread | None:
        """Return the running download, after starting one if it is due."""
        if self._fetch is not None and self._fetch.is_alive():
            return self._fetch
        if time.monotonic() < self._due_at_s:
            return None
        self._due_at_s = time.monotonic() + _RETRY_S
        # The thread lives as long as its Trivy, which dies with it.
        self._fetch = threading.Thread(target=self._replace, name="java-database", daemon=True)
        self._fetch.start()
        return self._fetch

    def _due_on_disk(self) -> float:
        """Return when the index that a predecessor left is due to be replaced."""
        try:
            age_s = max(0.0, time.time() - (self.cache_dir / _FILE).stat().st_mtime)
            metadata = (self.cache_dir / _FILE.parent / "metadata.json").read_bytes()
        except OSError:
            return -math.inf
        lasts_s = _RETRY_S if metadata == _EMPTY_METADATA else _REFRESH_S
        return time.monotonic() - age_s + lasts_s

    def _replace(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        fresh = Path(tempfile.mkdtemp(prefix="v-", dir=self._folder))
        try:
            self._download(fresh)
            self._due_at_s = time.monotonic() + _REFRESH_S
        except (SluiceError, OSError) as exc:
            _log.warning("no Java database", error=str(exc), retry_in_s=_RETRY_S)
            if (self.cache_dir / _FILE).exists():
                shutil.rmtree(fresh, ignore_errors=True)
                return
            make_empty(fresh)
        self._switch(fresh)

    def _download(self, fresh: Path) -> None:
        home = fresh / "tmp"
        home.mkdir()
        source, origin = self._source, self._source.origin
        with config_folder(config_of(source.login, origin.registry)) as more:
            run = TrivyRun(
                argv=download_argv(
                    self._trivy,
                    fresh,
                    repository=origin.repository,
                    java=True,
                    insecure=origin.insecure,
                ),
                env=child_environment(self._environment, home, offline=False, more=more),
                cwd=home,
                log=fresh / "log",
                deadline_at_s=time.monotonic() + _DOWNLOAD_S,
            )
            ended = run_trivy(run)
        if ended.killed or ended.exit_code:
            raise classify(ended.exit_code, ended.log, killed_by_us=ended.killed)
        if not (fresh / _FILE).exists():
            raise SourceUnavailableError(
                "the download holds no Java database", reason="JavaDatabaseMissing"
            )
        shutil.rmtree(home, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what downloads left that were killed: each has more than a gigabyte."""
        current = self.cache_dir.resolve()
        for old in self._folder.glob("v-*"):
            with contextlib.suppress(OSError):  # another scanner may do the same
                age_s = time.time() - old.stat().st_mtime
                if old.resolve() != current and age_s > 2 * _DOWNLOAD_S:
                    shutil.rmtree(old, ignore_errors=True)

    def _switch(self, fresh: Path) -> None:
        """Point `current` at `fresh`; the one before stays for the jobs that began with it."""
        before = self.cache_dir
        link = self._folder / "next"
        link.unlink(missing_ok=True)
        link.symlink_to(fresh.name)
        link.replace(self._folder / "current")
        for old in self._folder.glob("v-*"):
            if old not in (before, fresh.resolve()):
                shutil.rmtree(old, ignore_errors=True)


def make_empty(cache_dir: Path) -> None:
    """Write an index without rows into a cache folder."""
    path = cache_dir / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a half download
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(_SCHEMA)
    (path.parent / "metadata.json").write_bytes(_EMPTY_METADATA)
