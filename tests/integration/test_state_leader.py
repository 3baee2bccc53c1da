"""The leading watcher's sign of life: one value, fenced, by Redis' clock, proof against garbage."""

from __future__ import annotations

import pytest
from redis import Redis

from common.model.errors import StaleFenceError
from common.overview.watcher import SILENT_S, described, said
from common.state.fence import FenceTable
from common.state.leader import LeaderTable
from common.state.names import LEADER_TTL_S, Names

pytestmark = pytest.mark.integration


@pytest.fixture
def table(redis_client: Redis, names: Names) -> LeaderTable:
    return LeaderTable(redis_client, names, me="host_7_0f")


def test_a_watcher_that_leads_is_seen_alive(
    table: LeaderTable, redis_client: Redis, names: Names
) -> None:
    """Without a sign, a missing watcher is told from a calm cluster by nobody."""
    assert table.last() is None
    assert said(described(table.last()))
    fence = FenceTable(redis_client, names).take()
    table.alive(fence=fence)
    first = redis_client.hget(names.own("leader"), "since")
    table.alive(fence=fence)
    assert redis_client.hget(names.own("leader"), "since") == first
    found = table.last()
    assert found is not None
    assert found.holder == "host_7_0f"
    assert not said(described(found))
    assert 0 < redis_client.ttl(names.own("leader")) <= LEADER_TTL_S


def test_one_that_was_not_heard_for_long_is_told_as_missing(
    table: LeaderTable, redis_client: Redis, names: Names
) -> None:
    """One that hangs still holds its key."""
    table.alive(fence=FenceTable(redis_client, names).take())
    heard = float(redis_client.hget(names.own("leader"), "heard") or 0)
    redis_client.hset(names.own("leader"), "heard", heard - SILENT_S - 1)
    assert "host_7_0f led and was last heard" in said(described(table.last()))


def test_a_deposed_watcher_leaves_no_sign(
    table: LeaderTable, redis_client: Redis, names: Names
) -> None:
    """It would be told as the leader in turn with the one that is."""
    fences = FenceTable(redis_client, names)
    old, new = fences.take(), fences.take()
    table.alive(fence=new)
    other = LeaderTable(redis_client, names, me="deposed")
    with pytest.raises(StaleFenceError):
        other.alive(fence=old)
    found = table.last()
    assert found is not None
    assert found.holder == "host_7_0f"


def test_what_somebody_else_left_there_stops_nobody(
    table: LeaderTable, redis_client: Redis, names: Names
) -> None:
    """A list, a word for a number: the status still shows, and the next sign mends it."""
    key, fence = names.own("leader"), FenceTable(redis_client, names).take()
    redis_client.rpush(key, "x")
    assert table.last() is None
    table.alive(fence=fence)
    for field in ("since", "heard"):
        redis_client.hset(key, field, "soon")
        assert table.last() is None
        table.alive(fence=fence)
        assert table.last() is not None
