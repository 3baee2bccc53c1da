"""Trivy with the sample database, the sample images, a match server and a scanner process.

One of each for the whole session; a test that kills, starves or swaps one makes its own with the
same helpers. Where the program is missing the test fails in CI and is skipped elsewhere.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.model.errors import PreconditionError
from common.model.refs import parse_reference
from common.ops.process import Child, ChildSpec, ToFile
from common.ops.trivy_program import Trivy, require_trivy
from sandbox import vulndb
from sandbox.images import Pushed, push_samples
from sandbox.registry import Registry
from tests.fixtures_sandbox import lacking
from worker.evidence.image.access import Access
from worker.evidence.image.inventory import InventoryJob, ScanOptions, SocketScanner
from worker.evidence.image.match_process import MatchProcess, MatchProcessConfig, free_port
from worker.evidence.image.parts import parts_of
from worker.evidence.image.registry import HttpRegistry
from worker.evidence.image.vulnerability_database import Database

UPDATED = {
    1: datetime(2026, 11, 24, 6, tzinfo=UTC),
    2: datetime(2026, 11, 25, 6, tzinfo=UTC),
}
VERSION = {level: moment.strftime("%Y-%m-%dT%H:%M:%SZ") for level, moment in UPDATED.items()}


@pytest.fixture(scope="session")
def trivy() -> Trivy:
    """Give the real program."""
    try:
        return require_trivy("", os.environ.get("PATH", os.defpath))
    except PreconditionError as error:
        lacking(error)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Path]:
    """Give cache folders with the sample database, by level."""
    folders = {level: tmp_path_factory.mktemp(f"database-{level}") for level in (1, 2)}
    vulndb.build(folders[1], level=1, updated_at=UPDATED[1])
    vulndb.build(folders[2], level=2, updated_at=UPDATED[2])
    return folders


@pytest.fixture(scope="session")
def pushed(registry: Registry) -> Mapping[str, Pushed]:
    """Give where the sample images stand in the registry."""
    return push_samples(registry.address)


@pytest.fixture(scope="session")
def match_url(
    trivy: Trivy, databases: Mapping[int, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give the address of a match server with the database of level 1."""
    with match_server(trivy, databases[1], tmp_path_factory.mktemp("match")) as url:
        yield url


@contextmanager
def match_server(
    trivy: Trivy, cache_dir: Path, home: Path, *, port: int = 0, level: int = 1
) -> Iterator[str]:
    """Run a match server on a cache folder."""
    config = MatchProcessConfig(
        trivy=trivy,
        host="127.0.0.1",
        port=free_port("127.0.0.1", port),
        advertised_url="",
        environment={},
        home=home,
    )
    process = MatchProcess(config)
    process.start(Database(version=VERSION[level], folder=cache_dir))
    try:
        yield config.url
    finally:
        process.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningScanner:
    """A scanner process."""

    child: Child
    scanner: SocketScanner
    socket_path: Path
    log: Path
    temporary: Path  # its TMPDIR


@contextmanager
def scanner_process(folder: Path, **environment: str) -> Iterator[RunningScanner]:
    """Run `python -m worker.scanner` as it runs in a pod, with a TMPDIR of its own."""
    socket_path, log, temporary = folder / "scanner.sock", folder / "log", folder / "tmp"
    temporary.mkdir(exist_ok=True)
    settings = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(temporary),
        "SLUICE_SCANNER_SOCKET": str(socket_path),
        "SLUICE_DATA_DIR": str(folder / "data"),
        "TRIVY_JAVA_DB_REPOSITORY": "127.0.0.1:1/none",  # nothing listens there
    }
    spec = ChildSpec(
        name="scanner",
        argv=(sys.executable, "-m", "worker.scanner"),
        output=ToFile(path=str(log)),
        env=settings | environment,
        cwd=str(Path(__file__).parents[1]),
        ready=lambda: _listens(socket_path),
    )
    with Child(spec) as child:
        child.wait_ready()
        yield RunningScanner(
            child=child,
            scanner=SocketScanner(socket_path),
            socket_path=socket_path,
            log=log,
            temporary=temporary,
        )


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


@pytest.fixture(scope="session")
def scanner(trivy: Trivy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningScanner]:
    """Give a scanner process for tests that leave it as it was."""
    with scanner_process(tmp_path_factory.mktemp("scanner"), SLUICE_TRIVY_PATH=trivy.path) as one:
        yield one


def with_parts(job: InventoryJob) -> InventoryJob:
    """Return the job as a worker hands it over that has read manifest and configuration."""
    reference = parse_reference(job.reference)
    seen = HttpRegistry().manifest(
        reference,
        reference.digest,
        config=job.docker_config,
        platform=job.platform,
        access=job.access,
    )
    return replace(job, parts=parts_of(seen))


def inventory_job(image: str, server_url: str, **fields: object) -> InventoryJob:
    """Return a job for one pinned image with `fields` changed."""
    values: dict[str, object] = {
        "reference": image,
        "access": Access(mirrored_name=image.partition("@")[0], plain=False, verify=True),
        "platform": "linux-amd64",
        "options": ScanOptions(),
        "server_url": server_url,
        "deadline_s": 60.0,
    }
    return InventoryJob(**(values | fields))  # type: ignore[arg-type] # a test's shorthand
