"""The match pool: keeps the cluster's one `trivy server` running on the newest database.

A new database is a new folder and a new process on the same port: stop, start, 0.1 s in which
callers find nobody and wait. The old folder goes when the new server answers; when it does not, the
old one comes back. Downloads run beside the server, which is watched and revived meanwhile.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import structlog

from common.model.errors import SluiceError, SourceUnavailableError
from common.ops.match_token import token_file
from common.ops.trivy_program import Trivy
from common.settings.value import Settings
from worker.evidence.image.layer_cache import LayerCache
from worker.evidence.image.match_process import MatchProcess, MatchProcessConfig, free_port
from worker.evidence.image.registry import HttpRegistry
from worker.evidence.image.vulnerability_database import (
    Database,
    DatabaseFolders,
    DatabaseSource,
    Downloader,
)

_log = structlog.get_logger()

_POLL_S = 0.5  # how soon a dead server is noticed
# After a failure: soon at first, for without a database nothing is matched; then ever more rarely.
_RETRY_BASE_S, _RETRY_CAP_S = 5.0, 600.0
_MAX_EXPONENT = 16
_LAYERS_S = 10.0  # a layer's inventory has some 100 KB: a bound in GB is not passed by much


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcements:
    """Who hears what became of the database. Called from the thread of `run`."""

    # version, server URL, Trivy's version: after every successful check, changed or not
    on_database: Callable[[str, str, str], None]
    on_failure: Callable[[SluiceError], None]  # of the server, which is started again
    # After every look: what it failed of; None: it succeeded
    on_look: Callable[[SluiceError | None], None]
    # The layer cache began anew: images must be analysed again. What it raises is tried again.
    on_layers_lost: Callable[[], None]


def retry_s(failures: int, *, interval_s: float) -> float:
    """Return the wait after that many failed looks in a row, never longer than the interval."""
    exponent = min(max(failures, 1) - 1, _MAX_EXPONENT)
    return min(_RETRY_CAP_S, interval_s, _RETRY_BASE_S * 2.0**exponent)


class MatchServer:
    """Supervises one server. `run` belongs to one thread; the rest may be called from any."""

    def __init__(
        self,
        config: MatchProcessConfig,
        folders: DatabaseFolders,
        *,
        downloader: Downloader,
        announcements: Announcements,
        check_interval_s: float,
    ) -> None:
        """Nothing runs before `run`."""
        self._config = config
        self._process = MatchProcess(config)
        self._folders = folders
        self._downloader = downloader
        self._announce = announcements
        self._interval_s = check_interval_s
        self._database: Database | None = None  # what is served, or should be
        self._inbox: queue.Queue[_Mail] = queue.Queue()
        self._failures = 0
        self._revive_at_s = 0.0
        self._look_after_layers_at_s = 0.0

    @property
    def url(self) -> str:
        """How others reach the server; the same for its whole life."""
        return self._config.url

    def check_now(self, timeout_s: float) -> str:
        """Have `run` look for a newer database at once; return the version in use afterwards.

        Raises what the look raised, SourceUnavailableError when it takes longer.
        """
        check = _Check()
        self._inbox.put(check)
        if not check.done.wait(timeout_s):
            raise SourceUnavailableError(
                f"no answer from the matcher within {timeout_s:g} s", reason="DatabaseCheckSlow"
            )
        if check.error is not None:
            raise check.error
        return check.version

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set: what is on disk at once, then whatever is newer.

        Raises PreconditionError when Trivy cannot be started at all.
        """
        looking: _Look | None = None
        asked: list[_Check] = []
        due_at_s = time.monotonic()
        try:
            if self._folders.layers.serve_by(self._config.trivy.version):
                _log.warning("layer cache of a newer Trivy begins anew")
            self._resume()
            while not stop.is_set():
                match self._next_mail():
                    case _Check() as check:
                        asked.append(check)
                    case _Look() as look:
                        due_at_s = time.monotonic() + self._finish(look)
                        looking = None
                    case None:
                        pass
                self._revive()
                self._look_after_layers()
                if looking is None and (asked or time.monotonic() >= due_at_s):
                    looking = _Look(self._downloader, self._database, tuple(asked), self._inbox)
                    asked.clear()
        finally:
            self._process.stop()

    def _next_mail(self) -> _Mail | None:
        try:
            return self._inbox.get(timeout=_POLL_S)
        except queue.Empty:
            return None

    def _finish(self, look: _Look) -> float:
        """Serve what a look found; return the seconds until the next one."""
        error = look.error
        if error is None and look.found is not None:
            try:
                self._swap(look.found)
            except SourceUnavailableError as exc:
                error = exc
        if error is not None:
            return self._failed(error, look)
        self._failures = 0
        self._announce.on_look(None)
        self._tell()
        look.answer(self._version(), None)
        return self._interval_s

    def _failed(self, error: SluiceError, look: _Look) -> float:
        """Keep the database in use, say so, and come back."""
        self._failures += 1
        wait_s = retry_s(self._failures, interval_s=self._interval_s)
        _log.warning(
            "no newer database", error=str(error), in_use=self._version(), retry_in_s=wait_s
        )
        self._announce.on_look(error)
        look.answer(self._version(), error)
        return wait_s

    def _resume(self) -> None:
        """Serve the newest database on disk that can be served."""
        while (known := self._folders.newest()) is not None:
            try:
                self._start(known)
            except SourceUnavailableError as exc:
                _log.warning("database unusable", version=known.version, error=str(exc))
                self._folders.remove(known)
                continue
            self._database = known
            self._tell()
            return

    def _revive(self) -> None:
        """Start the server again when it ended by itself, or with a new token."""
        how = self._process.end() if self._database is not None else None
        if how is None and self._process.outdated():
            how = "its token changed"
        if how is None or self._database is None or time.monotonic() < self._revive_at_s:
            return
        _log.warning("match server ended", how=how)
        self._revive_at_s = time.monotonic() + _RETRY_BASE_S
        self._process.stop()
        try:
            self._start(self._database)
        except SourceUnavailableError as exc:
            self._announce.on_failure(exc)

    def _look_after_layers(self) -> None:
        """Begin the layer cache anew when it is too large, and tell of it until it is heard."""
        layers = self._folders.layers
        if time.monotonic() < self._look_after_layers_at_s:
            return
        self._look_after_layers_at_s = time.monotonic() + _LAYERS_S
        if self._database is not None and layers.is_too_large():
            self._renew(layers, self._database)
        if layers.untold and self._database is not None:
            try:
                self._announce.on_layers_lost()
            except SluiceError as exc:
                _log.warning("images not queued yet", error=str(exc))
            else:
                layers.told()

    def _renew(self, layers: LayerCache, database: Database) -> None:
        """Put an empty folder in the place of one that is too large; matches wait for 0.1 s."""
        if not layers.may_renew():
            _log.debug("layer cache too large again", size_bytes=layers.size_bytes())
            return
        _log.warning("layer cache too large, begins anew", size_bytes=layers.size_bytes())
        self._process.stop()
        layers.renew()
        try:
            self._start(database)
        except SourceUnavailableError as exc:
            self._announce.on_failure(exc)

    def _start(self, database: Database) -> None:
        """Start the server; raises what `MatchProcess.start` raises."""
        self._folders.link(database)
        self._process.start(database)

    def _swap(self, newer: Database) -> None:
        """Put the new database in the old one's place; on failure `_revive` brings that back."""
        before = self._database
        began_s = time.monotonic()
        self._process.stop()
        try:
            self._start(newer)
        except SourceUnavailableError:
            self._folders.remove(newer)
            self._revive_at_s = 0.0
            raise
        self._database = newer
        _log.info(
            "database swapped",
            version=newer.version,
            before=before.version if before else "",
            gap_s=round(time.monotonic() - began_s, 3),
        )
        self._folders.prune(keep=newer)

    def _tell(self) -> None:
        if self._database is not None:
            version = self._config.trivy.version
            self._announce.on_database(self._database.version, self.url, version)

    def _version(self) -> str:
        return self._database.version if self._database else ""


class _Check:
    """One look that somebody waits for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.version = ""
        self.error: SluiceError | None = None


class _Look:
    """One look for a newer database, in a thread of its own; it mails itself when it is over."""

    def __init__(
        self,
        downloader: Downloader,
        current: Database | None,
        checks: tuple[_Check, ...],
        inbox: queue.Queue[_Mail],
    ) -> None:
        self.found: Database | None = None
        self.error: SluiceError | None = None
        self._checks = checks
        self._inbox = inbox
        threading.Thread(
            target=self._look, args=(downloader, current), name="database-look", daemon=True
        ).start()

    def answer(self, version: str, error: SluiceError | None) -> None:
        """Tell everybody who waits."""
        for check in self._checks:
            check.version, check.error = version, error
            check.done.set()

    def _look(self, downloader: Downloader, current: Database | None) -> None:
        try:
            self.found = downloader.newer_than(current)
        except SluiceError as exc:
            self.error = exc
        except OSError as exc:
            self.error = SourceUnavailableError(
                f"no room for a vulnerability database: {exc.strerror}",
                reason="DatabaseDownloadFailed",
            )
        finally:
            self._inbox.put(self)


_Mail: TypeAlias = _Check | _Look


def build(
    settings: Settings,
    trivy: Trivy,
    *,
    environment: Mapping[str, str],
    announcements: Announcements,
) -> MatchServer:
    """Return the matcher that the settings describe; its files live in the data folder.

    Raises BadReferenceError when a repository is none.
    """
    root = Path(settings.ops.data_dir) / "match"
    address = settings.trivy.matcher_address
    config = MatchProcessConfig(
        trivy=trivy,
        host=address.host,
        port=free_port(address.host, address.port),
        advertised_url=settings.trivy.matcher_advertised_url,
        environment=environment,
        home=root / "home",
        token=token_file(settings.trivy.token_file, settings.ops.data_dir, foreign=False),
    )
    layers = LayerCache(
        root,
        limit_bytes=settings.limits.layer_cache_gb * 10**9,
        rest_s=settings.verify.refresh_over_s,
    )
    folders = DatabaseFolders(root / "db", layers)
    source = DatabaseSource.of_settings(settings, HttpRegistry())
    return MatchServer(
        config,
        folders,
        downloader=Downloader(trivy, folders, source=source, environment=environment),
        announcements=announcements,
        check_interval_s=settings.trivy.db_check_interval_s,
    )
