"""A Trivy that is not rolled out yet, with a match server and a scanner of its own.

They are children of the canary, on a database and a layer cache of their own in a temporary folder:
nothing of the cluster's own is touched. The candidate downloads its database itself.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from common.kube.identity import in_pod
from common.model.errors import PreconditionError, SourceUnavailableError
from common.ops.match_token import TokenFile
from common.ops.process import Child, ChildSpec, Forward
from common.ops.scanner_environment import scanner_environment
from common.ops.trivy_program import Trivy, require_trivy
from common.settings.parse import parse
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

_LOOPBACK = "127.0.0.1"
_READY_S = 60.0  # a second; Python's imports on a loaded machine
_STOP_S = 10.0


@contextlib.contextmanager
def candidate(path: str, environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run the Trivy at `path`; give the settings by which the canary works with it.

    Raises PreconditionError in a Pod, and for a program that is no Trivy we can work with; what a
    download, a server or a scanner that does not start raises.
    """
    if in_pod():
        # There the scanner is a container of its own, so that what parses strangers' images can
        # read no token; a child of ours could.
        raise PreconditionError(
            "--trivy starts a scanner, and in a Pod that must be apart from the cluster's token: "
            "run it beside `sluice run`, or give the new image to the scanner and the matcher and "
            "run `sluice canary` without it"
        )
    trivy = require_trivy(path, "")
    with tempfile.TemporaryDirectory(prefix="sluice-canary-") as name, contextlib.ExitStack() as up:
        folder = Path(name)
        server = up.enter_context(_match_server(trivy, folder, environ))
        settings = {
            **environ,
            "SLUICE_TRIVY_PATH": trivy.path,
            "SLUICE_TRIVY_SERVER_URL": server,
            "SLUICE_TRIVY_TOKEN_FILE": str(_token(folder).path),
            "SLUICE_SCANNER_SOCKET": str(folder / "scanner.sock"),
            "SLUICE_DATA_DIR": str(folder / "data"),
        }
        up.enter_context(_scanner(settings, folder))
        yield settings


@contextlib.contextmanager
def _match_server(trivy: Trivy, folder: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Run a match server of that Trivy, on what it downloads; give its address."""
    folders = DatabaseFolders(folder / "db", LayerCache(folder))
    database = _download(trivy, folders, environ)
    folders.link(database)
    config = MatchProcessConfig(
        trivy=trivy,
        host=_LOOPBACK,
        port=free_port(_LOOPBACK, 0),
        advertised_url="",
        environment=environ,
        home=folder / "home",
        token=_token(folder),
    )
    process = MatchProcess(config)
    process.start(database)
    try:
        yield config.url
    finally:
        process.stop()


def _download(trivy: Trivy, folders: DatabaseFolders, environ: Mapping[str, str]) -> Database:
    source = DatabaseSource.of_settings(parse(environ), HttpRegistry())
    found = Downloader(trivy, folders, source=source, environment=environ).newer_than(None)
    if found is None:
        raise SourceUnavailableError("no vulnerability database", reason="DatabaseUnusable")
    return found


def _token(folder: Path) -> TokenFile:
    return TokenFile(path=folder / "token")


@contextlib.contextmanager
def _scanner(settings: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Run a scanner by these settings."""
    spec = ChildSpec(
        name="canary-scanner",
        argv=(sys.executable, "-P", "-m", "worker.scanner"),
        output=Forward(line=_line),
        env=scanner_environment(settings),
        cwd=str(folder),
        ready=Path(settings["SLUICE_SCANNER_SOCKET"]).is_socket,
        ready_s=_READY_S,
        stop_s=_STOP_S,
    )
    with Child(spec) as child:
        child.wait_ready()
        yield


def _line(name: str, text: str) -> None:
    _log.debug(name, line=text)
