"""The layer cache begins anew under a real match server, and images are analysed again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from common.model.errors import LayerCacheMissingError
from common.model.image import Inventory
from common.ops.trivy_program import Trivy
from sandbox.images import Pushed
from tests.fixtures_trivy import RunningScanner
from tests.integration.test_matcher_server import Repository, ready, repository, running, taken
from tests.waiting import eventually
from worker.evidence.image.layer_cache import LayerCache
from worker.evidence.image.match import TwirpMatcher

__all__ = ["repository"]  # a fixture

pytestmark = pytest.mark.integration


def _is_lost(matcher: TwirpMatcher, inventory: Inventory) -> bool:
    try:
        matcher.match(inventory)
    except LayerCacheMissingError:
        return True
    return False


def test_a_cache_beyond_its_bound_begins_anew_once_and_says_so(
    trivy: Trivy,
    repository: Repository,
    scanner: RunningScanner,
    pushed: Mapping[str, Pushed],
    tmp_path: Path,
) -> None:
    """The server goes on at the same address; what it forgot is refused, never answered wrongly."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as unbounded:
        assert ready(unbounded)
        inventory = taken(scanner, pushed["alpine-app"], unbounded.server.url)
    layers = LayerCache(tmp_path, limit_bytes=1, rest_s=3600)
    with (
        running(trivy, repository, tmp_path, layers=layers) as one,
        closing(TwirpMatcher(one.server.url)) as matcher,
    ):
        assert ready(one)
        assert eventually(lambda: one.heard.layers_lost == 1)
        assert eventually(lambda: _is_lost(matcher, inventory)), "the layers must be gone"
        again = taken(scanner, pushed["alpine-app"], one.server.url)
        assert again == inventory
        assert matcher.match(again).findings
        assert one.heard.layers_lost == 1  # although it is beyond its bound again
        assert [path.name for path in tmp_path.glob("layers-*")] == ["layers-1"]


def test_whoever_could_not_be_told_is_told_after_a_restart(
    trivy: Trivy, repository: Repository, tmp_path: Path
) -> None:
    """Redis may be away when the layers go."""
    repository.publish(1)
    layers = LayerCache(tmp_path, limit_bytes=1, rest_s=3600)
    with running(trivy, repository, tmp_path, layers=layers) as one:
        one.heard.away = True
        assert ready(one)
        assert eventually(lambda: layers.untold)
        assert one.heard.layers_lost == 0
    with running(trivy, repository, tmp_path) as two:
        assert ready(two)
        assert eventually(lambda: two.heard.layers_lost == 1)


def test_an_older_server_forgets_what_a_newer_one_stored(
    trivy: Trivy,
    repository: Repository,
    scanner: RunningScanner,
    pushed: Mapping[str, Pushed],
    tmp_path: Path,
) -> None:
    """After a downgrade the findings of newer analyses would be missing, without a word."""
    repository.publish(1)
    with running(trivy, repository, tmp_path) as one:
        assert ready(one)
        inventory = taken(scanner, pushed["alpine-app"], one.server.url)
    assert not LayerCache(tmp_path).serve_by("0.999.0")  # a newer one was here
    with (
        running(trivy, repository, tmp_path) as two,
        closing(TwirpMatcher(two.server.url)) as matcher,
    ):
        assert ready(two)
        with pytest.raises(LayerCacheMissingError):
            matcher.match(inventory)
        assert eventually(lambda: two.heard.layers_lost == 1)
