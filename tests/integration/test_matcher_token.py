"""The match server lets in who has the token: real server, real scanner, real replays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from common.model.errors import SourceUnavailableError
from common.ops.match_token import TokenFile
from common.ops.trivy_program import Trivy
from sandbox.images import Pushed
from tests.fixtures_trivy import RunningScanner, inventory_job, scanner_process
from tests.integration.test_matcher_server import Repository, Running, ready, repository, running
from tests.integration.test_matcher_server import server_pids as pids
from tests.waiting import eventually
from worker.evidence.image.match import TwirpMatcher
from worker.evidence.image.twirp import TrivyServerClient

__all__ = ["repository"]  # a fixture

pytestmark = pytest.mark.integration


@pytest.fixture
def token(tmp_path: Path) -> TokenFile:
    """Give where the token is; there is none yet."""
    return TokenFile(path=tmp_path / "shared" / "token")


@pytest.fixture
def guarded(
    trivy: Trivy, repository: Repository, token: TokenFile, tmp_path: Path
) -> Iterator[Running]:
    """Give a matcher that draws the token."""
    repository.publish(1)
    with running(trivy, repository, tmp_path / "matcher", token=token) as one:
        assert ready(one)
        yield one


@pytest.fixture
def knowing(trivy: Trivy, token: TokenFile, tmp_path: Path) -> Iterator[RunningScanner]:
    """Give a scanner that is told where the token is."""
    folder = tmp_path / "scanner"
    folder.mkdir()
    settings = {"SLUICE_TRIVY_PATH": trivy.path, "SLUICE_TRIVY_TOKEN_FILE": str(token.path)}
    with scanner_process(folder, **settings) as one:
        yield one


def test_only_who_has_the_token_may_store_and_match(
    guarded: Running,
    knowing: RunningScanner,
    scanner: RunningScanner,
    token: TokenFile,
    pushed: Mapping[str, Pushed],
) -> None:
    """Else any Pod could replace a layer's packages, and hide findings from everybody."""
    url = guarded.server.url
    job = inventory_job(pushed["alpine-app"].pinned, url)
    with pytest.raises(SourceUnavailableError) as refused:
        scanner.scanner.inventory(job)  # a scanner without it
    assert refused.value.reason == "MatchServerRefused"
    with (
        closing(TrivyServerClient(url)) as stranger,
        pytest.raises(SourceUnavailableError, match="SLUICE_TRIVY_TOKEN_FILE"),
    ):
        stranger.call("cache", "PutBlob", {"diff_id": "sha256:0", "blob_info": {}})
    inventory = knowing.scanner.inventory(job).inventory
    with closing(TwirpMatcher(url, token=token.read)) as matcher:
        assert matcher.match(inventory).findings
    with closing(TwirpMatcher(url)) as nobody, pytest.raises(SourceUnavailableError):
        nobody.match(inventory)


def test_a_new_token_is_taken_up_by_all(
    guarded: Running, knowing: RunningScanner, token: TokenFile, pushed: Mapping[str, Pushed]
) -> None:
    """A Secret that leaked is replaced, and nobody is restarted by hand."""
    assert token.path is not None
    job = inventory_job(pushed["alpine-app"].pinned, guarded.server.url)
    with closing(TwirpMatcher(guarded.server.url, token=token.read)) as matcher:
        inventory = knowing.scanner.inventory(job).inventory
        (before,) = pids(guarded)
        old = token.read()
        token.path.write_text("another-token")
        assert eventually(lambda: pids(guarded) not in ([], [before]))
        assert eventually(lambda: _answers(guarded.server.url, "another-token"))
        assert not _answers(guarded.server.url, old)
        assert matcher.match(inventory).findings
        assert knowing.scanner.inventory(job).inventory == inventory


def _answers(url: str, token: str | None) -> bool:
    with closing(TrivyServerClient(url, token=token)) as client:
        try:
            client.call("cache", "MissingBlobs", {"artifact_id": "a", "blob_ids": ["b"]})
        except SourceUnavailableError:
            return False
        return True


def test_the_token_is_on_no_command_line_and_in_no_log(
    guarded: Running, knowing: RunningScanner, token: TokenFile, pushed: Mapping[str, Pushed]
) -> None:
    """Everybody on the machine sees the arguments, and logs travel far."""
    knowing.scanner.inventory(inventory_job(pushed["alpine-app"].pinned, guarded.server.url))
    drawn = token.read()
    assert drawn
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                arguments = (path / "cmdline").read_bytes()
            except OSError:
                continue
            assert drawn.encode() not in arguments
    assert drawn not in knowing.log.read_text(encoding="utf-8")
