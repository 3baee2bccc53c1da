"""Pools that are known but not served: told at start, and never a silent idle process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import PreconditionError
from common.settings.formats import POOLS
from common.settings.parse import parse
from common.settings.pools import SERVED, pool_warnings, queue_pools, served_pools


@given(st.lists(st.sampled_from(POOLS), unique=True))
def test_every_pool_is_served_or_warned_of(chosen: list[str]) -> None:
    """A pool that is neither would lose its keys without a word."""
    warned = [pool for pool in chosen if any(f" {pool}," in each for each in pool_warnings(chosen))]
    try:
        served = served_pools(chosen)
    except PreconditionError:
        served = ()
    assert sorted([*served, *warned]) == sorted(chosen)
    assert set(served) <= set(SERVED)


def test_the_default_serves_what_there_is_and_warns_of_nothing() -> None:
    """A warning that greets every worker is read by nobody."""
    pools = parse({}).pipeline.pools
    assert served_pools(pools) == ("reconcile", "scan")
    assert pool_warnings(pools) == ()


@pytest.mark.parametrize(
    ("chosen", "served"),
    [
        (["scan"], ("scan", "rematch")),
        (["reconcile", "scan"], ("reconcile", "scan", "rematch")),
        (["rematch"], ("rematch",)),
        (["reconcile", "match"], ("reconcile",)),
    ],
)
def test_whoever_scans_matches_too(chosen: list[str], served: tuple[str, ...]) -> None:
    """A worker that was set up before there was such a pool leaves no cluster without it."""
    assert queue_pools(chosen) == served


def test_a_known_pool_that_nothing_serves_yet_is_warned_of() -> None:
    """Whoever asks for it must learn that it does nothing."""
    pools = ("reconcile", "audit")
    assert served_pools(pools) == ("reconcile",)
    (warning,) = pool_warnings(pools)
    assert "audit" in warning


@pytest.mark.parametrize(("chosen", "word"), [(["audit"], "audit"), ([], "is empty")])
def test_a_worker_without_a_pool_that_is_served_is_refused_with_the_remedy(
    chosen: list[str], word: str
) -> None:
    """It would hold a place in the cluster, look ready and do nothing."""
    with pytest.raises(PreconditionError, match="--pool, to one or more of reconcile") as caught:
        served_pools(chosen)
    assert word in str(caught.value)
