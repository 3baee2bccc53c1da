"""The match pool on a real server: starts, looks, swaps, falls back, and never lies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from common.model.errors import SluiceError, SourceUnavailableError, UnauthorizedError
from common.model.image import Inventory, Match
from common.ops.match_token import TokenFile
from common.ops.trivy_program import Trivy
from sandbox import oci, vulndb
from sandbox.accesslog import count
from sandbox.faults import Answer, Login
from sandbox.images import Pushed
from sandbox.registry import Registry
from sandbox.upload import Registry as Uploads
from tests.fixtures_trivy import UPDATED, VERSION, RunningScanner, inventory_job
from tests.waiting import eventually
from worker.evidence.image.access import Accesses
from worker.evidence.image.database_login import DatabaseLogin
from worker.evidence.image.layer_cache import LayerCache
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.match_process import MatchProcessConfig, free_port
from worker.evidence.image.registry import HttpRegistry
from worker.evidence.image.vulnerability_database import (
    DatabaseFolders,
    DatabaseSource,
    Downloader,
)
from worker.matcher import Announcements, MatchServer, retry_s

pytestmark = pytest.mark.integration


@dataclass(slots=True)
class Heard:
    """What was announced."""

    databases: list[tuple[str, str, str]] = field(default_factory=list)
    failures: list[SluiceError] = field(default_factory=list)  # of the server
    looks: list[SluiceError | None] = field(default_factory=list)
    layers_lost: int = 0
    away: bool = False  # nobody can be told now

    def lose_layers(self) -> None:
        """Hear that the layers are gone."""
        if self.away:
            raise SourceUnavailableError("redis away")
        self.layers_lost += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A database repository of one test's own."""

    registry: Registry
    name: str
    databases: Mapping[int, Path]

    @property
    def reference(self) -> str:
        """As `TRIVY_DB_REPOSITORY` names it."""
        return f"{self.registry.address}/{self.name}:2"

    def publish(self, level: int) -> None:
        """Move the tag to the database of `level`."""
        vulndb.push(self.registry.address, self.databases[level], repository=self.name)

    def downloads(self, since: int) -> int:
        """Return how many blobs were fetched."""
        return count(self.registry.requests(since=since), repository=self.name, kind="blob")


@pytest.fixture
def repository(
    registry: Registry, databases: Mapping[int, Path], request: pytest.FixtureRequest
) -> Repository:
    """Give an empty repository."""
    name = f"database/{request.node.name.replace('_', '-')[:60].strip('-').lower()}"
    return Repository(registry=registry, name=name, databases=databases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A matcher at work."""

    server: MatchServer
    heard: Heard
    root: Path
    stop: threading.Event

    def versions(self) -> list[str]:
        """Return which versions stand on disk."""
        return sorted(path.name for path in (self.root / "db").iterdir() if path.is_dir())


NO_TOKEN = TokenFile(path=None)


@contextmanager
def running(
    trivy: Trivy,
    repository: Repository,
    root: Path,
    *,
    interval_s: float = 3600.0,
    port: int = 0,
    login: DatabaseLogin | None = None,
    token: TokenFile = NO_TOKEN,
    layers: LayerCache | None = None,
) -> Iterator[Running]:
    """Run a matcher in a thread of its own."""
    heard = Heard()
    folders = DatabaseFolders(root / "db", layers or LayerCache(root))
    source = DatabaseSource.parse(repository.reference, HttpRegistry(), Accesses(insecure=False))
    source = replace(source, login=login)
    config = MatchProcessConfig(
        trivy=trivy,
        host="127.0.0.1",
        port=free_port("127.0.0.1", port),
        advertised_url="",
        environment={},
        home=root / "home",
        token=token,
    )
    server = MatchServer(
        config,
        folders,
        downloader=Downloader(trivy, folders, source=source, environment={}),
        announcements=Announcements(
            on_database=lambda *row: heard.databases.append(row),
            on_failure=heard.failures.append,
            on_look=heard.looks.append,
            on_layers_lost=heard.lose_layers,
        ),
        check_interval_s=interval_s,
    )
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    try:
        yield Running(server=server, heard=heard, root=root, stop=stop)
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def ready(one: Running, times: int = 1) -> bool:
    """Wait until that many announcements were made."""
    return eventually(lambda: len(one.heard.databases) >= times)


def server_pids(one: Running) -> list[int]:
    """Return the Trivy servers that work below the matcher's root."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                arguments = (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"server" in arguments and str(one.root).encode() in b" ".join(arguments):
                found.append(int(path.name))
    return found


def taken(scanner: RunningScanner, image: Pushed, url: str) -> Inventory:
    """Return an inventory whose layers the server at `url` holds."""
    return scanner.scanner.inventory(inventory_job(image.pinned, url)).inventory


def test_a_matcher_without_a_database_downloads_one_and_says_so(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """A fresh cluster has nothing on disk."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as one:
        assert ready(one)
        assert one.heard.databases == [(VERSION[1], one.server.url, trivy.version)]
        assert one.versions() == [VERSION[1]]
    assert server_pids(one) == []


def test_a_look_that_finds_nothing_costs_one_request(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """Every hour, for years: no download, no restart."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as one:
        assert ready(one)
        before, servers = repository.registry.mark(), server_pids(one)
        assert one.server.check_now(30) == VERSION[1]
        requests = repository.registry.requests(since=before)
        assert [request.method for request in requests if request.repository] == ["HEAD"]
        assert server_pids(one) == servers
        assert len(one.heard.databases) == 2


def test_a_newer_database_is_served_and_finds_more_without_the_image(  # noqa: PLR0917 - fixtures
    trivy: Trivy,
    repository: Repository,
    scanner: RunningScanner,
    pushed: Mapping[str, Pushed],
    registry: Registry,
    tmp_path: Path,
) -> None:
    """The layer cache outlives the swap: no image is asked for again, and the old folder goes."""
    repository.publish(1)
    with (
        running(trivy, repository, tmp_path) as one,
        closing(TwirpMatcher(one.server.url)) as matcher,
    ):
        assert ready(one)
        image = pushed["alpine-app"]
        inventory = taken(scanner, image, one.server.url)
        old = matcher.match(inventory)
        repository.publish(2)
        before = registry.mark()
        assert one.server.check_now(60) == VERSION[2]
        new = matcher.match(inventory)
        assert (old.db_version, new.db_version) == (VERSION[1], VERSION[2])
        assert len(new.findings) > len(old.findings)
        assert count(registry.requests(since=before), repository=image.repository) == 0
        assert one.versions() == [VERSION[2]]
        assert one.heard.databases[-1][0] == VERSION[2]


def test_no_match_fails_or_is_labelled_wrongly_while_the_database_is_swapped(
    trivy: Trivy,
    repository: Repository,
    scanner: RunningScanner,
    pushed: Mapping[str, Pushed],
    tmp_path: Path,
) -> None:
    """Four threads match without a pause; each answer is that of the version on its label."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as one:
        assert ready(one)
        inventory = taken(scanner, pushed["alpine-app"], one.server.url)
        over = threading.Event()
        with closing(TwirpMatcher(one.server.url)) as matcher, ThreadPoolExecutor(4) as pool:

            def hammer() -> list[Match]:
                found = []
                while not over.is_set():
                    found.append(matcher.match(inventory))
                found.append(matcher.match(inventory))
                return found

            futures = [pool.submit(hammer) for _ in range(4)]
            repository.publish(2)
            assert one.server.check_now(60) == VERSION[2]
            over.set()
            matches = [match for future in futures for match in future.result(60)]
    sizes = {version: set[int]() for version in VERSION.values()}
    for match in matches:
        sizes[match.db_version].add(len(match.findings))
    assert [len(counts) for counts in sizes.values()] == [1, 1]
    assert sizes[VERSION[1]] != sizes[VERSION[2]]
    assert len(matches) > 8


def test_trap_38_a_repository_that_refuses_leaves_the_old_database_in_use(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """Trap 38. 429 is no reason to serve nothing: the failure is told, and tried again."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as one:
        assert ready(one)
        servers = server_pids(one)
        repository.publish(2)
        with (
            repository.registry.fail(
                Answer(status=429, headers={"Retry-After": "7"}), repository=repository.name
            ),
            pytest.raises(SluiceError) as caught,
        ):
            one.server.check_now(30)
        assert caught.value.reason == "RateLimited"
        assert [error.reason if error else "" for error in one.heard.looks] == ["", "RateLimited"]
        assert server_pids(one) == servers
        assert one.server.check_now(60) == VERSION[2]


def test_a_failed_look_is_repeated_by_itself(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """Nobody has to ask: the interval is hours, the retry is not."""
    with running(trivy, repository, tmp_path, interval_s=0.2) as one:
        assert eventually(lambda: one.heard.looks)
        assert one.heard.looks[0] is not None
        assert one.heard.looks[0].reason == "ImageNotFound"
        repository.publish(1)
        assert ready(one)


def test_a_damaged_database_never_replaces_a_good_one(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """It unpacks, so only the server can tell; the one before comes back by itself."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as one:
        assert ready(one)
        damaged = tmp_path / "damaged"
        vulndb.build(damaged, level=2, updated_at=UPDATED[2])
        (damaged / "db" / "trivy.db").write_bytes(b"\xde\xad" * 20_000)
        vulndb.push(repository.registry.address, damaged, repository=repository.name)
        with pytest.raises(SourceUnavailableError):
            one.server.check_now(60)
        assert one.versions() == [VERSION[1]]
        assert eventually(lambda: len(server_pids(one)) == 1)
        assert len([error for error in one.heard.looks if error is not None]) == 1
        assert one.heard.failures == []
        repository.publish(2)
        assert one.server.check_now(60) == VERSION[2]


def test_an_artifact_that_is_no_database_is_refused(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """A mirror may hold anything under that name."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as one:
        assert ready(one)
        image = oci.image([oci.layer({"a": "b"}, "ADD a / # test")], entrypoint=["/none"])
        with Uploads(repository.registry.address) as uploads:
            uploads.push(repository.name, image, "2")
        with pytest.raises(SluiceError):
            one.server.check_now(60)
        assert one.versions() == [VERSION[1]]
        assert len(server_pids(one)) == 1


def test_a_server_that_dies_is_started_again(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """Out of memory, or killed by hand: matches wait a moment and go on."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as one:
        assert ready(one)
        (first,) = server_pids(one)
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: [pid for pid in server_pids(one) if pid != first])
        assert one.server.check_now(60) == VERSION[1]


def test_a_restart_serves_what_is_on_disk_while_the_registry_is_down(
    trivy: Trivy,
    repository: Repository,
    scanner: RunningScanner,
    pushed: Mapping[str, Pushed],
    tmp_path: Path,
) -> None:
    """Neither database nor layers are fetched again after a restart of the pod."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as first:
        assert ready(first)
        inventory = taken(scanner, pushed["alpine-app"], first.server.url)
    before = repository.registry.mark()
    with (
        repository.registry.fail(Answer(status=503), repository=repository.name),
        running(trivy, repository, tmp_path) as second,
        closing(TwirpMatcher(second.server.url)) as matcher,
    ):
        assert ready(second)
        assert matcher.match(inventory).findings
    with running(trivy, repository, tmp_path) as third:
        assert ready(third, times=2)
    assert repository.downloads(before) == 0


def test_a_broken_folder_on_disk_is_replaced(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """A disk that lost pages must not keep the matcher down for ever."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as first:
        assert ready(first)
    (tmp_path / "db" / VERSION[1] / "db" / "trivy.db").write_bytes(b"\xde\xad" * 20_000)
    (tmp_path / "db" / "fresh-left-by-a-kill").mkdir()
    with running(trivy, repository, tmp_path) as second:
        assert ready(second)
        assert second.heard.databases[0][0] == VERSION[1]
        assert second.versions() == [VERSION[1]]


def test_a_check_that_nobody_answers_says_so(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """`sluice database check` must not hang when the matcher does."""
    with running(trivy, repository, tmp_path) as one:
        pass
    with pytest.raises(SourceUnavailableError) as caught:
        one.server.check_now(0.1)
    assert caught.value.reason == "DatabaseCheckSlow"


@pytest.mark.parametrize(
    ("failures", "interval_s", "wait_s"),
    [(1, 3600, 5), (2, 3600, 10), (4, 3600, 40), (40, 3600, 600), (9999, 3600, 600), (5, 1, 1)],
)
def test_failed_looks_come_back_ever_more_rarely(
    failures: int, interval_s: float, wait_s: float
) -> None:
    """Soon at first, for nothing is matched without a database; never beyond the interval."""
    assert retry_s(failures, interval_s=interval_s) == wait_s


def test_a_closed_repository_opens_to_the_login_of_the_settings(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """Real Trivy and our own question show it alike, and it stays nowhere."""
    repository.publish(1)
    user, password = tmp_path / "user", tmp_path / "password"
    user.write_text("bob\n", encoding="utf-8")
    password.write_text("wrong", encoding="utf-8")
    login = DatabaseLogin(
        registry=repository.registry.address,
        username_file=str(user),
        password_file=str(password),
    )
    closed = Login(username="bob", password="s3cr3t-database")  # noqa: S106 - made up
    with (
        repository.registry.fail(closed, repository=repository.name),
        running(trivy, repository, tmp_path / "root", login=login) as matcher,
    ):
        with pytest.raises(UnauthorizedError):
            matcher.server.check_now(60)
        password.write_text("s3cr3t-database\n", encoding="utf-8")  # a Secret that is rotated
        assert matcher.server.check_now(60) == VERSION[1]
    for root in (tmp_path / "root", Path("/dev/shm")):  # noqa: S108 - where it may have been
        for path in root.rglob("config.json"):
            assert b"auths" not in path.read_bytes()
